"""From a job to a plan: blocks, cost, placement.  Pure functions; no socket, no file, no engine."""
