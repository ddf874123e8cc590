"""Every registry's webhook: from headers and bytes to what happened.

Pure. One file a source with one parser, and the one table of them here. A hook says where to look,
never what is there: only names are taken from it, and no address in it is ever followed.

Which source a hook sent to `/hooks/registry` is from is told by its shape, asked in the order of
the table: first what names itself (zot's `Ce-Type`; Gitea's headers, before GitHub's, which Gitea
sends too), then what has keys of its own, then what has fewer. docs/hooks.md tells it to people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

import msgspec

from otaflux.errors import BadHook
from otaflux.hooks import (
    acr,
    distribution,
    dockerhub,
    generic,
    gitea,
    github,
    harbor,
    quay,
    zot,
)
from otaflux.hooks.hook import Hook
from otaflux.hooks.payload import (
    Example,
    Headers,
    Malformed,
    Part,
    Pushed,
    bounded,
    form_json,
    malformed,
    payload_of,
    text,
)

__all__ = [
    "EXAMPLES",
    "SOURCES",
    "Delivery",
    "Example",
    "Headers",
    "HookSource",
    "Proof",
    "Pushed",
    "form_json",
    "parse",
]


class Proof(Enum):
    """How a source can send the secret, as its registry has it; the receiver takes any of them."""

    AUTHORIZATION = "Authorization: SECRET"
    BEARER = "Authorization: Bearer SECRET"
    BASIC = "Authorization: Basic, the secret as the password"
    HEADER = "X-Webhook-Secret: SECRET"
    GITHUB_HMAC = "X-Hub-Signature-256"
    GITEA_HMAC = "X-Gitea-Signature"
    QUERY = "?secret=SECRET"


class HookSource(msgspec.Struct, frozen=True):
    """One kind of sender: how it is recognised, read, imitated, and how it proves itself."""

    name: str
    recognises: Callable[[Hook], bool]
    parse: Callable[[Headers, bytes], Iterable[Part]]
    example: Callable[[Pushed], Example]
    proof: Proof


class Delivery(msgspec.Struct, frozen=True):
    """What a hook says, each thing once, and the name of the source that it is from."""

    source: str
    parts: tuple[Part, ...]


SOURCES: dict[str, HookSource] = {
    source.name: source
    for source in (
        HookSource("zot", zot.recognises, zot.parse, zot.example, Proof.BASIC),
        HookSource("gitea", gitea.recognises, gitea.parse, gitea.example, Proof.GITEA_HMAC),
        HookSource("github", github.recognises, github.parse, github.example, Proof.GITHUB_HMAC),
        HookSource("harbor", harbor.recognises, harbor.parse, harbor.example, Proof.AUTHORIZATION),
        HookSource(
            "distribution",
            distribution.recognises,
            distribution.parse,
            distribution.example,
            Proof.BEARER,
        ),
        HookSource("acr", acr.recognises, acr.parse, acr.example, Proof.AUTHORIZATION),
        HookSource(
            "dockerhub", dockerhub.recognises, dockerhub.parse, dockerhub.example, Proof.QUERY
        ),
        HookSource("quay", quay.recognises, quay.parse, quay.example, Proof.QUERY),
        HookSource("generic", generic.recognises, generic.parse, generic.example, Proof.HEADER),
    )
}

# What `otaflux hook-example` can print: (source, its request), by the name that it is asked for.
EXAMPLES: dict[str, tuple[HookSource, Callable[[Pushed], Example]]] = {
    **{name: (source, source.example) for name, source in sorted(SOURCES.items())},
    "harbor-cloudevents": (SOURCES["harbor"], harbor.example_cloudevent),
}


def parse(headers: Headers, body: bytes, source: str | None = None) -> Delivery:
    """What a hook says; `source` is a name of `SOURCES` where the sender's address names it.

    Raises `BadHook` where the body is no JSON, or has the shape of no source (or another's). A
    malformed event in a known envelope is no error but a part: registries retry errors for ever.
    """
    hook = Hook.of(headers, payload_of(headers, body), named=source)
    asked = [SOURCES[source]] if source else []
    found = next((each for each in (*asked, *SOURCES.values()) if each.recognises(hook)), None)
    if found is None:
        raise BadHook(f"The body is JSON, but of no known shape.{hook.meant}")
    if source is not None and found.name != source:
        raise BadHook(
            f"This is no hook of {source}, it looks like one of {found.name}:"
            f" /hooks/registry/{found.name} takes it, and /hooks/registry takes all"
        )
    try:
        return Delivery(found.name, bounded(found.parse(headers, hook.payload)))
    except Malformed as error:
        return Delivery(found.name, (malformed(text(hook.keys.repository), str(error)),))
