"""lakecv: the model travels, the data stay, and what comes back is verified, catalogued and seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lakecv.api import Lake, open_folder

__all__ = ["Lake", "__version__", "open_folder"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the Python face on first use, so that importing a value stays cheap."""
    if name in {"Lake", "open_folder"}:
        from lakecv import api

        return getattr(api, name)
    raise AttributeError(f"module 'lakecv' has no attribute {name!r}")
