"""The test lake's policy for Rucio: its generic one, but that ordinary users own what they stored, as at real sites."""

SUPPORTED_VERSION = [">=41,<42"]
