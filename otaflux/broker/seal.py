"""The proof in what replicas tell each other: who sent it knows a secret that they share.

Trust: whoever may publish at the broker can write anything, and whoever may read there can send it
once more. A message says when it was sent, and its HMAC is over that, all else of it and its topic;
the key comes from `WEBHOOK_SECRET`, by which this proof is one of nothing else. One counts within
`FRESH` seconds, and once. On one event loop.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Unproven

# Seconds that a message may be on its way, and by which the replicas' clocks may differ.
FRESH = 300.0
MOST_TAKEN = 40_000  # proofs remembered: more than `Peers` takes within `FRESH`, before and behind

_PURPOSE = b"otaflux: messages of replicas"

Secrets = Callable[[], Sequence[str]]


class Sealed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that can carry a proof; `at` is in whole seconds since the epoch."""

    at: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    proof: str = ""


_M = TypeVar("_M", bound=Sealed)


class Seal:
    """Puts proofs on messages and checks them; `secrets` gives those that count, newest first."""

    def __init__(
        self, secrets: Secrets, *, now: Callable[[], float], most: int = MOST_TAKEN
    ) -> None:
        self._secrets = secrets
        self._now = now
        self._taken: BoundedMap[str, None] = BoundedMap(most)

    @property
    def is_there(self) -> bool:
        """Whether there is a secret, so that what other replicas say can be told from forgeries."""
        return any(self._secrets())

    def put_on(self, topic: str, message: _M) -> bytes:
        """A message to send now; without a proof where there is no secret."""
        secret = next(iter(self._secrets()), "")
        if not secret:
            return msgspec.json.encode(message)
        sent = msgspec.structs.replace(message, at=int(self._now()), proof="")
        return msgspec.json.encode(msgspec.structs.replace(sent, proof=_mac(secret, topic, sent)))

    def was_taken(self, message: Sealed) -> bool:
        """Whether a message with that proof was taken before: replicas may send one twice."""
        return message.proof in self._taken

    def check(self, topic: str, message: Sealed) -> None:
        """Raise `Unproven` unless one who knows a secret sent this just now, for the first time."""
        bare = msgspec.structs.replace(message, proof="")
        given = message.proof.encode("utf-8", "surrogatepass")
        fits = [
            hmac.compare_digest(_mac(secret, topic, bare).encode(), given)
            for secret in self._secrets()
        ]
        if not any(fits):
            raise Unproven("a message without the proof that replicas with this WEBHOOK_SECRET add")
        late = self._now() - message.at
        if abs(late) > FRESH:
            raise Unproven(f"a message of {late:.0f} seconds ago: the replicas' clocks differ")
        if message.proof in self._taken:
            raise Unproven("a message that was taken before")
        self._taken.put(message.proof, None)


def _mac(secret: str, topic: str, message: Sealed) -> str:
    key = hmac.digest(secret.encode("utf-8", "surrogatepass"), _PURPOSE, "sha256")
    text = topic.encode() + b"\n" + msgspec.json.encode(message)
    return hmac.digest(key, text, "sha256").hex()
