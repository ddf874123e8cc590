"""Polls a known device again and again, in a process of its own, and says how long that took.

`python prober.py PORT [tls] [json]`; each line on stdin is answered by one of JSON about polls
since the line before: how many, how many of them failed, 99th percentile and worst in milliseconds.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time

POLL = b"GET /version?device=lamp HTTP/1.1\r\nHost: ota\r\n%s\r\n"
JSON = b"Accept: application/json\r\n"
PAUSE = 0.01  # seconds between two polls
PATIENCE = 10.0  # seconds


class Prober:
    """One connection that polls; `took` is in milliseconds."""

    def __init__(self, port: int, *, tls: bool, json: bool) -> None:
        self._port = port
        self._poll = POLL % (JSON if json else b"")
        self._tls = tls
        self._lock = threading.Lock()
        self._took: list[float] = []
        self._failed = 0

    def run(self) -> None:
        """Poll for ever; a connection that breaks is followed by another."""
        sock: socket.socket | None = None
        while True:
            began = time.perf_counter()
            try:
                sock = sock or self._connect()
                sock.sendall(self._poll)
                good = sock.recv(1000).startswith(b"HTTP/1.1 200")
            except OSError:
                good = False
            took = (time.perf_counter() - began) * 1000
            if not good and sock is not None:
                sock.close()
                sock = None
            with self._lock:
                self._took.append(took)
                self._failed += not good
            time.sleep(PAUSE)

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
        if self._tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context.wrap_socket(sock)
        return sock

    def report(self) -> dict[str, float]:
        """What was seen since the last report."""
        with self._lock:
            took, self._took = sorted(self._took), []
            failed, self._failed = self._failed, 0
        if not took:
            return {"polls": 0, "failed": failed, "p99": PATIENCE * 1000, "worst": PATIENCE * 1000}
        p99 = took[min(len(took) - 1, len(took) * 99 // 100)]
        return {"polls": len(took), "failed": failed, "p99": p99, "worst": took[-1]}


def main() -> None:
    """Poll, and report at each line."""
    prober = Prober(int(sys.argv[1]), tls="tls" in sys.argv[2:], json="json" in sys.argv[2:])
    threading.Thread(target=prober.run, daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(prober.report()), flush=True)


if __name__ == "__main__":
    main()
