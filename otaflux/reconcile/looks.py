"""What one run asks about tags, each at most once, and tells of what it finds.

A look that learns nothing raises `Undecided`; asked again in the same run it raises the same, so
that two channels that meet at a tag in trouble cost one try. On one event loop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Incomplete, Undecided, Unreachable, Unsigned, Unusable
from otaflux.events import Events, FoundUsable, ReleaseRefused, TagClear, TagUnclear
from otaflux.model.artifact import Digest, Gone
from otaflux.model.event import Touch
from otaflux.model.look import AwaitsSignature, HeldBack, Lacking, Look, Unbound, Unfit, Usable
from otaflux.model.names import Device, Tag
from otaflux.model.proof import SignatureProof
from otaflux.model.record import Record, Verdict
from otaflux.model.release import Release
from otaflux.reason import Reason
from otaflux.reconcile.choice import Candidate
from otaflux.reconcile.pull import Puller
from otaflux.reconcile.resolve import Resolved
from otaflux.state.store import Claims

MOST_JUDGED = 4096  # verdicts in memory, besides those that records keep; some 500 bytes each

Judged = BoundedMap[tuple[Device, Digest], Unfit]


class Looks:
    """The looks of one run. `claims` hold the files that they name until the record does.

    `judged` is what runs before found to be unfit for good: a record keeps so many verdicts. With
    `anew` signatures are asked for that are known to have been there. `lapsed` says, by tag and
    manifest, why what was signed once is not any more.
    """

    def __init__(
        self,
        touch: Touch,
        puller: Puller,
        claims: Claims,
        events: Events,
        judged: Judged,
        *,
        anew: bool = False,
    ) -> None:
        self._touch = touch
        self._device = touch.device
        self._puller = puller
        self._claims = claims
        self._events = events
        self._judged = judged
        self._resolved: dict[Tag, Resolved | HeldBack | Gone] = {}
        self.found: dict[Tag, Look] = {}
        self.unclear: dict[Tag, Undecided] = {}
        self._told_unclear: set[Tag] = set()
        self.anew = anew
        self.lapsed: dict[tuple[Tag, Digest], str] = {}

    @property
    def digests(self) -> dict[Tag, Digest]:
        """What each tag that was asked about stands for, of those that are there."""
        return {
            tag: resolved.digest
            for tag, resolved in self._resolved.items()
            if isinstance(resolved, Resolved)
        }

    @property
    def awaited(self) -> frozenset[Digest | Tag]:
        """What waits for its signature, here or at the registry: manifests, or else their tags."""
        return frozenset(
            look.manifest_digest if isinstance(look, AwaitsSignature) else tag
            for tag, look in self.found.items()
            if isinstance(look, AwaitsSignature | HeldBack)
        )

    def is_lapsed(self, release: Release) -> bool:
        """Whether a release was signed once and is not any more."""
        return (release.tag, release.manifest_digest) in self.lapsed

    @property
    def are_of_something(self) -> bool:
        """Whether any tag that was looked at is there."""
        return any(not isinstance(look, Gone) for look in self.found.values())

    async def resolve(self, tag: Tag, record: Record) -> Resolved | HeldBack | Gone:
        """What a tag stands for now. Raises `Undecided`; `unclear` holds it, and why, then."""
        if tag in self.unclear:
            raise self.unclear[tag]
        if tag not in self._resolved:
            try:
                resolved = await self._puller.resolver.resolve(self._device, tag, record)
            except Undecided as error:
                self.unclear[tag] = error
                raise
            self._resolved[tag] = resolved
            self._events.tell(TagClear(self._device, tag))
        return self._resolved[tag]

    async def look(self, candidate: Candidate, record: Record) -> Look:
        """What a candidate is; its release is on disk where it is usable. As `resolve` raises."""
        resolved = await self.resolve(candidate.tag, record)
        try:
            look = self._remembered(resolved) or await self._puller.look(
                self._device,
                candidate.tag,
                candidate.version,
                record=record,
                priority=self._touch.priority,
                claims=self._claims,
                resolved=resolved,
                anew=self.anew,
            )
        except Undecided as error:
            self.unclear[candidate.tag] = error
            raise
        finally:
            if isinstance(resolved, Resolved):  # of twenty tags one manifest is in memory at a time
                self._resolved[candidate.tag] = replace(resolved, artifact=None)
                del resolved
        if isinstance(look, AwaitsSignature | Unbound):
            self.lapsed[candidate.tag, look.manifest_digest] = look.reason
        if isinstance(look, Unfit):
            self._judged.put((self._device, look.manifest_digest), look)
        self._tell(candidate, look, record)
        self.found[candidate.tag] = look
        return look

    def _remembered(self, resolved: Resolved | HeldBack | Gone) -> Unfit | None:
        if isinstance(resolved, Resolved):
            return self._judged.get((self._device, resolved.digest))
        return None

    async def prove(self, release: Release, record: Record) -> SignatureProof | None:
        """Whether a release that is served is signed still; `lapsed` says where it is not, and why.

        Raises `Unreachable`; of all else that is not learnt `unclear` tells, and nothing changes.
        """
        digest = release.manifest_digest
        try:
            return await self._proof_again(release, record.proofs.get(digest))
        except Unreachable:
            raise  # of every other tag nothing would be learnt either
        except Undecided as error:
            self.unclear[release.tag] = error
            self.tell_unclear(release.tag)
        except Unsigned as error:
            self.lapsed[release.tag, digest] = str(error)
        return None

    async def _proof_again(
        self, release: Release, known: SignatureProof | None
    ) -> SignatureProof | None:
        """As `prove`; the bytes of before of a tag that moved may be gone with their signature.

        Registries collect what no tag names any more: then nobody took it away.
        """
        digest = release.manifest_digest
        try:
            return await self._puller.signing.again(self._device, digest, known)
        except Unsigned:
            if self.digests.get(release.tag, digest) == digest:
                raise
            try:
                await self._puller.resolver.artifact(self._device, digest)
            except Incomplete:
                return None
            except Unusable:
                pass  # it is there, whatever the registry makes of it
            raise

    def note_gone(self, tag: Tag, gone: Gone) -> None:
        """A tag that was looked for outside of a channel is not there."""
        self.found[tag] = gone

    def verdict(self, candidate: Candidate, look: Unfit) -> Verdict:
        """What is remembered of a release that can never be served."""
        return Verdict(candidate.tag, look.manifest_digest, look.reason, self._puller.judged_by)

    def is_news(self, look: Unfit, record: Record) -> bool:
        """Whether the record has no such verdict on these bytes, under whatever tag."""
        said = (look.manifest_digest, look.reason, self._puller.judged_by)
        return all((v.manifest_digest, v.reason, v.judged_by) != said for v in record.verdicts)

    def tell_unclear(self, tag: Tag) -> None:
        """Tell, once, that nothing was learnt about a tag and the run goes on."""
        if tag not in self._told_unclear:
            self._told_unclear.add(tag)
            reason = Reason.of(self.unclear[tag])
            self._events.tell(TagUnclear(self._device, tag, reason, self._touch.hooks))

    def _tell(self, candidate: Candidate, look: Look, record: Record) -> None:
        match look:
            case Usable():
                digest = look.release.manifest_digest
                self._events.tell(FoundUsable(self._device, candidate.tag, digest))
            case Unfit(digest, reason):
                if self.is_news(look, record):
                    self._refuse(candidate, digest, reason)
            case AwaitsSignature(digest, reason) | Lacking(digest, reason):
                self._refuse(candidate, digest, reason)
            case Unbound(digest, reason):
                self._refuse(candidate, digest, reason, for_tag=True)
            case HeldBack(reason):
                self._refuse(candidate, None, reason)
            case Gone():
                pass
            case _:
                assert_never(look)

    def _refuse(
        self, candidate: Candidate, digest: Digest | None, reason: str, *, for_tag: bool = False
    ) -> None:
        tag, version, hooks = candidate.tag, candidate.version, self._touch.hooks
        self._events.tell(
            ReleaseRefused(self._device, tag, version, digest, reason, hooks, for_tag)
        )
