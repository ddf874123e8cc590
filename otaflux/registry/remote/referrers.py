"""What is attached to a manifest: signatures and the like that name it as their `subject`.

The referrers API where the registry has it, else the fallback tag that clients keep. An error is
never "there are none": 5xx, 429, 401 and 403 are `Undecided`. What a listing claims is held against
the `subject` of each manifest that it names, for a fallback tag is written by whoever may push.

Source: distribution specification 1.1 ("Listing Referrers", "Referrers Tag Schema").
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from otaflux.errors import Undecided, Unusable
from otaflux.model.artifact import OCI_INDEX, Descriptor, Digest, Index, Manifest
from otaflux.model.names import Tag
from otaflux.registry.remote import pages
from otaflux.registry.remote.requests import Call, RegistryAnswer, Requests
from otaflux.registry.remote.resolving import RegistryResolver
from otaflux.registry.remote.ways import Scope

MAX_ATTACHED = 256  # artifacts of one manifest that are looked at


async def attached(
    requests: Requests, resolver: RegistryResolver, name: str, scope: Scope, digest: Digest
) -> tuple[Descriptor, ...]:
    """The artifacts whose subject is `digest`; raises `Undecided` where that was not learnt."""
    claimed = await _by_api(requests, resolver, name, scope, digest)
    if claimed is None:
        claimed = await _by_tag(resolver, name, scope, digest)
    return tuple(
        [
            descriptor
            for descriptor in claimed[:MAX_ATTACHED]
            if await _is_about(resolver, name, scope, descriptor, digest)
        ]
    )


async def _by_api(
    requests: Requests, resolver: RegistryResolver, name: str, scope: Scope, digest: Digest
) -> list[Descriptor] | None:
    """What the API lists; None where the registry has none."""
    url = requests.endpoint.api(f"{name}/referrers/{digest}")
    call = Call("referrers", "GET", url, scope, headers={"Accept": OCI_INDEX})
    answer = await requests.ask(call)
    index = await _index(resolver, answer)
    if index is None:
        return None
    found: dict[Digest, Descriptor] = {}
    seen = {str(url)}
    for _ in range(pages.MAX_PAGES):
        found.update((child.digest, child) for child in index.manifests)
        link = pages.next_link(answer.headers.getall("Link", []))
        if link is None or len(found) > MAX_ATTACHED:
            break
        url = requests.endpoint.page(answer.url, link)
        if str(url) in seen:
            break
        seen.add(str(url))
        answer = await requests.ask(replace(call, url=url))
        index = await _index(resolver, answer)
        if index is None:
            raise Undecided(f"the registry answers {answer.status} for a page of referrers")
    return list(found.values())


async def _index(resolver: RegistryResolver, answer: RegistryAnswer) -> Index | None:
    """The index that the API answers with; None where the answer is not the API's."""
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Undecided(f"the registry answers {answer.status} for referrers")
    if answer.status != HTTPStatus.OK:
        return None
    try:
        index = await resolver.reader.read(answer.body, media_type=None)
    except Undecided:
        return None  # a page for people: this server answers any address
    except Unusable as error:
        raise Undecided(f"the registry's list of referrers cannot be read: {error}") from None
    return index if isinstance(index, Index) else None


async def _by_tag(
    resolver: RegistryResolver, name: str, scope: Scope, digest: Digest
) -> list[Descriptor]:
    """What the fallback tag lists; it may be missing, or be somebody's image."""
    tag = Tag(f"{digest.algorithm}-{digest.hex[:64]}")
    try:
        index = await resolver.resolve(name, scope, tag, None)
    except Unusable:
        return []
    return list(index.manifests) if isinstance(index, Index) else []


async def _is_about(
    resolver: RegistryResolver, name: str, scope: Scope, descriptor: Descriptor, digest: Digest
) -> bool:
    try:
        artifact = await resolver.resolve(name, scope, descriptor.digest, None)
    except Unusable:
        return False
    if not isinstance(artifact, Manifest | Index) or artifact.subject is None:
        return False
    resolver.keep(name, artifact)
    return artifact.subject.digest == digest
