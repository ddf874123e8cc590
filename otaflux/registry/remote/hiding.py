"""What proves who we are, kept out of every message.

Trust: a registry may repeat what it was sent, and messages go to the log. So whatever a session
sends to prove its login is named to its `Secrets` before it is sent, and every error that leaves
the session passes through `kept_out`. The newest `MAX_HIDDEN` texts are remembered; on one event
loop.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from otaflux.boundedmap import BoundedMap
from otaflux.errors import OtaFluxError, Undecided
from otaflux.wording import plain

MAX_HIDDEN = 256  # a request carries two or three, and few are under way at once
MIN_HIDDEN = 4  # characters; what is shorter hides nothing but the rest of a message
SHORT = 8  # characters below which a password may be a part of other words
LONG = 24  # characters from which on a beginning gives a secret away, for it may be cut off

_ESCAPED = 10  # characters that one may become in a message

HIDDEN = "[hidden]"


class Secrets:
    """The texts of one session that no message may repeat."""

    def __init__(self) -> None:
        self._hidden: BoundedMap[str, None] = BoundedMap(MAX_HIDDEN)

    def hide(self, *secrets: str) -> None:
        """Never show these again, nor as they stand in a message."""
        for secret in secrets:
            for form in {secret, plain(secret, _ESCAPED * len(secret))}:
                if len(form) >= MIN_HIDDEN:
                    self._hidden.put(form, None)

    def without(self, text: str) -> str:
        """A message without them: whole, cut off by `plain`, or the beginning of a long one."""
        for secret in sorted(self._hidden, key=len, reverse=True):
            start = secret if len(secret) < LONG else secret[: LONG - 8]
            if start in text:
                text = re.sub(_pattern(secret, start), HIDDEN, text)
            if "…" in text:
                text = _without_cut(text, secret)
        return text

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """Errors of this project leave without the secrets."""
        try:
            yield
        except OtaFluxError as error:
            self.clean(error)
            raise

    def clean(self, error: Exception) -> None:
        """Take the secrets out of an error's words."""
        if isinstance(error, OtaFluxError):
            error.args = tuple(self.without(str(part)) for part in error.args)
        if isinstance(error, Undecided):
            error.hint = self.without(error.hint)


def _pattern(secret: str, start: str) -> str:
    if len(secret) >= LONG:
        return re.escape(start) + r"[A-Za-z0-9._~+/=%-]*"
    if len(secret) >= SHORT:
        return re.escape(secret)
    # A password that is a word may be a part of others.
    return rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"


def _without_cut(text: str, secret: str) -> str:
    """The text, where it was cut off amid a secret, without that secret's beginning."""
    parts = text.split("…")
    for at, part in enumerate(parts[:-1]):
        for length in range(min(len(secret), len(part)), MIN_HIDDEN - 1, -1):
            if part.endswith(secret[:length]):
                parts[at] = part[:-length] + HIDDEN
                break
    return "…".join(parts)
