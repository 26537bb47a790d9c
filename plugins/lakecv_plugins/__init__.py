"""First-party plugins; they enter by the same entry points as a stranger's."""
