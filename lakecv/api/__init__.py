"""The Python face: ``lake = lakecv.Lake(...)`` and its verbs; the only place where parts are wired together."""

from lakecv.api.comparing import Comparison
from lakecv.api.detaching import Detached, Driver
from lakecv.api.examining import Check, Verdict
from lakecv.api.fetching import Fetched, FolderArray, FolderCheck, check_folder, open_folder
from lakecv.api.lake import Lake
from lakecv.api.logs import LogFile, RunLogs
from lakecv.api.spectra import Peak, Spectrum
from lakecv.api.values import Demo, ModelCard, OptionCard, PluginReport, Registered, Repair, Sweep, Verification
from lakecv.lake_io.fsck import Finding, Flaw
from lakecv.lake_io.sweep import Fate, Heap, Leftover

__all__ = [
    "Check", "Comparison", "Demo", "Detached", "Driver", "Fate", "Fetched", "Finding", "Flaw", "FolderArray", "FolderCheck", "Heap", "Lake", "Leftover",
    "LogFile", "ModelCard", "OptionCard", "Peak", "PluginReport", "Registered", "Repair", "RunLogs", "Spectrum", "Sweep", "Verdict", "Verification",
    "check_folder", "open_folder",
]
