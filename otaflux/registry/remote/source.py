"""A registry over HTTP, behind the methods of `otaflux.registry.source.Source`.

An async context manager; all of it is on one event loop, only a blob's reader is for a thread.
What the registry says is an answer only where the specification makes it one: a tag is `Gone` by a
404 whose OCI error body says so, and by nothing else; a listing counts only read whole. All else is
`Undecided`, so that no fault of a registry ever reaches a device.

Unchanged tags cost one small request: conditional by ETag where registries count no pulls, `HEAD`
on Docker Hub, which counts each `GET` of a manifest and no `HEAD`.

Source: distribution specification 1.1 and Harbor's API 2.0; what registries make of them is in
docs/registries.md.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import ParamSpec, Self, TypeVar

from msgspec.structs import replace

from otaflux.errors import BadName, Undecided, Unreachable
from otaflux.model.artifact import Artifact, Descriptor, Digest, Gone, Listing
from otaflux.model.names import Device, Namespace, Tag
from otaflux.registry.remote import blobs, listings, referrers
from otaflux.registry.remote.credentials import Credentials
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.endpoint import Endpoint
from otaflux.registry.remote.harbor import HarborProjects
from otaflux.registry.remote.neighbourhood import Lookup, Neighbourhood, look_up
from otaflux.registry.remote.pages import oci_reason
from otaflux.registry.remote.requests import Call, Requests
from otaflux.registry.remote.resolving import RegistryResolver
from otaflux.registry.remote.retries import SERVER, RetryPolicy
from otaflux.registry.remote.ways import Scope
from otaflux.registry.remote.wire import OnRequest, Wire
from otaflux.registry.source import Attach, BlobReader, File, Unchanged
from otaflux.threads import InThread, Work

PING = Scope("")  # of no repository: a token for nothing, which still takes a good login
SPARE_CONNECTIONS = 8  # beside one for each place: blobs under way, and tokens
P = ParamSpec("P")
T = TypeVar("T")


class Remote:
    """One registry, and the devices that a namespace finds there.

    `endpoint` is `Endpoint.parse(REGISTRY_URL)`, `credentials` are asked for each request. `policy`
    is `SERVER` or `COMMAND`. `environ` holds `HTTPS_PROXY` and its like; `concurrency` is the
    number of devices that are looked at at once. `on_request` hears of each request on the wire
    (see `Wire`). `clock` is monotonic, `wall` is seconds since the epoch, `in_thread` runs blocking
    work, `lookup` gives the addresses of a name that the registry refers to.
    """

    is_authoritative = False

    def __init__(
        self,
        endpoint: Endpoint,
        namespace: Namespace,
        credentials: Credentials | None = None,
        *,
        ca_cert_path: Path | None = None,
        insecure: bool = False,
        environ: Mapping[str, str] = MappingProxyType({}),
        policy: RetryPolicy = SERVER,
        concurrency: int = 8,
        on_request: OnRequest = lambda _kind, _outcome: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: blobs.Sleep = asyncio.sleep,
        in_thread: InThread = asyncio.to_thread,
        chance: random.Random | None = None,
        lookup: Lookup = look_up,
    ) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._namespace = namespace
        self._sleep = sleep
        self._in_thread = in_thread
        self._one_large = asyncio.Lock()
        self._wire = Wire(
            endpoint.base.host or "",
            policy=policy,
            ca_cert_path=ca_cert_path,
            insecure=insecure,
            environ=environ,
            connections=concurrency + SPARE_CONNECTIONS,
            on_request=on_request,
            clock=clock,
            wall=wall,
            chance=chance,
        )
        neighbourhood = Neighbourhood(
            endpoint,
            is_proxied=lambda url: self._wire.proxy(url) is not None,
            lookup=lookup,
            clock=clock,
        )
        self._wire.check_connection = neighbourhood.check_connection
        self._requests = Requests(
            endpoint, credentials or Credentials(endpoint), self._wire, neighbourhood
        )
        self._harbor = HarborProjects(self._requests, clock)
        self._resolver = RegistryResolver(
            self._requests, head_first=endpoint.is_docker_hub, in_thread=in_thread
        )

    async def __aenter__(self) -> Self:
        """Open the session; raises `BadSetting` where the certificates cannot be read."""
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._requests.close()
        await self._wire.__aexit__(kind, error, trace)

    async def devices(self) -> frozenset[Device] | None:
        """The devices that the registry lists under the prefix; None without one, or refused."""
        if not self._namespace.listed:
            return None
        prefix = self._namespace.prefix
        with self._told():
            names = await listings.repositories(self._requests, prefix, self._beside_the_loop)
        if names is None:
            return None
        if len(names) < listings.LARGE_LISTING:
            return self._devices(names)
        return frozenset(await self._beside_the_loop(self._devices, names))

    def _devices(self, names: list[str]) -> frozenset[Device]:
        found = set()
        for name in names:
            try:
                found.add(self._namespace.device(name))
            except BadName:
                continue
        return frozenset(found)

    async def _beside_the_loop(
        self, work: Work[P, T], /, *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Sort out a large listing in a thread; one at a time, for each takes memory."""
        async with self._one_large:
            return await self._in_thread(work, *arguments, **options)

    async def tags(self, device: Device) -> Listing:
        """All tags of a device, in no order."""
        name, scope = self._place(device)
        with self._told():
            listing = await listings.tags(self._requests, name, scope, self._beside_the_loop)
            return replace(listing, is_cache=await self._harbor.is_cache(name))

    async def resolve(
        self, device: Device, reference: Tag | Digest, *, known: Digest | None = None
    ) -> Artifact | Unchanged | Gone:
        """What a tag or digest stands for; see `otaflux.registry.remote.resolving`."""
        name, scope = self._place(device)
        with self._told():
            return await self._resolver.resolve(name, scope, reference, known)

    def open_blob(
        self, device: Device, descriptor: Descriptor, *, max_bytes: int
    ) -> AbstractAsyncContextManager[BlobReader]:
        """A reader for a thread; see `otaflux.registry.remote.blobs`."""
        name, scope = self._place(device)
        url = self._endpoint.api(f"{name}/blobs/{descriptor.digest}")
        return blobs.open_blob(
            self._requests, url, scope, descriptor, max_bytes=max_bytes, sleep=self._sleep
        )

    async def attached(self, device: Device, digest: Digest) -> tuple[Descriptor, ...]:
        """The artifacts whose subject is `digest`; see `otaflux.registry.remote.referrers`."""
        name, scope = self._place(device)
        with self._told():
            return await referrers.attached(self._requests, self._resolver, name, scope, digest)

    async def push(
        self,
        device: Device,
        tag: Tag,
        files: Sequence[File],
        *,
        annotations: Mapping[str, str],
        force: bool,
        progress: Callable[[int], None] = lambda _: None,
        attach: Attach | None = None,
    ) -> Digest:
        """Push files as one artifact; `progress` hears a negative number where a blob starts over.

        See `otaflux.registry.remote.pushing`.
        """
        from otaflux.registry.attaching import attachment
        from otaflux.registry.remote.pushing import RegistryPush
        from otaflux.registry.upload import build, measure

        name, scope = self._place(device, "pull", "push")
        layers = await asyncio.to_thread(measure, files)
        upload = build(device, tag, layers, annotations=annotations)
        push = RegistryPush(self._requests, name, scope, progress=progress, sleep=self._sleep)
        attached = attach and attachment(upload.manifest, upload.digest, attach(upload.digest))
        with self._told():
            return await push(tag, upload, force=force, attached=attached)

    async def ping(self) -> None:
        """Ask for `/v2/`, with credentials where there are any; raises `Undecided`, or `Denied`.

        (Distribution specification, "Determining Support".)
        """
        with self._told():
            answer = await self._requests.ask(Call("ping", "GET", self._endpoint.api(""), PING))
            if answer.status != HTTPStatus.OK:
                raise Undecided(
                    f"the registry answers {answer.status}{oci_reason(answer.body)} for /v2/",
                    hint="Is REGISTRY_URL a registry, and not a web page or a log-in portal?",
                )

    async def delete(self, device: Device, tag: Tag) -> str:
        """Take one tag back; see `otaflux.registry.remote.deleting`."""
        from otaflux.registry.remote.deleting import Deletion

        name, scope = self._place(device, "pull", "push", "delete")
        deletion = Deletion(self._requests, self._resolver, name, scope, sleep=self._sleep)
        listing = await self.tags(device)
        with self._told():
            return await deletion(tag, listing)

    async def beginnings(self) -> frozenset[str]:
        """What the names of all listed repositories begin with; empty where none are listed."""
        prefix = self._namespace.prefix
        with self._told():
            names = await listings.repositories(self._requests, prefix, self._beside_the_loop)
        return frozenset(name.partition("/")[0] for name in names or ())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors leave without our secrets, and with the hint that a path is worth."""
        with self._wire.secrets.kept_out():
            try:
                yield
            except (Denied, Unreachable):
                raise
            except Undecided as error:
                error.hint = self._endpoint.path_hint() or error.hint
                raise

    def _place(self, device: Device, *actions: str) -> tuple[str, Scope]:
        """The repository as the registry calls it, and what a request to it needs."""
        repository = self._namespace.repository(device)
        name = self._endpoint.wire_name(repository)
        return name, Scope.of(repository, name, *(actions or ("pull",)))
