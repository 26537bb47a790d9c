"""Settings and site profiles: defaults < file < environment < option, each value with its origin.

Nothing has to be configured: without a file the lake is a folder in the user's data directory and the site is this machine.
"""

from __future__ import annotations

from lakecv.config.adding import Added, add
from lakecv.config.profiles import Profile, profile, profiles, site, sites
from lakecv.config.settings import Setting, Settings, load, show

__all__ = ["Added", "Profile", "Setting", "Settings", "add", "load", "profile", "profiles", "show", "site", "sites"]
