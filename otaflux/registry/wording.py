"""Foreign text in messages: short, printable, plainly somebody else's, and without our secrets.

Trust: a registry may repeat what it was sent, and messages go to the log. So whatever proves who we
are is named to `hide` before it is sent, and all foreign text passes through `shown` or `plain`.
What is hidden is the process's, as its log is; the newest `MAX_HIDDEN` texts are remembered.
"""

from __future__ import annotations

import re

from otaflux.registry.boundedmap import BoundedMap

MAX_SHOWN = 80  # characters of foreign text in a message
MAX_HIDDEN = 256  # a request carries two or three, and few are under way at once
MIN_HIDDEN = 4  # characters; what is shorter hides nothing but the rest of a message
LONG = 24  # characters from which on a beginning gives a secret away, for it may be cut off

HIDDEN = "[hidden]"

_hidden: BoundedMap[str, None] = BoundedMap(MAX_HIDDEN)
_USER = re.compile(r"(?<=//)[^/?#\s]*@")


def hide(*secrets: str) -> None:
    """Never show these again."""
    for secret in secrets:
        if len(secret) >= MIN_HIDDEN:
            _hidden.put(secret, None)


def _without_secrets(text: str) -> str:
    for secret in sorted(_hidden, key=len, reverse=True):
        start = secret if len(secret) < LONG else secret[: LONG - 8]
        if start not in text:
            continue
        if len(secret) >= LONG:
            pattern = re.escape(start) + r"[A-Za-z0-9._~+/=%-]*"
        elif len(secret) >= LONG // 3:
            pattern = re.escape(secret)
        else:  # a password that is a word may be a part of others
            pattern = rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"
        text = re.sub(pattern, HIDDEN, text)
    return _USER.sub("", text)


def shown(text: str) -> str:
    """In quotes, without secrets and control characters, cut off where it is long."""
    text = _without_secrets(text)
    return ascii(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def plain(text: object) -> str:
    """The same without quotes, for what reads as a name."""
    return shown(str(text))[1:-1]


def shown_address(text: str) -> str:
    """What should have been an address, in quotes, without what may prove somebody's identity.

    That is what stands before an `@`, and a query, which may be signed.
    """
    address, query, _ = text.partition("?")
    scheme = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?/*", address)
    start = scheme[0] if scheme else ""
    return shown(start + address[len(start) :].rpartition("@")[2] + query)
