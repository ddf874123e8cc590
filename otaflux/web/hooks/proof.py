"""Whether the sender of a hook knows the secret: every form of it, compared in constant time.

Trust: nothing of the request is believed, and one proof that holds is enough, whatever the others
say. An empty proof is none. How one is compared with the secrets says nothing of them (see
`otaflux.web.secretproof`). Everything is bytes from here on: headers may hold anything.

The head is judged before the body is read. Only an HMAC (GitHub's `X-Hub-Signature-256`, Gitea's
`X-Gitea-Signature`) needs the body: then `check_head` gives what was claimed, for `check_body`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from otaflux.errors import HooksClosed, Unproven
from otaflux.web.secretproof import as_sent, basic_password, holds

_HMAC_HEADERS = {"x-hub-signature-256": "sha256=", "x-gitea-signature": ""}
_HEX = re.compile(r"[0-9a-fA-F]{64}")

Headers = Sequence[tuple[str, str]]  # names in lower case, each as often as it was sent


class ClaimedMacs(msgspec.Struct, frozen=True):
    """HMACs in lower-case hex that the sender claims to be its body's; at least one."""

    macs: tuple[bytes, ...]


def check_open(secrets: Sequence[str]) -> tuple[bytes, ...]:
    """The secrets that count; raises `HooksClosed` where there is none."""
    known = tuple(as_sent(secret) for secret in secrets if secret)
    if not known:
        raise HooksClosed("Hooks are closed: WEBHOOK_SECRET is not set")
    return known


def check_head(
    headers: Headers, in_query: Sequence[str], secrets: Sequence[bytes]
) -> ClaimedMacs | None:
    """None where the head proves the sender; the claims where only the body can.

    `in_query` are the secrets of the address, for the sources that may have them there. Raises
    `Unproven` where nothing is proven or claimed.
    """
    shown = [*_shown(headers), *map(_unquoted, in_query)]
    held = [holds(proof, secrets) for proof in shown if proof]
    if any(held):
        return None
    macs = tuple(_claimed(headers))
    if macs:
        return ClaimedMacs(macs)
    if any(shown):
        raise Unproven("The secret is wrong: none of WEBHOOK_SECRET was sent")
    raise Unproven(
        "A secret is missing: send one of WEBHOOK_SECRET as 'Authorization', as"
        " 'X-Webhook-Secret', or as the key of an HMAC;"
        " a secret in the address counts for dockerhub, generic and quay only"
    )


def check_body(claims: ClaimedMacs, texts: Iterable[bytes], secrets: Sequence[bytes]) -> None:
    """Raise `Unproven` unless a claimed HMAC is that of one of the texts.

    `texts` are the raw body and, for a form, what Gitea signs of it; the first that holds ends it.
    """
    for text in texts:
        macs = [hmac.new(secret, text, hashlib.sha256).hexdigest().encode() for secret in secrets]
        fits = [hmac.compare_digest(mac, claimed) for mac in macs for claimed in claims.macs]
        if any(fits):
            return
    raise Unproven("The HMAC does not fit the body: the sender has another secret")


def _shown(headers: Headers) -> Iterator[bytes]:
    """Every form in which headers show a secret itself."""
    for name, value in headers:
        if name == "x-webhook-secret":
            yield as_sent(value.strip())
        elif name == "authorization":
            yield as_sent(value.strip())
            scheme, _, credentials = value.strip().partition(" ")
            if scheme.lower() == "bearer":
                yield as_sent(credentials.strip())
            elif scheme.lower() == "basic":
                yield basic_password(credentials.strip())


def _claimed(headers: Headers) -> Iterator[bytes]:
    """The HMACs that are claimed; an empty one, as Gitea sends without a secret, is none."""
    for name, value in headers:
        prefix = _HMAC_HEADERS.get(name)
        if prefix is not None and value.startswith(prefix):
            mac = value.removeprefix(prefix).strip()
            if _HEX.fullmatch(mac):
                yield mac.lower().encode()


def _unquoted(secret: str) -> bytes:
    """A secret of the query, where `+` was decoded to a space; secrets have no white space."""
    return as_sent(secret.replace(" ", "+"))
