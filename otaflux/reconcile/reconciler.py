"""Makes the catalog say of one device what its source says. The only writer of records.

A run reads top to bottom: list the tags; for each channel, stable first, look at candidates from
the highest down until one stands; publish; then see to kept releases and to tags that are missing.
A channel changes once, when it is settled. `Undecided` ends the run wherever it is: what was
settled stands, what was not stays as it is, and the touch goes back to its key.

The queue sees to it that two runs of a device never overlap; runs of several do.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import assert_never

from otaflux.errors import DiskFailed, OtaFluxError, Undecided, Unreachable
from otaflux.events import (
    DeviceForgotten,
    DeviceNotServed,
    Events,
    FilesLeft,
    FoundUsable,
    Moved,
    Published,
    Reason,
    Refused,
    RunEnded,
    RunFailed,
    TagClear,
    TagUnclear,
    Withdrawn,
)
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest, Gone
from otaflux.model.event import Touch
from otaflux.model.look import AwaitsSignature, Lacking, Look, Unfit, Usable
from otaflux.model.names import STABLE, Device, Namespace, NotServed, Tag
from otaflux.model.record import Record, Verdict
from otaflux.model.release import Release
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate, LookAt, Nothing, Stands
from otaflux.reconcile.pull import Puller
from otaflux.reconcile.resolve import Resolved
from otaflux.reconcile.withdrawals import Withdrawals
from otaflux.registry.source import Source
from otaflux.registry.tally import Tally, counting
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.store import Claims, Store
from otaflux.work.queue import Again, Done, Outcome, Unasked

MANY_TAGS = 1000  # sorting out more would keep polls waiting
ARRIVAL = 15.0  # seconds after a hook in which a tag that it names may still come to be there
TOO_MANY = "only polls named it, others were asked for later, and so many are kept"
SIGNATURE_WAITS = (2.0, 5.0, 10.0, 30.0)  # seconds: signatures are pushed after what they sign


@dataclass(slots=True)
class _Run:
    """What one run has learnt so far."""

    touch: Touch
    record: Record
    claims: Claims
    listed: frozenset[Tag] = frozenset()  # of the tags that are served
    is_cache: bool = False
    found: tuple[Candidate, ...] = ()
    gone: frozenset[Tag] = frozenset()
    moved: set[Release] = field(default_factory=set)
    resolved: dict[Tag, Resolved | Gone] = field(default_factory=dict)
    looks: dict[Tag, Look] = field(default_factory=dict)
    dropped: set[Digest] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)
    at: Tag | None = None  # the one that is asked about, for the log

    @property
    def device(self) -> Device:
        return self.touch.device


class Reconciler:
    """Brings devices up to date; `run` is what the work queue calls.

    `channels` are the pre-release channels besides the stable one, `keep_versions` is how many
    releases stay on disk below the current ones, `withdraw_after` is for `Withdrawals`.
    """

    def __init__(
        self,
        source: Source,
        puller: Puller,
        catalog: Catalog,
        store: Store,
        *,
        namespace: Namespace,
        channels: tuple[str, ...],
        keep_versions: int,
        withdraw_after: float,
        roster: Roster,
        events: Events | None = None,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        self._source = source
        self._puller = puller
        self._catalog = catalog
        self._store = store
        self._namespace = namespace
        self._channels = (STABLE, *channels)
        self._keep_versions = keep_versions
        self._roster = roster
        self._in_thread = machine.in_thread
        self._clock = machine.clock
        self._now = machine.now
        self._withdrawals = Withdrawals(
            is_authoritative=source.is_authoritative,
            withdraw_after=withdraw_after,
            clock=machine.clock,
        )
        self._events = events or Events()
        self._awaited: dict[Device, int] = {}

    def awaits_signature(self, device: Device) -> bool:
        """Whether a release of that device waits for its signature."""
        return device in self._awaited

    async def run(self, touch: Touch) -> Outcome:
        """One run of one device; raises `Undecided` where nothing or not all was learnt."""
        try:
            self._namespace.repository(touch.device)
        except NotServed as reason:
            self._events.tell(DeviceNotServed(touch.device, str(reason)))
            return Unasked()
        if self._roster.is_evicted(touch.device):
            await self._drop(touch.device, await self._catalog.forget(touch.device))
            self._events.tell(DeviceForgotten(touch.device, TOO_MANY))
            return Unasked()
        began = self._clock()
        run = _Run(touch, self._record(touch), self._store.claims())
        try:
            with counting() as run.tally:
                await self._bring_up_to_date(run)
        except OtaFluxError as error:
            self._events.tell(
                RunFailed(
                    run.device,
                    run.at,
                    Reason.of(error),
                    run.tally.requests,
                    self._clock() - began,
                    touch.hooks,
                )
            )
            if touch.hooks and self._catalog.get(touch.device) is None:
                with suppress(Undecided):  # or a restart would not know what a hook named
                    await self._catalog.put(run.record)
            raise
        finally:
            await self._drop(run.device, run.dropped | run.claims.created)
        self._withdrawals.only(run.device, {release.tag for release in run.record.served()})
        self._events.tell(
            RunEnded(
                run.device,
                touch.priority,
                len(run.looks),
                run.tally.requests,
                self._clock() - began,
                touch.hooks,
            )
        )
        return self._outcome(run)

    async def _bring_up_to_date(self, run: _Run) -> None:
        listing = await self._source.tags(run.device)
        if (
            not listing.repository_known
            and run.record.channels
            and not self._source.is_authoritative
        ):
            self._withdrawals.only(run.device, ())  # this look found something else: begin anew
            raise Undecided(
                f"the registry does not know the repository of {run.device} any more",
                hint=f"If it is gone for good: stop the server, `otaflux forget {run.device}`",
            )
        served = {release.tag for release in run.record.served()}
        run.listed, run.is_cache = frozenset(listing.tags) & served, listing.is_cache
        tags = {*listing.tags, *run.touch.tags, *served}
        run.found = (
            choice.candidates(tags)
            if len(tags) <= MANY_TAGS
            else await self._in_thread(choice.candidates, tags)
        )
        with run.claims:
            await self._see_what_is_missing(run)
            for channel in self._channels:
                await self._settle(run, channel)
            await self._see_to_kept(run)
            await self._publish(run, run.record)

    def _record(self, touch: Touch) -> Record:
        """What the catalog has of the device, or an empty record."""
        known = self._roster.is_known(touch.device)
        record = self._catalog.get(touch.device)
        if record is None:
            return Record(
                touch.device, self._source.name, self._namespace.prefix, found_by_poll=not known
            )
        return replace(record, found_by_poll=record.found_by_poll and not known)

    async def _see_what_is_missing(self, run: _Run) -> None:
        """Look at served tags that the listing lacks; two looks make a withdrawal."""
        for release in run.record.served():
            if release.tag in run.listed:
                self._withdrawals.is_there(run.device, release.tag)
            else:
                await self._see_to(run, release)
        run.gone = self._withdrawals.gone(run.device)

    async def _see_to(self, run: _Run, release: Release) -> None:
        """Whether a served release's tag is still there, and still stands for it.

        What is not learnt about it changes nothing for it, and holds up no other tag.
        """
        try:
            resolved = await self._resolve(run, release.tag)
        except Unreachable:
            raise  # of every other tag nothing would be learnt either
        except Undecided as error:
            self._events.tell(
                TagUnclear(run.device, release.tag, Reason.of(error), run.touch.hooks)
            )
            return
        finally:
            run.at = None
        self._events.tell(TagClear(run.device, release.tag))
        if isinstance(resolved, Gone):
            run.looks[release.tag] = resolved
            if release.tag not in run.listed:  # else listing and manifest disagree
                by_word, is_cache = run.touch.deletion, run.is_cache
                self._withdrawals.is_missing(
                    run.device, release.tag, by_word=by_word, is_cache=is_cache
                )
            return
        self._withdrawals.is_there(run.device, release.tag)
        if release in run.record.kept and resolved.digest != release.manifest_digest:
            run.moved.add(release)

    async def _resolve(self, run: _Run, tag: Tag) -> Resolved | Gone:
        """What a tag stands for; each is asked once a run."""
        run.at = tag
        if tag not in run.resolved:
            run.resolved[tag] = await self._puller.resolver.resolve(run.device, tag, run.record)
        return run.resolved[tag]

    async def _settle(self, run: _Run, channel: str) -> None:
        """Look from the top until the channel has its release, and publish that."""
        found = choice.of_channel(run.found, channel)
        while True:
            told = run.record.current(channel)
            step = choice.settle(found, run.looks, told, run.gone)
            match step:
                case LookAt(candidate):
                    run.looks[candidate.tag] = await self._look(run, candidate)
                case Stands(release):
                    await self._publish(
                        run, choice.stand(run.record, channel, release, self._now())
                    )
                    return
                case Nothing():
                    await self._publish(run, choice.stand(run.record, channel, None, self._now()))
                    return
                case _:
                    assert_never(step)

    async def _look(self, run: _Run, candidate: Candidate) -> Look:
        look = await self._puller.look(
            run.device,
            candidate.tag,
            candidate.version,
            record=run.record,
            priority=run.touch.priority,
            claims=run.claims,
            resolved=await self._resolve(run, candidate.tag),
        )
        run.at = None
        match look:
            case Usable(release):
                self._events.tell(FoundUsable(run.device, candidate.tag))
                run.record = choice.acquit(run.record, candidate.tag)
                return Usable(_moved(run, release))
            case Unfit(digest, reason):
                verdict = Verdict(candidate.tag, digest, reason, self._puller.judged_by)
                if verdict not in run.record.verdicts:
                    self._refused(run, candidate, digest, reason)
                run.record = choice.judge(run.record, verdict, run.found)
            case AwaitsSignature(digest, reason) | Lacking(digest, reason):
                self._refused(run, candidate, digest, reason)
            case Gone():
                pass
            case _:
                assert_never(look)
        return look

    def _refused(self, run: _Run, candidate: Candidate, digest: Digest, reason: str) -> None:
        self._events.tell(
            Refused(run.device, candidate.tag, candidate.version, digest, reason, run.touch.hooks)
        )

    async def _see_to_kept(self, run: _Run) -> None:
        """A kept release whose tag a hook names is looked at: its tag may have moved."""
        named = frozenset(run.touch.tags)
        for release in run.record.kept:
            if release.tag in named and release.tag not in run.looks:
                await self._see_to(run, release)

    async def _publish(self, run: _Run, record: Record) -> None:
        """Put a record with its kept releases sorted out; say what changed for devices."""
        before = self._catalog.get(run.device)
        after = choice.keep(
            record,
            most=self._keep_versions,
            gone=run.gone,
            moved=run.moved,
            now=self._now(),
            all_linger=self._catalog.all_linger,
        )
        run.record = after
        if after.found_by_poll and not after.channels and before is None:
            return
        if not after.ever_synced:
            after = run.record = replace(after, ever_synced=True)
        run.dropped |= await self._catalog.put(after)
        self._report(run, before, after)
        if before is None and after.found_by_poll:
            self._roster.found(run.device)

    def _report(self, run: _Run, before: Record | None, after: Record) -> None:
        """Tell what devices are told now and were not before, and what was taken from them."""
        hooks = run.touch.hooks
        since = run.touch.first_hook_at
        seconds = None if since is None else self._clock() - since
        known = {standing.release for standing in before.channels.values()} if before else set()
        for channel in self._channels:
            was, release = before.current(channel) if before else None, after.current(channel)
            if release is None or release == was:
                continue
            is_new = release not in known
            self._events.tell(Published(release, channel, was, is_new, seconds, hooks))
            if was and was.tag == release.tag and was.manifest_digest != release.manifest_digest:
                self._events.tell(Moved(release, was, hooks))
            known.add(release)
        said = {x.release for x in before.retired if x.withdrawn} if before else set()
        for retired in after.retired:
            if retired.withdrawn and retired.release not in said:
                file = self._store.path(retired.release.firmware.firmware_digest)
                self._events.tell(Withdrawn(retired.release, file, hooks))

    async def _drop(self, device: Device, files: AbstractSet[Digest]) -> None:
        """Remove files that nobody names; a disk that cannot has no say in what is told."""
        if files:
            try:
                await self._in_thread(
                    self._store.remove_unreferenced, files, self._catalog.references
                )
            except DiskFailed as error:
                self._events.tell(FilesLeft(device, Reason.of(error)))

    def _outcome(self, run: _Run) -> Outcome:
        """Done, or when and why to look again."""
        touch = run.touch
        again: list[float] = []
        second_look = self._withdrawals.until_second_look(run.device)
        if second_look is not None:
            again.append(second_look)
        arriving = self._until_arrival(run)
        if arriving is not None:
            again.append(arriving)
        if any(isinstance(look, AwaitsSignature) for look in run.looks.values()):
            tries = self._awaited.get(run.device, 0)
            self._awaited[run.device] = tries + 1
            if tries < len(SIGNATURE_WAITS):
                again.append(SIGNATURE_WAITS[tries])
        else:
            self._awaited.pop(run.device, None)
        return Again(min(again), touch) if again else Done()

    def _until_arrival(self, run: _Run) -> float | None:
        """When to look again for what a hook named and the registry does not have yet.

        The waits grow with the age of the last hook.
        """
        if run.touch.last_hook_at is None:
            return None
        age = self._clock() - run.touch.last_hook_at
        served = {release.tag for release in run.record.served()}
        digests = {tag: r.digest for tag, r in run.resolved.items() if isinstance(r, Resolved)}
        if age < ARRIVAL and choice.is_ahead(run.touch, run.looks, digests, served | run.gone):
            return max(0.5, age)
        return None


def _moved(run: _Run, release: Release) -> Release:
    """The release, with a warning where its tag had other bytes that boards may run already."""
    for held in run.record.held():
        if held.tag == release.tag and held.manifest_digest != release.manifest_digest:
            run.moved.add(held)
    told = [held for held in run.record.served() if held in run.moved and held.tag == release.tag]
    warnings = tuple(
        f"the tag moved from {held.manifest_digest}: boards that run {release.version} already"
        " will not notice"
        for held in told
    )
    return replace(release, warnings=tuple(dict.fromkeys((*release.warnings, *warnings))))
