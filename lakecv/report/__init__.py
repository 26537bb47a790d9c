"""Pictures and pages: figures, the self-contained report of a run, exports."""
