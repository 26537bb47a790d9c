"""Plugins of a stranger: nothing here is known to lakecv but its entry points."""
