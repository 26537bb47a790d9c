"""The catalog and the storage of a Rucio lake; the only place that knows Rucio."""
