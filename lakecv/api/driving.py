"""Bringing a run that has begun to its end: from here, by a process of its own, or by whoever drives it already.

The plan lies in the run's setup, so that all of these work from any machine that sees the lake and knows the sites.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lakecv import config
from lakecv.api import detaching
from lakecv.api.attending import attend
from lakecv.api.detaching import Detached
from lakecv.api.logs import RunLogs, logs_of
from lakecv.api.running import Runs
from lakecv.config import Settings
from lakecv.errors import Corrupt, InvalidInput, Kind, NotFound
from lakecv.plan import Progress, Run, RunState
from lakecv.site import Site

__all__ = ["Drive", "asked_for", "site_named"]


@dataclass(frozen=True, slots=True)
class Drive:
    """One run of a lake, and what may be done about it."""

    run: str
    runs: Runs
    settings: Settings
    watch: Callable[[Progress], None]

    def to_end(self) -> Run:
        """Drive it here, so that others on this machine can tell."""
        with suppress(NotFound), self._of_this_version():
            self.runs.area(self.run).setup()
        with detaching.at_work(self.run) as begun:

            def watch(progress: Progress) -> None:
                begun()
                self.watch(progress)

            return replace(self.runs, watch=watch).execute(self.run, self._site)

    def detached(self) -> Detached:
        """Leave it to a process of its own, unless it is done, or driven on this machine."""
        path, driven = detaching.driver_log(self.run), detaching.drivers(self.run)
        log = str(path) if path.exists() or not driven else ""  # who drives it may be at a terminal
        if driven or self.runs.record(self.run).state is RunState.DONE:
            return Detached(self.runs.record(self.run), next(iter(driven), None), log)
        driver = detaching.start(self.run, self.runs.lake, self._own_settings())
        return Detached(self.runs.record(self.run), driver, log)

    def attended(self) -> Run:
        """Follow it to its end."""
        with self._of_this_version():
            return attend(self.runs, self.run, self.watch, self.settings.deadline)

    def logs(self) -> RunLogs:
        """Gather what is known of its troubles."""
        with self._of_this_version():
            return logs_of(self.runs, self.run, self._site)

    def known(self) -> None:
        """Raise where there is no such run, with the names that there are."""
        with self._of_this_version():
            self.runs.record(self.run)

    def _site(self, name: str) -> Site:
        return site_named(name, self.runs.area(self.run).current().plan.site, self.settings)

    def _own_settings(self) -> dict[str, str]:
        """Give the settings that hold for this lake only as a process takes them."""
        given = [key for key, origin in self.settings.origins if origin.startswith("the option ")]
        return {f"LAKECV_{key.upper()}": str(getattr(self.settings, key)) for key in given}

    @contextmanager
    def _of_this_version(self) -> Iterator[None]:
        """Say of a run whose records prove themselves and yet mean nothing here that another lakecv has begun it."""
        try:
            yield
        except Corrupt as err:
            if err.kind is not Kind.FILE_MALFORMED:
                raise
            raise InvalidInput(
                f"{self.run} was begun by another version of lakecv: {err}", Kind.RECORD_NEWER,
                "go on with it by that version, or begin anew: lakecv run ... --again",
            ) from err


def asked_for(site: str) -> str:
    """Give the word by which a site is asked for; a path that holds in every folder."""
    return str(Path(site).absolute()) if _is_path(site) else site


def site_named(name: str, asked: str, settings: Settings) -> Site:
    """Find a site of a plan: by its name, or where it was asked for by the path of its profile, by that."""
    return config.site(asked if _is_path(asked) else name, settings)


def _is_path(site: str) -> bool:
    return "://" not in site and (site.endswith(".toml") or os.sep in site)
