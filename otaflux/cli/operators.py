"""What the operators' port of a running server says, for commands that ask it.

Without TLS, as that port is; `--url` names one that a proxy has put behind something. Redirects are
not followed, and what comes is bounded.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

import msgspec

from otaflux.errors import BadSetting, Undecided, reason_of
from otaflux.settings import Settings
from otaflux.settings.addresses import public_url
from otaflux.settings.values import Wrong

TIMEOUT = 10.0  # seconds without a byte
MAX_ANSWER = 16 << 20  # bytes


class OperatorsAddress(msgspec.Struct, frozen=True):
    """Where operators are answered: `shown` is how people write it."""

    host: str
    port: int
    secure: bool
    path: str
    shown: str

    @classmethod
    def of(cls, settings: Settings, url: str | None) -> OperatorsAddress:
        """The server of METRICS_LISTEN_ADDR, or of `--url`; raises `BadSetting` for no address."""
        if url is None:
            address = settings.metrics_listen_addr.reachable
            return cls(address.host, address.port, secure=False, path="", shown=str(address))
        try:
            parts = urlsplit(public_url(url))
            secure = parts.scheme == "https"
            port = parts.port or (443 if secure else 80)
        except (Wrong, ValueError) as error:
            expected = error.expected if isinstance(error, Wrong) else "an address"
            raise BadSetting(f"--url: found {url!r}, expected {expected}") from None
        return cls(parts.hostname or "", port, secure, parts.path.rstrip("/"), url)

    def ask(self, target: str) -> tuple[int, Any]:
        """The status and the JSON of an answer, None where it is none. Blocks.

        Raises `Undecided` where nobody answers.
        """
        try:
            connection = self._connection()
            try:
                connection.request("GET", self.path + target)
                answer = connection.getresponse()
                body = answer.read(MAX_ANSWER)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Undecided(
                f"no answer from {self.shown}: {reason_of(error)}",
                hint="Does `otaflux serve` run, with this METRICS_LISTEN_ADDR?",
            ) from None
        try:
            return answer.status, json.loads(body)
        except ValueError:
            return answer.status, None

    def _connection(self) -> http.client.HTTPConnection:
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=context)
