"""The Python face: ``lake = lakecv.Lake(...)`` and its verbs; the only place where parts are wired together."""

from lakecv.api.lake import Lake
from lakecv.api.values import Demo, ModelCard, OptionCard, PluginReport, Registered, Verification

__all__ = ["Demo", "Lake", "ModelCard", "OptionCard", "PluginReport", "Registered", "Verification"]
