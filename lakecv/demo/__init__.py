"""The first five minutes: a small picture painted in code, its MA-XRF scan, and what lakecv finds in it."""
