"""`/ready`: whether each known device was tried once, or its record read.

It stays so whatever the registry does, for known devices are served from memory and disk: whoever
took this server out of a balancer because the registry is away would make an outage of it. A device
that becomes known later does not undo it either. Whether the process answers at all is `/health`,
at `LISTEN_ADDR`.
"""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice

from otaflux.web.answers import Answer
from otaflux.web.ops.jsonanswer import json_answer
from otaflux.web.ops.sight import Sight

MOST_NAMED = 100  # devices that wait


class Readiness:
    """Says whether it is ready, once that is so for good."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._ready = False

    @property
    def is_ready(self) -> bool:
        """Whether all known devices were tried, at some time since the start."""
        if not self._ready:
            self._ready = self._sight.listed() and not self._sight.roll.waiting
        return self._ready

    def answer(self) -> Answer:
        """200 or 503, and who waits."""
        ready, waiting = self.is_ready, self._sight.roll.waiting
        body = {
            "ready": ready,
            "devices": self._sight.roll.count,
            "waiting": len(waiting),
            "waiting_for_first_look": sorted(islice(waiting, MOST_NAMED)),
            "listing_read": self._sight.listed(),
            "registry_away": self._sight.registry_away,
        }
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return json_answer(body, status)
