"""Verified reads and writes of a dataset's objects: codec, layout, conversion, publishing."""
