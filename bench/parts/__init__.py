"""What the benchmarks share; the tests' own fakes are there for them too."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "support"))
