"""`otaflux delete` at a registry: one tag, and no other one with it.

By tag where the registry can (`DELETE manifests/TAG`). Where it says that it cannot, by digest,
which takes every tag of that manifest along, and makes a hole in every index that names it: so each
other tag is looked up first, and one that would go too stops it. Afterwards the tag has to be gone,
for some registries say yes and keep it.

A tag that somebody pushes to the same bytes between the last look and the deletion goes along.

Source: distribution specification 1.1 ("Content Management": Deleting tags, Deleting Manifests).
Harbor and docker-registry 2 answer a deletion by tag with 400 or 405, `UNSUPPORTED` or
`DIGEST_INVALID`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from otaflux.errors import NotFound, Refused, Undecided, Unusable
from otaflux.model.artifact import Digest, Index, Listing
from otaflux.model.names import Tag
from otaflux.registry.manifest import digest_of
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.pages import oci_codes, oci_reason
from otaflux.registry.remote.requests import Call, RegistryAnswer, Requests
from otaflux.registry.remote.resolving import ACCEPT, RegistryResolver
from otaflux.registry.remote.ways import Scope
from otaflux.registry.source import Unchanged

AT_ONCE = 8  # tags that are looked up at once
MAX_NAMED = 5  # tags that a refusal names
SETTLING = (0.0, 0.2, 1.0, 3.0)  # seconds before looks at what should be gone; replicas lag

_DONE = frozenset({200, 202, 204})
# What a registry answers to a deletion by tag, or to any, where it knows no such thing.
_CANNOT = frozenset({400, 404, HTTPStatus.METHOD_NOT_ALLOWED, 501})
_OFF = frozenset({"UNSUPPORTED", "DENIED"})

_SET = (
    "docker-registry deletes with REGISTRY_STORAGE_DELETE_ENABLED=true (storage.delete.enabled) and"
    " a restart; elsewhere look for an immutability or retention rule, or delete it on the"
    " registry's own pages"
)


class Deletion:
    """One deletion in one repository. `scope` is for pull, push and delete."""

    def __init__(
        self,
        requests: Requests,
        resolver: RegistryResolver,
        name: str,
        scope: Scope,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._requests = requests
        self._resolver = resolver
        self._name = name
        self._scope = scope
        self._sleep = sleep

    async def __call__(self, tag: Tag, listing: Listing) -> str:
        """Take the tag back; returns what it stood for. `listing` is what lies beside it.

        Raises `NotFound` where it is not there, `Refused` where others would go with it, and
        `Undecided` where the registry does not delete or fails.
        """
        digest = await self._digest(tag)
        by_tag = await self._delete(tag)
        if by_tag.status in _DONE:
            await self._see_gone(tag)
            return str(digest)
        if by_tag.status not in _CANNOT:
            raise self._error(by_tag, tag)
        await self._check_alone(tag, digest, listing)
        by_digest = await self._delete(digest)
        if by_digest.status not in _DONE:
            raise self._error(by_digest, tag)
        await self._see_gone(tag)
        return str(digest)

    async def _digest(self, tag: Tag) -> Digest:
        """What the tag stands for, readable or not: computed over the bytes."""
        answer = await self._ask("GET", tag)
        if answer.status == HTTPStatus.OK:
            return digest_of(answer.body)
        if answer.status == HTTPStatus.NOT_FOUND and oci_codes(answer.body):
            raise NotFound(f"{self._name} has no tag {tag}{oci_reason(answer.body)}")
        raise self._error(answer, tag)

    async def _delete(self, reference: Tag | Digest) -> RegistryAnswer:
        try:
            return await self._ask("DELETE", reference)
        except Denied as error:
            raise Denied(
                f"{error}, asked to delete {self._name}:{reference}",
                hint="Is the account allowed to delete there? Reading and pushing are other rights",
            ) from None

    async def _ask(self, method: str, reference: Tag | Digest) -> RegistryAnswer:
        url = self._requests.endpoint.api(f"{self._name}/manifests/{reference}")
        headers = {"Accept": ACCEPT} if method == "GET" else {}
        return await self._requests.ask(Call("push", method, url, self._scope, headers=headers))

    async def _check_alone(self, tag: Tag, digest: Digest, listing: Listing) -> None:
        """Raises `Refused` where another tag stands for the same bytes, or an index over them."""
        others = [other for other in listing.tags if other != tag]
        places = asyncio.Semaphore(AT_ONCE)

        async def goes_along(other: Tag) -> bool:
            async with places:
                return await self._goes_along(other, digest)

        along = await asyncio.gather(*map(goes_along, others))
        shared = [str(other) for other, goes in zip(others, along, strict=True) if goes]
        if not shared:
            return
        named = ", ".join(sorted(shared)[:MAX_NAMED])
        more = f" and {len(shared) - MAX_NAMED} more" if len(shared) > MAX_NAMED else ""
        raise Refused(
            f"{self._name}:{tag} has the same bytes as {named}{more}, and this registry deletes by"
            " digest only, which would take these along. Nothing was deleted: remove that tag on"
            " the registry's own pages, or push other bytes to it with --force and delete it then"
        )

    async def _goes_along(self, other: Tag, digest: Digest) -> bool:
        try:
            found = await self._resolver.resolve(self._name, self._scope, other, digest)
        except Unusable as error:  # bytes that are no manifest OtaFlux reads; whose, it may say
            return error.digest in {"", str(digest)}
        if isinstance(found, Index):
            return any(child.digest == digest for child in found.manifests)
        return isinstance(found, Unchanged)

    async def _see_gone(self, tag: Tag) -> None:
        for seconds in SETTLING:
            await self._sleep(seconds)
            answer = await self._ask("GET", tag)
            if answer.status == HTTPStatus.NOT_FOUND and oci_codes(answer.body):
                return  # the last tag of some registries takes the repository's name along
            if answer.status != HTTPStatus.OK:
                raise self._error(answer, tag)
        raise Undecided(
            f"the registry took the deletion of {self._name}:{tag}, and still has it",
            hint="Look at the registry: a proxy cache or a rule may bring it back",
        )

    def _error(self, answer: RegistryAnswer, tag: Tag) -> Undecided:
        """Why a tag was not deleted, and what to set."""
        codes = oci_codes(answer.body)
        is_off = answer.status in {HTTPStatus.METHOD_NOT_ALLOWED, 501} or bool(codes & _OFF)
        what = "does not delete" if is_off else "did not delete"
        return Undecided(
            f"the registry {what} {self._name}:{tag}: it answers"
            f" {answer.status}{oci_reason(answer.body)}",
            hint=_SET,
        )
