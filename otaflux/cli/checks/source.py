"""The registry, or the embedded folder: whether it answers, to whom, and whether firmware comes.

What counts is what a server does: list, read tags, read one manifest and the beginning of one blob,
for blobs often lie at another host. Nothing is asked for that is not known to be there; where no
device is known, the registry is asked for an answer and no more.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence

from yarl import URL

from otaflux.app.parts import Assembly
from otaflux.cli import known
from otaflux.cli.checks.finding import Finding, failed, fails, note, works
from otaflux.cli.checks.release import release
from otaflux.errors import OtaFluxError, Undecided, Unusable
from otaflux.model.artifact import Descriptor, Index, Manifest
from otaflux.model.names import STABLE, Device, Tag, is_told
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate
from otaflux.registry.remote.proxies import proxy_for
from otaflux.registry.source import Changeable
from otaflux.settings import Settings
from otaflux.state.datafolder import DataFolder
from otaflux.unpack.choose import plan, suspects

MOST_TRIED = 20  # devices that are asked for one with a release
MOST_NAMED = 8  # beginnings of repositories in a finding


async def source(settings: Settings, device: Device | None) -> AsyncIterator[Finding]:
    """Each thing on the way to a release of the device, or else of one that has some."""
    what = f"registry {settings.registry_url or '(embedded folder)'}"
    embedded = DataFolder(settings.data_dir).registry
    fresh = not (embedded.exists() or any(known.records(settings.data_dir)))
    if settings.registry_url is None and fresh and device is None:
        yield works(what, "is made at the first start or push")
        return
    try:
        parts = Assembly(settings)
        for finding in _ways(parts):
            yield finding
        namespace = parts.namespace
        async with parts.open_source(patient=False) as opened:
            listed = await opened.devices()
            records = known.of_source(settings.data_dir, opened.name, namespace.prefix)
            names = {*settings.devices, *(listed or ())} or {*records}
            trial = _Trial(parts, opened, what)
            async for finding in trial.run({device} if device else names, wanted=bool(device)):
                yield finding
            if listed is not None and not listed and namespace.prefix:
                yield _under(await opened.beginnings(), namespace.prefix)
    except OtaFluxError as error:
        yield failed(what, error)
        return
    if namespace.is_closed():
        yield note(
            "devices served",
            f"only the {len(settings.devices)} of DEVICES, for there are credentials and no"
            " REPOSITORY_PREFIX",
            "Set REPOSITORY_PREFIX; / serves every repository that the credentials can read",
        )
    elif listed is None:
        yield note(
            "listing",
            "the registry lists no devices; without REPOSITORY_PREFIX it is not asked to",
            "OtaFlux knows a device when DEVICES, a hook or a poll names it",
        )
    yield _round(settings, len({*names, *records}))


def _ways(parts: Assembly) -> Iterator[Finding]:
    """Who asks, and through what; raises `Undecided` for a proxy that cannot be one."""
    settings = parts.settings
    if parts.credentials is None or settings.registry_url is None:
        return
    login = parts.credentials.login()
    says = f"from {login.look_at}" if login else "none: asked without a name"
    yield note("credentials", says)
    url = URL(settings.registry_url)
    proxy = proxy_for(url, os.environ)
    if proxy is not None:
        yield note(
            "proxy",
            f"{proxy.url.host}:{proxy.url.port} is between here and the registry ({proxy.name})",
            f"Name {url.host} in NO_PROXY if it should not be",
        )


class _Trial:
    """Reads of one device what a server would; of several, until one has it all."""

    def __init__(self, parts: Assembly, source: Changeable, what: str) -> None:
        self._parts = parts
        self._source = source
        self._namespace = parts.namespace
        self._what = what

    async def run(self, names: set[Device], *, wanted: bool) -> AsyncIterator[Finding]:
        """What became of it; `wanted` says that these devices have to have a release."""
        answered = False
        for device in sorted(names)[:MOST_TRIED]:
            listing = await self._source.tags(device)
            if not answered:
                answered = True
                tags = f"{len(listing.tags)} tags of {device}"
                says = tags if listing.repository_known else "no releases yet"
                yield works(self._what, f"answers: {says}")
            versions = choice.candidates(listing.tags)
            channels = self._parts.settings.channels
            found = [each for each in versions if is_told(each.version, channels)]
            if found:
                async for finding in self._releases(device, found):
                    yield finding
                return
            if versions:
                yield self._untold(device, versions[0], wanted=wanted)
            elif wanted or listing.tags or not listing.repository_known:
                yield self._missing(device, tags=len(listing.tags), wanted=wanted)
        if not answered:
            await self._source.ping()
            yield works(
                self._what,
                "answers; no device is known, so none was asked for (`otaflux check DEVICE` does)",
            )

    def _untold(self, device: Device, highest: Candidate, *, wanted: bool) -> Finding:
        own = highest.version.pre_release
        return (fails if wanted else note)(
            f"device {device}",
            "none of its releases is told: all are pre-releases, and the highest,"
            f" {highest.tag}, is of the channel '{own}', which is not in CHANNELS",
            "Push a stable version" + (f", or add '{own}' to CHANNELS" if own != STABLE else ""),
        )

    def _missing(self, device: Device, *, tags: int, wanted: bool) -> Finding:
        says = f"none of its {tags} tags is a version"
        advice = "`otaflux list` names each tag and why it does not count"
        if not tags:
            says = f"no release in {self._namespace.repository(device)}"
            advice = "Is the name right? The first push makes it"
        return (fails if wanted else note)(f"device {device}", says, advice)

    async def _releases(self, device: Device, found: Sequence[Candidate]) -> AsyncIterator[Finding]:
        """Whether a manifest and the beginning of a blob come, and what becomes of them."""
        what = f"firmware of {device}:{found[0].tag}"
        try:
            layer = await self._layer(device, found[0].tag)
            async with self._source.open_blob(device, layer, max_bytes=layer.size) as reader:
                await asyncio.to_thread(reader.read)
        except Unusable as error:
            yield note(what, f"cannot be served: {error}")
            return
        except Undecided as error:
            yield failed(what, error)
            return
        yield works(what, f"its manifest came, and its blob of {layer.size} bytes begins")
        async for finding in release(self._parts, self._source, device, found, layer.size):
            yield finding

    async def _layer(self, device: Device, tag: Tag) -> Descriptor:
        """The first layer that a server might read; raises `Unusable`, `Undecided`."""
        found = await self._source.resolve(device, tag)
        if isinstance(found, Index):
            found = await self._source.resolve(device, suspects(found)[0].digest)
        if not isinstance(found, Manifest):
            raise Undecided(f"{device}:{tag} is no manifest, or was there a moment ago")
        return plan(found).layers[0]


def _under(beginnings: frozenset[str], prefix: str) -> Finding:
    """That nothing lies under the prefix, and where the rest lies."""
    named = ", ".join(f"{name}/" for name in sorted(beginnings)[:MOST_NAMED])
    more = f" and {len(beginnings) - MOST_NAMED} more" if len(beginnings) > MOST_NAMED else ""
    there = f"; what there is begins with {named}{more}" if named else ", and none at all"
    return note(
        "REPOSITORY_PREFIX",
        f"the registry lists no repository under {prefix}/{there}",
        "Is it right? The first push makes one",
    )


def _round(settings: Settings, devices: int) -> Finding:
    seconds = devices / settings.registry_rate
    long = seconds > settings.recheck_interval
    many = "1 device" if devices == 1 else f"{devices} devices"
    return note(
        "re-checks",
        f"each {settings.recheck_interval:g} s (RECHECK_INTERVAL); to look at {many} takes"
        f" {seconds:.0f} s at REGISTRY_RATE {settings.registry_rate:g}",
        "Raise REGISTRY_RATE, or let hooks do it and raise RECHECK_INTERVAL" if long else "",
    )
