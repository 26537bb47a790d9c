"""From a plan to outcomes: the driver, the worker, the work area, packing."""
