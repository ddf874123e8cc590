"""`otaflux push` to a registry: blobs first, the tag last, nothing twice.

A blob that is there already is not sent. One that is not goes up in one request, streamed from its
file, so a push of any size costs a piece of memory. The address for it comes from the registry and
may be anywhere; credentials go along only at the registry's own origin.

A signature goes up before the tag. Registries without the referrers API need a list besides, which
clients share with no lock: it is read again after it was written, until ours is in it.

Source: distribution specification 1.1 ("Pushing Blobs", "Pushing Manifests", "Referrers Tag
Schema").
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedReader
from yarl import URL

from otaflux.errors import Refused, Undecided, Unreachable, Unusable
from otaflux.model.artifact import OCI_INDEX, OCI_MANIFEST, Digest, Index
from otaflux.model.names import Tag
from otaflux.registry.attaching import Attachment, listed
from otaflux.registry.attachments import fallback_tag
from otaflux.registry.manifest import digest_of, parse_artifact
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.endpoint import read_url
from otaflux.registry.remote.pages import oci_codes, oci_reason
from otaflux.registry.remote.requests import Call, RegistryAnswer, Requests
from otaflux.registry.remote.resolving import ACCEPT
from otaflux.registry.remote.ways import Scope
from otaflux.registry.upload import EMPTY_BLOB, EMPTY_DIGEST, RAW, Upload, refuse_same_files
from otaflux.wording import quoted

PIECE = 512 * 1024  # bytes read and sent at once
LIST_ATTEMPTS = 5  # times that the list of what is attached is written, until ours stays in it
LIST_WAIT = 0.2  # seconds between the first two, more with each, and up to twice that by chance
# "OCI-Subject", with which a registry says that it lists a manifest by its subject by itself.
SUBJECT_TAKEN = "OCI-Subject"

Progress = Callable[[int], None]

_CREATED = frozenset({200, 201, 202, 204})


class RegistryPush:
    """One push to one repository. `scope` is for pull and push."""

    def __init__(
        self,
        requests: Requests,
        name: str,
        scope: Scope,
        *,
        progress: Progress,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._requests = requests
        self._name = name
        self._scope = scope
        self._progress = progress
        self._sleep = sleep

    async def __call__(
        self, tag: Tag, upload: Upload, *, force: bool, attached: Attachment | None = None
    ) -> Digest:
        """Send what is missing of an artifact; returns its digest.

        What is to be `attached` to it is there before its tag is, so that nobody who sees the tag
        finds it without. Raises `Refused` where the tag is taken by other bytes and `force` is
        false, or the registry will not have it; `Undecided` where it fails.
        """
        body = await self._there(tag)
        there = digest_of(body)
        if body and there != upload.digest and not force:
            refuse_same_files(upload, f"{self._name}:{tag}", there, body)
            raise Refused(
                f"{self._name}:{tag} is taken by other bytes ({there}): give this build a version"
                " of its own, or use --force"
            )
        await self._blob(EMPTY_DIGEST, len(EMPTY_BLOB), EMPTY_BLOB)
        for layer in upload.blobs:
            await self._blob(layer.digest, layer.size, layer.file.path)
        if attached is not None:
            if there != upload.digest:
                await self._manifest(upload.digest, upload.manifest, upload.digest)
            await self._attach(upload.digest, attached)
        if there != upload.digest:
            await self._manifest(tag, upload.manifest, upload.digest)
        return upload.digest

    async def _attach(self, subject: Digest, made: Attachment) -> None:
        """Attach an artifact: for the referrers API, and in the list where there is none."""
        await self._blob(made.blob_digest, len(made.blob), made.blob)
        asked = {"Accept": OCI_MANIFEST}
        there = await self._ask("HEAD", f"manifests/{made.digest}", headers=asked)
        if there.status != HTTPStatus.OK:
            answer = await self._manifest(made.digest, made.manifest, made.digest)
            if SUBJECT_TAKEN in answer.headers:
                return
        if await self._has_api(subject):
            return
        tag = fallback_tag(subject)
        for attempt in range(LIST_ATTEMPTS):
            if attempt:
                await self._sleep(LIST_WAIT * attempt * (1 + self._requests.wire.chance.random()))
            index = await self._index(tag)
            body = listed(index, made)
            if body is None:
                return
            await self._manifest(tag, body, digest_of(body), OCI_INDEX)
        if listed(await self._index(tag), made) is not None:
            raise Undecided(
                f"others change the list {tag} of what is attached all the time",
                hint="Push again: nothing is sent twice",
            )

    async def _has_api(self, subject: Digest) -> bool:
        """Whether the registry itself lists what is attached."""
        answer = await self._ask("GET", f"referrers/{subject}", headers={"Accept": OCI_INDEX})
        if answer.status != HTTPStatus.OK:
            return False
        with suppress(Undecided, Unusable):
            return isinstance(parse_artifact(answer.body, media_type=OCI_INDEX), Index)
        return False

    async def _index(self, tag: Tag) -> bytes | None:
        """The list under a tag as it is now; None where there is none."""
        answer = await self._ask("GET", f"manifests/{tag}", headers={"Accept": OCI_INDEX})
        if answer.status == HTTPStatus.OK:
            return answer.body
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        raise self._error(answer, f"for the tag {tag}")

    async def _there(self, tag: Tag) -> bytes:
        """The manifest that the tag names now; empty where there is none, or no repository yet.

        Raises `Undecided` where it is no manifest: a page, a log-in portal.
        """
        answer = await self._ask("GET", f"manifests/{tag}", headers={"Accept": ACCEPT})
        if answer.status == HTTPStatus.OK:
            with suppress(Unusable):  # a manifest, though none that OtaFlux serves
                parse_artifact(answer.body, media_type=answer.headers.get("Content-Type"))
            return answer.body
        if answer.status == HTTPStatus.NOT_FOUND:
            return b""
        raise self._error(answer, f"for {self._name}:{tag}")

    async def _blob(self, digest: Digest, size: int, content: Path | bytes) -> None:
        """See that the registry has a blob: a file's bytes, or a few that are at hand."""
        if (await self._ask("HEAD", f"blobs/{digest}")).status == HTTPStatus.OK:
            self._progress(0 if isinstance(content, bytes) else size)
            return
        policy = self._requests.wire.policy
        for attempt in range(1, policy.attempts + 1):
            sent = _Counted(self._progress)
            try:
                if isinstance(content, bytes):
                    await self._send(digest, size, content)
                else:
                    async with _opened(content) as file:
                        await self._send(digest, size, _pieces(file, sent))
            except Undecided as error:
                self._progress(-sent.total)
                # A token may have ended on the way, and is a new one by now; rights do not change.
                is_final = isinstance(error, Unreachable) or (
                    isinstance(error, Denied) and (attempt > 1 or not sent.total)
                )
                if is_final or attempt == policy.attempts:
                    raise
                await self._sleep(policy.wait(attempt, self._requests.wire.chance))
            else:
                return

    async def _send(self, digest: Digest, size: int, data: bytes | AsyncIterator[bytes]) -> None:
        begun = await self._ask("POST", "blobs/uploads/")
        location = begun.headers.get("Location")
        if begun.status not in _CREATED or not location:
            raise self._error(begun, f"to begin an upload to {self._name}")
        url = await self._upload_url(begun.url, location, digest)
        call = Call(
            "push",
            "PUT",
            url,
            self._scope,
            headers={"Content-Type": RAW, "Content-Length": str(size)},
            data=data,
            once=True,
        )
        answer = await self._requests.ask(call)
        if answer.status not in _CREATED:
            if "DIGEST_INVALID" in oci_codes(answer.body) or "SIZE_INVALID" in oci_codes(
                answer.body
            ):
                raise Refused(
                    "the file changed while it was sent, or the way to the registry is bad"
                )
            raise self._error(answer, f"for a blob of {size} bytes")

    async def _upload_url(self, posted: URL, location: str, digest: Digest) -> URL:
        """Where the bytes go, with the digest they end in.

        A registry behind a proxy that ends TLS may name itself with http and its inner port.
        """
        url = read_url(location, base=posted)
        own = self._requests.endpoint.base
        if url.host == own.host and url.scheme != own.scheme:
            url = URL.build(
                scheme=own.scheme,
                authority=own.raw_authority,
                path=url.raw_path,
                query_string=url.raw_query_string,
                encoded=True,
            )
        await self._requests.neighbourhood.check_redirect(own, url, content_addressed=False)
        joint = "&" if url.raw_query_string else "?"
        return URL(f"{url}{joint}digest={digest.algorithm}%3A{digest.hex}", encoded=True)

    async def _manifest(
        self, reference: Tag | Digest, body: bytes, digest: Digest, media_type: str = OCI_MANIFEST
    ) -> RegistryAnswer:
        answer = await self._ask(
            "PUT", f"manifests/{reference}", headers={"Content-Type": media_type}, data=body
        )
        if answer.status not in _CREATED:
            what = "for the tag" if isinstance(reference, Tag) else "for the manifest"
            raise self._error(answer, f"{what} {reference}")
        told = answer.headers.get("Docker-Content-Digest")
        if told is not None and told != str(digest):
            raise Undecided(f"the registry took {digest} and calls it {quoted(told)}")
        return answer

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> RegistryAnswer:
        url = self._requests.endpoint.api(f"{self._name}/{path}")
        call = Call("push", method, url, self._scope, headers=headers or {}, data=data)
        return await self._requests.ask(call)

    @staticmethod
    def _error(answer: RegistryAnswer, what: str) -> Refused | Undecided:
        """The registry's no is for the pusher, for it will not change; its faults may."""
        message = f"the registry answers {answer.status}{oci_reason(answer.body)} {what}"
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            message += ": it, or a proxy before it, takes no bodies so large"
        if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return Refused(message)
        return Undecided(message)


class _Counted:
    """Passes numbers of bytes on, and knows their sum."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.total = 0

    def __call__(self, size: int) -> None:
        self.total += size
        self._progress(size)


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[AsyncBufferedReader]:
    """A file, closed however its sending ends; raises `Refused` where it cannot be opened."""
    async with AsyncExitStack() as stack:
        try:
            file = await stack.enter_async_context(aiofiles.open(path, "rb"))
        except OSError as error:
            raise Refused(f"cannot read {path}: {error.strerror or error}") from None
        yield file


async def _pieces(file: AsyncBufferedReader, sent: Progress) -> AsyncIterator[bytes]:
    """A file's bytes; `sent` hears of each piece as it goes."""
    while piece := await file.read(PIECE):
        yield piece
        sent(len(piece))
