"""Makes the catalog say of one device what its source says. The only writer of records.

Here is what lies around a run (`run.py`): whether there is one at all, what comes of its end, and
when the next is due. The queue sees to it that two runs of a device never overlap; runs of several
do. On one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import replace

from otaflux.errors import DiskFailed, OtaFluxError, Undecided
from otaflux.events import (
    DeviceNotServed,
    Events,
    FilesLeft,
    RunEnded,
    RunFailed,
)
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.artifact import Digest
from otaflux.model.event import Priority, Touch
from otaflux.model.names import Channel, Device, NotServed, Tag
from otaflux.model.record import Record
from otaflux.policy import Policy
from otaflux.reason import Reason
from otaflux.reconcile import again, choice
from otaflux.reconcile.awaited import Awaited
from otaflux.reconcile.looks import MOST_JUDGED, Judged
from otaflux.reconcile.means import Means
from otaflux.reconcile.publication import served_tags
from otaflux.reconcile.pull import Puller
from otaflux.reconcile.rounds import Rounds
from otaflux.reconcile.run import Run
from otaflux.reconcile.shortlist import Progress
from otaflux.reconcile.withdrawals import Withdrawals
from otaflux.registry.tally import counting
from otaflux.roster.evictions import NEVER_THERE, Evictions
from otaflux.roster.roster import Roster
from otaflux.state.catalog import Catalog
from otaflux.state.checksums import Checksums
from otaflux.work.outcome import Again, Done, Failed, Outcome, Unasked

SOONEST_ON = 1.0  # seconds until a run goes on that looked at as many tags as it may
SHARE_ON = 4.0  # … and so many times what it took: it has a fifth of a place


class Reconciler:
    """Brings devices up to date; `run` is what the work queue calls."""

    def __init__(
        self,
        puller: Puller,
        catalog: Catalog,
        roster: Roster,
        evictions: Evictions,
        policy: Policy,
        *,
        checksums: Checksums,
        events: Events | None = None,
        machine: Machine = REAL_MACHINE,
    ) -> None:
        withdrawals = Withdrawals(
            is_authoritative=puller.source.is_authoritative,
            withdraw_after=policy.withdraw_after,
            clock=machine.clock,
        )
        self._means = Means(
            puller.source,
            puller,
            catalog,
            puller.store,
            roster,
            withdrawals,
            policy,
            events or Events(),
            machine,
            Judged(MOST_JUDGED),
            checksums,
            asyncio.Lock(),
        )
        self._progress: dict[Device, Mapping[Channel, Progress]] = {}
        self._evictions = evictions
        self._events = self._means.events
        self._clock = machine.clock
        self._awaited = Awaited(machine.clock)
        self._rounds = Rounds(machine.chance)

    def awaits_signature(self, device: Device) -> bool:
        """Whether a release of that device waits for its signature."""
        return device in self._awaited

    def awaiting_signatures(self) -> frozenset[Device]:
        """The devices of which a release waits for its signature."""
        return self._awaited.devices()

    async def run(self, touch: Touch) -> Outcome:
        """One run of one device; raises `Undecided` where it could not go on.

        `Failed` where it went on and some channel is not settled.
        """
        try:
            self._means.policy.namespace.repository(touch.device)
        except NotServed as reason:
            self._events.tell(DeviceNotServed(touch.device, str(reason)))
            return Unasked()
        async with self._evictions.undisturbed(touch.device):
            outcome = await self._run(touch)
        await self._evictions.keep_to_most()
        return outcome

    async def _run(self, touch: Touch) -> Outcome:
        began = self._clock()
        before = self._progress.pop(touch.device, {})
        trusted = self._means.puller.signing.trusted
        anew = self._rounds.is_due(touch, trusted)
        known = self._record(touch.device)
        run = Run(touch, known, self._means, before, anew=anew)
        with counting() as tally:
            try:
                await run.bring_up_to_date()
            except OtaFluxError as error:
                self._tell_failed(run, error, tally.requests, began)
                await self._remember_named(run)
                raise
            finally:
                if run.settling.progress:
                    self._progress[run.device] = run.settling.progress
                await self._drop(run.device, run.unnamed)
        self._means.withdrawals.only(run.device, served_tags(run.record))
        wait = self._until_next(run, took=self._clock() - began)
        if run.settling.unsettled is not None:
            why = run.looks.unclear[run.settling.unsettled]
            self._tell_failed(run, why, tally.requests, began)
            return Failed(why, within=wait)
        served = {release.manifest_digest for release in run.record.served()}
        asked = anew or served.isdisjoint(known.proofs)
        signed = len(run.record.proofs) > 0
        self._rounds.ended(run.device, asked=asked, is_signed=signed, trusted=trusted)
        looks, seconds = len(run.looks.found), self._clock() - began
        self._events.tell(
            RunEnded(run.device, touch.priority, looks, tally.requests, seconds, touch.hooks)
        )
        if self._means.roster.looked_for(run.device, touch.priority, found=run.is_there):
            await self._evictions.forget(run.device, NEVER_THERE)
            return Done()
        if run.settling.is_cut_short:
            return self._go_on_later(run, seconds, wait)
        return Done() if wait is None else Again(wait, touch)

    def _go_on_later(self, run: Run, seconds: float, wait: float | None) -> Again:
        """Where a run may look at no more: it gives its place back and goes on from there.

        With less of a hurry than a hook, and so that it has a part of a place and not all of it.
        What hooks named counts on while that may still be on its way, and what was not looked at
        yet in any case: the listing may not show it.
        """
        later = max(SOONEST_ON, SHARE_ON * seconds)
        touch = replace(run.touch, priority=max(run.touch.priority, Priority.START))
        if wait is None:
            found = run.looks.found
            tags = tuple(tag for tag in touch.tags if tag not in found)
            claimed = tuple((tag, digest) for tag, digest in touch.claimed if tag not in found)
            return Again(later, replace(touch, tags=tags, claimed=claimed), is_settled=False)
        return Again(min(later, wait), touch, is_settled=False)

    def _record(self, device: Device) -> Record:
        """What the catalog has of the device, or an empty record."""
        means = self._means
        known = means.roster.is_known(device)
        record = means.catalog.get(device)
        if record is None:
            prefix = means.policy.namespace.prefix
            floors = means.catalog.floors(device)
            name = means.source.name
            return Record(device, name, prefix, found_by_poll=not known, floors=floors)
        return replace(record, found_by_poll=record.found_by_poll and not known)

    async def _remember_named(self, run: Run) -> None:
        """Write down who a hook named, or a restart would not know."""
        if run.touch.hooks and self._means.catalog.get(run.device) is None:
            with suppress(Undecided):
                await self._means.catalog.put(run.record)

    async def _drop(self, device: Device, files: AbstractSet[Digest]) -> None:
        """Remove files that nobody names; a disk that cannot has no say in what is told."""
        means = self._means
        if files:
            try:
                await means.machine.in_thread(
                    means.store.remove_unreferenced, files, means.catalog.references
                )
            except DiskFailed as error:
                self._events.tell(FilesLeft(device, Reason.of(error)))

    def _tell_failed(self, run: Run, error: OtaFluxError, requests: int, began: float) -> None:
        tag = next((tag for tag, why in run.looks.unclear.items() if why is error), None)
        seconds, hooks = self._clock() - began, run.touch.hooks
        self._events.tell(RunFailed(run.device, tag, Reason.of(error), requests, seconds, hooks))

    def _until_next(self, run: Run, *, took: float) -> float | None:
        """Seconds until another look is worth it, sooner than a re-check; None where none is."""
        hook_at = run.touch.last_hook_at
        # What is told on though its tag is gone may come back as anything else may come.
        settled = {*served_tags(run.record), *run.gone} - _told_on(run.record)
        missing = run.looks.awaited
        is_ahead = choice.is_ahead(run.touch, run.looks.found, run.looks.digests, settled)
        return again.seconds_until(
            second_look=self._means.withdrawals.until_second_look(run.device),
            hook_age=None if hook_at is None else self._clock() - hook_at,
            is_ahead=is_ahead or (run.touch.attached and bool(missing)),
            took=took,
            awaited=self._awaited.note(run.device, missing, is_all=run.settling.unsettled is None),
        )


def _told_on(record: Record) -> set[Tag]:
    return {each.release.tag for each in record.channels.values() if each.withdrawn}
