"""What a listing says is attached to a manifest: where it lies, and how far it is looked at.

A listing is written by whoever may push, and tools leave out or mistake what it says of an artifact
(cosign 2.6 writes the type of the empty config there, and no annotations). So its words are a hint
for the order, and nothing is left out for them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from otaflux.model.artifact import (
    BUNDLE_TYPE,
    NO_ANNOTATIONS,
    OCI_EMPTY,
    PREDICATE_TYPE,
    SIGNS,
    Descriptor,
    Digest,
)
from otaflux.model.names import Tag

MOST_ATTACHED = 100  # artifacts of one manifest that are looked at
MAX_HINT = 200  # characters of what a listing says of an artifact
OLD_LAYOUT = "application/vnd.dev.cosign.artifact.sig.v1+json"  # cosign 2 with referrers


def likeliest(
    claimed: Iterable[Descriptor], *, most: int = MOST_ATTACHED
) -> tuple[Descriptor, ...]:
    """At most so many of what is claimed, each once: likely signatures first, newest first.

    Without their annotations but for the one that says what they are: thousands take much memory.
    """
    once: dict[Digest, Descriptor] = {}
    for descriptor in claimed:
        once.setdefault(descriptor.digest, descriptor)
    newest_first = [*once.values()][::-1]
    newest_first.sort(key=_unlikeliness)
    return tuple(replace(each, annotations=_hint(each)) for each in newest_first[:most])


def fallback_tag(subject: Digest) -> Tag:
    """The tag under which clients list what is about `subject`, where there is no referrers API.

    (Distribution specification 1.1, "Referrers Tag Schema".)
    """
    return Tag(f"{subject.algorithm}-{subject.hex[:64]}")


def _hint(descriptor: Descriptor) -> Mapping[str, str]:
    said = descriptor.annotations.get(PREDICATE_TYPE)
    return NO_ANNOTATIONS if said is None else MappingProxyType({PREDICATE_TYPE: said[:MAX_HINT]})


def _unlikeliness(descriptor: Descriptor) -> int:
    """0 for what says that it is a signature, 2 for what says that it is something else."""
    said = descriptor.annotations.get(PREDICATE_TYPE)
    if said is not None:
        return 0 if said == SIGNS else 2
    artifact_type = descriptor.artifact_type
    likely = (
        not artifact_type
        or artifact_type in {OCI_EMPTY, OLD_LAYOUT}
        or BUNDLE_TYPE in artifact_type
    )
    return 1 if likely else 2
