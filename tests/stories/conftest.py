"""Stories share code that is no test: the kill loop is also what the soak runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
