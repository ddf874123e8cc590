"""What went wrong between here and the registry, in the reader's words, and how much of it.

A registry that cannot be connected to is `Unreachable`: every device would fail now. One that
errs, throttles or hangs may do so for one repository only, so that is `Undecided` until
`OUTAGE` different repositories failed in a row with nothing good between.
"""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
from yarl import URL

from otaflux.errors import Undecided, Unreachable
from otaflux.wording import plain

OUTAGE = 3  # repositories; two may share a fault that the third has not


class FailingRepositories:
    """Whether the registry as a whole is away, by what each repository last got from it."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    def answered(self) -> None:
        """The registry answered something: it is not away."""
        self._failing.clear()

    def failed(
        self, scope: str, message: str, *, retry_after: float | None = None, hint: str = ""
    ) -> Undecided:
        """The error for a repository for which it errs."""
        if len(self._failing) < OUTAGE:
            self._failing.add(scope)
        kind = Unreachable if len(self._failing) >= OUTAGE else Undecided
        return kind(message, retry_after=retry_after, hint=hint)


def status_message(status: int, url: URL) -> str:
    """The sentence for a 5xx, 429 or 408."""
    host = plain(url.host)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return f"{host} throttles requests (429)"
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return f"{host} gave up waiting (408)"
    return f"{host} has a fault of its own ({status})"


def is_connecting(error: Exception) -> bool:
    """Whether there was no connection at all: refused, no such name, TLS, a proxy that is away."""
    return isinstance(
        error,
        (
            aiohttp.ClientConnectorError,  # DNS, refused, TLS and an unreachable proxy, too
            aiohttp.ClientConnectorCertificateError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientHttpProxyError,
        ),
    )
