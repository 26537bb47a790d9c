"""Arithmetic that planning, workers and models share: exact sums, hash sampling, scaling, scores (numpy only)."""
