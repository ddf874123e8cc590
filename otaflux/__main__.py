"""`otaflux` and `python -m otaflux`."""

from __future__ import annotations

import sys

from otaflux.cli.main import main as run


def main() -> None:
    """Run a command and leave with its exit code."""
    sys.exit(run())


if __name__ == "__main__":
    main()
