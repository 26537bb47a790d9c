"""A module that fails as one does where an extra of lakecv was not installed."""

raise ModuleNotFoundError("No module named 'h5py'", name="h5py._hl")
