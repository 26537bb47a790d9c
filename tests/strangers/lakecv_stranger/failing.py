"""A module that fails while it is imported."""

raise ZeroDivisionError("a bug of a stranger")
