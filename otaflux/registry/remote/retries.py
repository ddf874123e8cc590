"""When a request is tried again, as data, and what the other side says of it.

The server tries twice within two seconds and leaves longer waits to its queue, which gives the
place to another device meanwhile; a command has nothing else to do and waits longer. aiohttp-retry
runs the tries up to a response's head: it ignores `Retry-After`, retries no exception that is not
listed and does not let go of a response that it drops, so the options here do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import aiohttp
from aiohttp_retry import RetryOptionsBase

MAX_RETRY_AFTER = 60.0  # seconds; who asks for more is asked again after that

RETRIED_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
# ClientConnectionError covers refused, reset, DNS, TLS and a server that hangs up.
RETRIED_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientConnectionError, asyncio.TimeoutError)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how long and how slow, in seconds.

    From asking for a connection (a name server, a proxy's CONNECT and TLS count) to the end of a
    response's head there are `head_timeout` seconds, whatever trickles in meanwhile; what a request
    brings along has its own time by `min_rate`. A body that is no blob has `body_timeout` in all.

    A request is tried `attempts` times, the last one begun `within` seconds of the first. Waits
    begin at `first` and grow by `factor`, spread by `jitter`. A blob that breaks is gone on with
    `resumes` times as long as bytes come, and `attempts` times in a row where none do. A blob has
    no time in all: it is broken off where less than `min_rate` bytes a second came in a `window`
    of waiting for them.
    """

    attempts: int = 2
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
COMMAND = RetryPolicy(attempts=5, within=120.0, first=0.5, resumes=30)  # a person waits


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


class _InTime:
    """The retried errors while there is time for another try, and then none."""

    def __init__(self, in_time: Callable[[], bool]) -> None:
        self._in_time = in_time

    def __iter__(self) -> Iterator[type[Exception]]:
        return iter(RETRIED_ERRORS if self._in_time() else ())


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
        self._tries = 1
        self._next_wait = policy.wait(1, chance)
        self._ends = clock() + policy.within
        errors: Iterable[type[Exception]] = _InTime(self._in_time)
        super().__init__(
            attempts=1 if once else policy.attempts,
            exceptions=errors,
            retry_all_server_errors=False,
            evaluate_response_callback=self._stands,
        )

    def _in_time(self) -> bool:
        return self._clock() + self._next_wait <= self._ends

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
        self._next_wait = self._policy.wait(attempt + 1, self._chance)
        return wait
