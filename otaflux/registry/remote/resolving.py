"""What a tag or digest stands for at a registry: one manifest, for as little as it can cost.

A digest is computed over the bytes and held against the one asked for, or the one that the registry
gave with them. A 404 is `Gone` only with an OCI error body that says so.

Source: distribution specification ("Pulling manifests"); how registries differ is in
docs/registries.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import AsyncExitStack
from http import HTTPStatus

import aiohttp
from msgspec.structs import replace

from otaflux.boundedmap import BoundedMap
from otaflux.errors import BadName, Undecided, Unusable, Withheld
from otaflux.model.artifact import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Artifact,
    Digest,
    Gone,
)
from otaflux.model.names import Tag
from otaflux.registry.manifest import MAX_MANIFEST, too_large
from otaflux.registry.manifestreader import ManifestReader
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.pages import oci_codes, oci_reason
from otaflux.registry.remote.requests import BodyTooLarge, Call, RegistryAnswer, Requests
from otaflux.registry.remote.ways import Scope
from otaflux.registry.source import Unchanged
from otaflux.threads import InThread
from otaflux.wording import plain

ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_LIST}, {DOCKER_MANIFEST}"
MAX_ETAGS = 20_000  # tags whose ETag is remembered, where it is not simply the digest
MAX_ETAG = 256  # characters
MAX_HASHED = 64 * 1024 * 1024  # bytes of a manifest above the limit that are read for its digest

# What a registry says of a tag that is not there; the second is Harbor's, the third what Quay says
# of one that was deleted or ran out (`TagExpired` in its endpoints/v2/errors.py).
_GONE = frozenset({"MANIFEST_UNKNOWN", "NOT_FOUND", "TAG_EXPIRED"})
_NO_REPOSITORY = re.compile(r"\b(?:repository|project) \S+ not found")


class RegistryResolver:
    """Resolves at one registry. `head_first` is for one that counts pulls."""

    def __init__(
        self, requests: Requests, *, head_first: bool, in_thread: InThread = asyncio.to_thread
    ) -> None:
        self._requests = requests
        self.reader = ManifestReader(in_thread)
        self._head_first = head_first
        self._etags: BoundedMap[tuple[str, str], tuple[str, Digest]] = BoundedMap(MAX_ETAGS)

    async def resolve(
        self, name: str, scope: Scope, reference: Tag | Digest, known: Digest | None
    ) -> Artifact | Unchanged | Gone:
        """The manifest or index, or that it is still `known`, or gone.

        Raises `Undecided`, and `Unusable` for verified bytes that cannot be read.
        """
        url = self._requests.endpoint.api(f"{name}/manifests/{reference}")
        call = Call("manifest", "GET", url, scope, headers={"Accept": ACCEPT})
        if known is not None and self._head_first and await self._head(call) == known:
            return Unchanged()
        etag = self._etag(name, reference, known)
        if etag is not None:
            call = replace(call, headers={"Accept": ACCEPT, "If-None-Match": etag})
        async with AsyncExitStack() as held:  # of large manifests a few at once are in memory
            try:
                answer = await self._requests.ask(call, max_bytes=MAX_MANIFEST, large=held)
            except BodyTooLarge:
                raise await self._large(call, reference) from None
            return await self._read(answer, name, reference, known, etag)

    async def _read(
        self,
        answer: RegistryAnswer,
        name: str,
        reference: Tag | Digest,
        known: Digest | None,
        etag: str | None,
    ) -> Artifact | Unchanged | Gone:
        """What an answer says of a reference; `etag` is what was asked about."""
        if answer.status == HTTPStatus.NOT_MODIFIED and etag is not None:
            return Unchanged()
        if answer.status == HTTPStatus.NOT_FOUND:
            self._requests.is_harbor |= "NOT_FOUND" in oci_codes(answer.body)
            if _says_gone(answer):
                return Gone()
        if answer.status == HTTPStatus.PRECONDITION_FAILED and oci_codes(answer.body):
            raise Withheld(
                f"a policy of the registry withholds it ({answer.status}{oci_reason(answer.body)})"
            )
        if answer.status != HTTPStatus.OK:
            raise Undecided(
                f"the registry answers {answer.status}{oci_reason(answer.body)} for"
                f" {name}:{plain(reference)}"
            )
        artifact = await self.reader.read(
            answer.body,
            media_type=answer.headers.get("Content-Type"),
            asked=_asked(reference, answer.headers.get("Docker-Content-Digest")),
        )
        self._remember(name, reference, artifact.digest, answer.headers.get("ETag", ""))
        return Unchanged() if artifact.digest == known else artifact

    async def _head(self, call: Call) -> Digest | None:
        """The digest that a HEAD gives; None where it gives none, for a GET to say more."""
        try:
            answer = await self._requests.ask(replace(call, method="HEAD"))
        except Denied:
            return None  # some registries refuse HEAD alone
        if answer.status != HTTPStatus.OK:
            return None
        return _digest(answer.headers.get("Docker-Content-Digest"))

    def _etag(self, name: str, reference: Tag | Digest, known: Digest | None) -> str | None:
        """What to send as If-None-Match: docker-registry's ETag is the digest in quotes."""
        if known is None:
            return None
        remembered = self._etags.get((name, str(reference)))
        if remembered is not None and remembered[1] == known:
            return remembered[0]
        return f'"{known}"'

    def _remember(self, name: str, reference: Tag | Digest, digest: Digest, etag: str) -> None:
        if not etag or len(etag) > MAX_ETAG or etag == f'"{digest}"':
            self._etags.drop((name, str(reference)))
        else:
            self._etags.put((name, str(reference)), (etag, digest))

    async def _large(self, call: Call, reference: Tag | Digest) -> Undecided | Unusable:
        """What to raise for a manifest above the limit: a verdict where its digest is right.

        Without that it could be anybody's page, and a page is no reason to pass a release over.
        """
        async with self._requests.stream(replace(call, headers={"Accept": ACCEPT})) as response:
            asked = _asked(reference, response.headers.get("Docker-Content-Digest"))
            if asked is not None and await self._hashes_to(response, asked, call.scope):
                return too_large(asked)
        return Undecided(f"the registry's manifest is larger than {MAX_MANIFEST} bytes")

    async def _hashes_to(
        self, response: aiohttp.ClientResponse, asked: Digest, scope: Scope
    ) -> bool:
        digest = hashlib.new(asked.algorithm, usedforsecurity=False)
        size = 0
        try:
            async with asyncio.timeout(self._requests.wire.policy.body_timeout):
                async for piece in response.content.iter_any():
                    digest.update(piece)
                    size += len(piece)
                    if size > MAX_HASHED:
                        return False
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._requests.broken(error, response.url, scope) from None
        return digest.hexdigest() == asked.hex


def _says_gone(answer: RegistryAnswer) -> bool:
    """Whether a 404 is the registry's word that the tag is not there.

    docker-registry 2 answers so as well where a proxy took our `Accept` away, and Harbor where it
    does not know the repository: a cache whose upstream is away, or one that is being restored.
    """
    codes, said = oci_codes(answer.body), oci_reason(answer.body)
    of_something_else = "accept header" in said or _NO_REPOSITORY.search(said) is not None
    return bool(codes) and codes <= _GONE and not of_something_else


def _asked(reference: Tag | Digest, header: str | None) -> Digest | None:
    """The digest that the bytes must have: ours, else the registry's, where it gives one."""
    return reference if isinstance(reference, Digest) else _digest(header)


def _digest(header: str | None) -> Digest | None:
    try:
        return Digest.parse((header or "").strip())
    except BadName:
        return None
