"""A module that needs one that nobody has."""

import a_module_that_nobody_has
