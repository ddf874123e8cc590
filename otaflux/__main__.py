"""`otaflux` and `python -m otaflux`."""

from __future__ import annotations

import os
import signal
import sys

from otaflux.collector import set_aside, uncollected

TERMINATED = 128 + signal.SIGTERM  # as shells have it


def main() -> None:
    """Run a command and leave with its exit code."""
    if os.getpid() == 1:
        # In a container. Linux keeps from process 1 each signal that it has no handler for, so that
        # `docker stop` would wait ten seconds for a server that has just begun, or for a push.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))
    with uncollected():
        from otaflux.cli.main import main as run
    code = run()
    set_aside()
    sys.exit(code)


if __name__ == "__main__":
    main()
