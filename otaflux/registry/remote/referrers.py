"""What is attached to a manifest: signatures and the like that name it as their `subject`.

The referrers API where the registry has it, else the fallback tag that clients keep. An error is
never "there are none": 5xx, 429, 401 and 403 are `Undecided`. What is listed is what others claim:
whoever uses it holds it against the `subject` of each manifest.

Source: distribution specification 1.1 ("Listing Referrers", "Referrers Tag Schema").
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec.structs import replace

from otaflux.errors import Undecided, Unusable, Withheld
from otaflux.model.artifact import OCI_INDEX, Descriptor, Digest, Index
from otaflux.registry.attachments import fallback_tag, likeliest
from otaflux.registry.remote import pages
from otaflux.registry.remote.requests import Call, RegistryAnswer, Requests
from otaflux.registry.remote.resolving import RegistryResolver
from otaflux.registry.remote.ways import Scope

# What registries without the API answer: they do not know the address, or what to do there.
_NO_API = frozenset({400, 404, 405, 406, 410, 415})
MOST_PAGES = 20  # of the API's answer that are read; registries give some hundred entries a page


async def attached(
    requests: Requests, resolver: RegistryResolver, name: str, scope: Scope, digest: Digest
) -> tuple[Descriptor, ...]:
    """What is listed as being about `digest`; raises `Undecided` where that was not learnt.

    And `Unusable` where the fallback tag names what nobody can read as a list.
    """
    claimed = await _by_api(requests, resolver, name, scope, digest)
    # What was attached before a registry had the API is listed by the tag alone.
    return claimed or await _by_tag(resolver, name, scope, digest)


async def _by_api(
    requests: Requests, resolver: RegistryResolver, name: str, scope: Scope, digest: Digest
) -> tuple[Descriptor, ...] | None:
    """What the API lists; None where the registry has none."""
    url = requests.endpoint.api(f"{name}/referrers/{digest}")
    call = Call("referrers", "GET", url, scope, headers={"Accept": OCI_INDEX})
    answer = await requests.ask(call)
    index = await _index(resolver, answer)
    if index is None:
        return None
    found: tuple[Descriptor, ...] = ()
    seen = {str(url)}
    for _ in range(MOST_PAGES):
        found = likeliest((*found, *index.manifests))
        link = pages.next_link(answer.headers.getall("Link", []))
        if link is None:
            break
        url = requests.endpoint.page(answer.url, link)
        if str(url) in seen:
            break
        seen.add(str(url))
        answer = await requests.ask(replace(call, url=url))
        index = await _index(resolver, answer)
        if index is None:
            raise Undecided(f"the registry answers {answer.status} for a page of referrers")
    return found


async def _index(resolver: RegistryResolver, answer: RegistryAnswer) -> Index | None:
    """The index that the API answers with; None where the answer is not the API's."""
    if answer.status in _NO_API:
        return None
    if answer.status != HTTPStatus.OK:
        raise Undecided(f"the registry answers {answer.status} for referrers")
    try:
        index = await resolver.reader.read(answer.body, media_type=None)
    except Undecided:
        if "json" in answer.headers.get("Content-Type", "").lower():
            raise
        return None  # a page for people: this server answers any address
    except Unusable as error:
        raise Undecided(f"the registry's list of referrers cannot be read: {error}") from None
    return index if isinstance(index, Index) else None


async def _by_tag(
    resolver: RegistryResolver, name: str, scope: Scope, digest: Digest
) -> tuple[Descriptor, ...]:
    """What the fallback tag lists; it may be missing, or be somebody's image."""
    try:
        index = await resolver.resolve(name, scope, fallback_tag(digest), None)
    except Withheld as error:
        raise Undecided(f"what is attached to it could not be read: {error}") from None
    except Unusable as error:
        raise Unusable(f"the list of what is attached to it cannot be read: {error}") from None
    return likeliest(index.manifests) if isinstance(index, Index) else ()
