"""The command line: one verb, one job; renders values and decides nothing."""
