"""When a request is tried again, as data, and what the other side says of it.

The server tries twice within two seconds and leaves longer waits to its queue, which gives the
place to another device meanwhile; a command has nothing else to do and waits longer. aiohttp-retry
runs the tries up to a response's head: it ignores `Retry-After`, retries no exception that is not
listed and does not let go of a response that it drops, so the options here do.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec
from aiohttp_retry import RetryOptionsBase

MAX_RETRY_AFTER = 60.0  # seconds; who asks for more is asked again after that

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# ClientConnectionError covers refused, reset, DNS, TLS and a server that hangs up. A certificate
# that is wrong is wrong at the next try too.
RETRIED_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientConnectionError, asyncio.TimeoutError)
NEVER_RETRIED = (aiohttp.ClientConnectorCertificateError,)
NAME_UNKNOWN = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often, how long and how slow, in seconds.

    From asking for a connection (a name server, a proxy's CONNECT and TLS count) to the end of a
    response's head there are `head_timeout` seconds, whatever trickles in meanwhile; what a request
    brings along has its own time by `min_rate`. A body that is no blob has `body_timeout` in all.

    A request is tried `attempts` times, the last one begun `within` seconds of the first, and
    `refusals` times where nobody listens or a name is not known: that lasts, or a registry starts
    just now. Waits begin at `first` and grow by `factor`, spread by `jitter`. A blob that breaks is
    gone on with `resumes` times as long as bytes come, and `attempts` times in a row where none do.
    A blob has no time in all: it is broken off where less than `min_rate` bytes a second came in a
    `window` of waiting for them.
    """

    attempts: int = 2
    refusals: int = 2
    within: float = 2.0
    first: float = 0.25
    factor: float = 2.0
    jitter: float = 0.5
    resumes: int = 10
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    head_timeout: float = 45.0
    body_timeout: float = 60.0
    min_rate: float = 4096.0
    window: float = 30.0

    def wait(self, attempt: int, chance: random.Random) -> float:
        """Seconds after the `attempt`th try (1 and up), spread so that clients part."""
        wait = self.first * self.factor ** min(attempt - 1, 16)
        return min(MAX_RETRY_AFTER, wait) * chance.uniform(1 - self.jitter, 1 + self.jitter)


SERVER = RetryPolicy()
# A person waits.
COMMAND = RetryPolicy(attempts=5, refusals=3, within=120.0, first=0.5, resumes=30)


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """`Retry-After` in seconds from now, 0 to 60; None where it is missing or unreadable.

    `wall` is now, in seconds since the epoch, for the form that is a date (RFC 9110, 10.2.3).
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - wall
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


class _Passing:
    """Stands for the errors that may have passed by the next try: `isinstance` asks it."""

    def __init__(self, may_pass: Callable[[object], bool]) -> None:
        self._may_pass = may_pass

    def __instancecheck__(self, error: object) -> bool:
        return self._may_pass(error)


def is_refusal(error: object) -> bool:
    """Whether nobody listens at an address, a proxy's or a registry's, or its name is not known."""
    if not isinstance(error, aiohttp.ClientConnectorError):
        return False
    reason = error.os_error
    return isinstance(reason, ConnectionRefusedError) or (
        isinstance(reason, socket.gaierror) and reason.errno in NAME_UNKNOWN
    )


class Tries(RetryOptionsBase):
    """The tries of one request, for aiohttp-retry; made anew for each."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        chance: random.Random,
        once: bool = False,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._wall = wall
        self._chance = chance
        self._tried = 1
        self._next_wait = policy.wait(1, chance)
        self._ends = clock() + policy.within
        passing: Any = _Passing(self._may_pass)
        super().__init__(
            attempts=1 if once else policy.attempts,
            exceptions=(passing,),
            retry_all_server_errors=False,
            evaluate_response_callback=self._stands,
        )

    def _in_time(self) -> bool:
        return self._clock() + self._next_wait <= self._ends

    def _may_pass(self, error: object) -> bool:
        """Whether another try is worth it, for aiohttp-retry, which has the number of tries."""
        if isinstance(error, NEVER_RETRIED) or not isinstance(error, RETRIED_ERRORS):
            return False
        if is_refusal(error) and self._tried >= self._policy.refusals:
            return False
        return self._in_time()

    async def _stands(self, response: aiohttp.ClientResponse) -> bool:
        """Whether a response is the answer, for aiohttp-retry; else it is dropped here."""
        if response.status not in RETRIED_STATUSES:
            return True
        asked = retry_after(response.headers, self._wall())
        if asked is not None:
            self._next_wait = max(self._next_wait, asked)
        if not self._in_time():
            return True
        response.release()
        return False

    def get_timeout(self, attempt: int, response: aiohttp.ClientResponse | None = None) -> float:
        """Seconds until the next try."""
        wait = self._next_wait
        self._tried = attempt + 1
        self._next_wait = self._policy.wait(attempt + 1, self._chance)
        return wait
