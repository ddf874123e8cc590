"""A look at one tag, as steps over one value: resolve, verdict, signature, held, pull.

Alone knows them all. A tag is resolved to a digest once; everything after takes the digest. Each
step says what the tag is or leaves it to the next one: the order in `Puller.look` is the whole of
it. Nothing of a manifest is fetched before its signature held, where there has to be one.

`otaflux pull` runs this too, into a store of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from otaflux.errors import Incomplete, Misbound, Unsigned, Unusable, Withheld
from otaflux.events import Events, Pulled, PullOutcome
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Artifact, Digest, Gone
from otaflux.model.event import Priority
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Look, Unbound, Unfit, Usable
from otaflux.model.names import Device, Tag
from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.model.version import Version
from otaflux.reconcile.described import described
from otaflux.reconcile.fetch import WRITE_BACK, Fetcher, Wanted
from otaflux.reconcile.notes import notes_of, warnings_about
from otaflux.reconcile.resolve import Resolved, Resolver
from otaflux.reconcile.signatures import Signatures
from otaflux.reconcile.signing import SignatureCheck, WhoMaySign, nobody
from otaflux.reconcile.streams import Streams
from otaflux.reconcile.subject import Subject
from otaflux.registry.source import Source
from otaflux.state.store import Claims, Store
from otaflux.unpack.chip import named_chip
from otaflux.unpack.choose import plan
from otaflux.unpack.limits import Limits

if TYPE_CHECKING:
    from otaflux.roster.space import Space


class Puller:
    """Looks at tags of a source, and pulls what is not on disk yet into a store.

    `limits` bound what is unpacked; `judged_by` names them and the program's version in verdicts.
    `trust` says who may sign now, None where nobody has to. `space` makes room for files; without
    one what is free is all there is.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        limits: Limits,
        *,
        judged_by: str,
        trust: WhoMaySign = nobody,
        space: Space | None = None,
        events: Events | None = None,
        streams: Streams | None = None,
        machine: Machine = REAL_MACHINE,
        write_back: float = WRITE_BACK,
    ) -> None:
        self.source = source
        self.store = store
        self.resolver = Resolver(source)
        self.judged_by = judged_by
        self.signing = SignatureCheck(self.resolver, Signatures(source, machine=machine), trust)
        self._in_thread = machine.in_thread
        self._clock = machine.clock
        self._events = events or Events()
        self._fetcher = Fetcher(
            source,
            store,
            limits,
            space=space,
            streams=streams or Streams(machine=machine),
            machine=machine,
            write_back=write_back,
        )

    async def look(
        self,
        device: Device,
        tag: Tag,
        version: Version,
        *,
        record: Record,
        priority: Priority,
        claims: Claims,
        resolved: Resolved | HeldBack | Gone | None = None,
        anew: bool = False,
    ) -> Look:
        """What one tag is now; what `record` holds of the same digest is not pulled again.

        `resolved` is what it stands for, where the caller asked for that already; with `anew` its
        signature is asked for though it was found before. Raises `Undecided` where nothing was
        learnt.
        """
        if resolved is None:
            resolved = await self.resolver.resolve(device, tag, record)
        if isinstance(resolved, HeldBack | Gone):
            return resolved
        subject = Subject(device, tag, version, resolved, record, priority, claims, anew)
        try:
            verdict = self._verdict(subject)
            if verdict is not None:
                return verdict
            subject, proof = await self.signing.signed(subject)
            held = await self._held(subject)
            if held is not None:
                return Usable(held, proof)
            artifact = subject.artifact or await self.resolver.artifact(device, subject.digest)
            subject = subject.having(artifact)
            return Usable(await self._pull(subject, artifact), proof)
        except Unusable as error:
            if isinstance(error, Incomplete) and subject.artifact is not None:
                self.resolver.lacks(device, tag, subject.artifact)
            return _found_wrong(subject.digest, error)

    def _verdict(self, subject: Subject) -> Unfit | None:
        """What was found of these bytes before, for good; raises where they are no manifest."""
        if subject.resolved.flaw is not None:
            raise subject.resolved.flaw
        for verdict in subject.record.verdicts:
            if (verdict.manifest_digest, verdict.judged_by) == (subject.digest, self.judged_by):
                return Unfit(subject.digest, verdict.reason)
        return None

    async def _held(self, subject: Subject) -> Release | None:
        """The release of that digest, where its file lies on disk: under this tag or another."""
        record, digest = subject.record, subject.digest
        served = frozenset(record.served())
        same = [release for release in record.held() if release.manifest_digest == digest]
        same.sort(key=lambda release: (release not in served, release.tag != subject.tag))
        for release in same:
            if not await self._in_thread(subject.claims.has, release.firmware):
                continue
            found = release
            if release.firmware.image is None:  # an older version wrote its record
                firmware = await self._in_thread(described, self.store, release.firmware)
                found = replace(release, firmware=firmware)
            if release.tag != subject.tag:
                found = replace(
                    found,
                    device=subject.device,
                    tag=subject.tag,
                    version=subject.version,
                    warnings=warnings_about(subject.version, release.firmware, record),
                )
            if release not in served:  # it left, and what left carries no notes
                artifact = subject.artifact
                artifact = artifact or await self.resolver.artifact(subject.device, digest)
                manifest, _ = await self.resolver.manifest(subject.device, artifact)
                summary, page = notes_of(artifact, manifest)
                found = replace(found, summary=summary, page=page)
            return found
        return None

    async def _pull(self, subject: Subject, artifact: Artifact) -> Release:
        """Its firmware, fetched and unpacked, as a release."""
        device, record = subject.device, subject.record
        with self._telling(subject):
            manifest, around = await self.resolver.manifest(device, artifact)
            blob_digest, firmware = await self._fetcher.fetch(
                Wanted(
                    device,
                    plan(manifest, *around),
                    subject.priority,
                    subject.claims,
                    found_by_poll=record.found_by_poll,
                )
            )
            if firmware.chip is None:
                firmware = replace(firmware, chip=named_chip(manifest, *around))
            return Release(
                device,
                subject.tag,
                subject.version,
                artifact.digest,
                blob_digest,
                firmware,
                *notes_of(artifact, manifest),
                warnings_about(subject.version, firmware, record),
            )

    @contextmanager
    def _telling(self, subject: Subject) -> Iterator[None]:
        """Tell what comes of a pull; one that is cancelled came to nothing."""
        began, outcome = self._clock(), PullOutcome.UNDECIDED
        try:
            yield
            outcome = PullOutcome.USABLE
        except Unusable:
            outcome = PullOutcome.UNUSABLE
            raise
        finally:
            seconds = self._clock() - began
            self._events.tell(Pulled(subject.device, subject.tag, subject.digest, outcome, seconds))


def _found_wrong(digest: Digest, error: Unusable) -> Look:
    """What an error about verified content comes to."""
    match error:
        case Unsigned():
            return AwaitsSignature(digest, str(error))
        case Misbound():
            return Unbound(digest, str(error))
        case Incomplete():
            return Lacking(digest, str(error))
        case Withheld():
            return HeldBack(str(error))
        case _:
            return Unfit(digest, str(error))
