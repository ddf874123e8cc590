"""The child: answers questions on its standard input until there are none for a while."""

from __future__ import annotations

import signal
import socket
import time

from otaflux.keyless.frames import Broken, receive, send

IDLE = 60.0  # seconds without a question, after which it ends and gives its memory back
ANSWER = 10.0  # seconds in which an answer has to be taken


def main() -> None:
    """Answer until idle, or until the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's business
    from otaflux.keyless.judging import judge

    with socket.socket(fileno=0) as channel:
        while True:
            try:
                question = receive(channel, until=time.monotonic() + IDLE)
                send(channel, judge(question), until=time.monotonic() + ANSWER)
            except (OSError, Broken):  # TimeoutError is one
                return


if __name__ == "__main__":
    main()
