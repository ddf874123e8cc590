"""What is known of each device: its releases, which one is current, and why others are not.

The source is asked for tags, and what `DATA_DIR` knows of them is read; nothing is pulled to find
out more. Where the source cannot be asked, what `DATA_DIR` knows stands alone, and a `problem` says
so. A registry that is away is not asked about each device anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otaflux.cli import known
from otaflux.cli.shelf import Seen, Shelf, is_below, shelf_of
from otaflux.errors import Misbound, Undecided, Unreachable, Unsigned, Unusable
from otaflux.model.artifact import Gone, Listing
from otaflux.model.names import Device, Namespace, NotServed, Tag, is_told
from otaflux.model.record import Record
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate
from otaflux.reconcile.signing import SignatureCheck
from otaflux.registry.layout import Layout
from otaflux.registry.source import Changeable, Source, Unchanged
from otaflux.settings import Settings
from otaflux.signature.proven import only_proven
from otaflux.state.datafolder import DataFolder

if TYPE_CHECKING:
    from otaflux.app.parts import Assembly

# Versions of a device, from the highest, that are asked about where nothing is known …
MOST_ASKED = 3
MOST_JUDGED = 20  # … and where they have to be signed
MOST_AHEAD = 50  # … of which more where a server looks at them too, as many as one run of it does

_NOBODY_KNOWN = (
    "no device is known, and the registry does not list repositories to this account: name them in"
    " DEVICES, or ask for one by its name"
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that was asked for; `problem` says why the source could not be asked for all of it.

    It is the problem of each device then that was not asked for. `note` says what may have been
    meant otherwise, though all was asked.
    """

    source: str
    problem: str
    note: str
    devices: tuple[Shelf, ...]


async def look(settings: Settings, device: Device | None) -> Inventory:
    """The device, or each one, with what the source and `DATA_DIR` know of it."""
    from otaflux.app.parts import Assembly

    parts = Assembly(settings)
    namespace = parts.namespace
    async with parts.open_source(patient=True) as source:
        records = _as_told(known.of_source(settings.data_dir, source.name, namespace.prefix), parts)
        signing = parts.signing(source)
        asking = _Asking(source, records, parts.judged_by, settings, signing)
        names = {device} if device else await asking.names(namespace)
        places = asyncio.Semaphore(settings.registry_concurrency)

        async def shelf(name: Device) -> Shelf:
            async with places:
                return await asking.shelf(name)

        shelves = await asyncio.gather(*map(shelf, sorted(names)))
    note = "" if records else _of_others(settings, source.name, namespace.prefix)
    return Inventory(source.name, asking.problem, note, tuple(shelves))


def _as_told(records: Mapping[Device, Record], parts: Assembly) -> dict[Device, Record]:
    """The records as a server with these settings tells them: no more than is proven."""
    trust = parts.trust()
    if trust is None:
        return dict(records)
    now = time.time()
    return {device: only_proven(record, (trust,), now) for device, record in records.items()}


def _of_others(settings: Settings, source: str, prefix: str) -> str:
    """That the catalog is of another registry or prefix, where all of it is; else empty."""
    for record in known.records(settings.data_dir):
        return (
            f"the catalog in {settings.data_dir} is of {_place(record.source, record.prefix)}, and"
            f" {_place(source, prefix)} is asked here: give this command the server's settings"
        )
    return ""


def _place(source: str, prefix: str) -> str:
    """What people call a source."""
    if source == Layout.name:
        return "the embedded folder"
    return f"{source}, prefix {prefix}" if prefix else source


class _Asking:
    """Asks one source about devices; once it is away as a whole it is not asked again."""

    def __init__(
        self,
        source: Changeable,
        records: Mapping[Device, Record],
        judged_by: str,
        settings: Settings,
        signing: SignatureCheck,
    ) -> None:
        self.problem = ""
        self._signing = signing
        self._away = ""
        self._source = source
        self._records = records
        self._judged_by = judged_by
        self._settings = settings

    async def names(self, namespace: Namespace) -> set[Device]:
        """Every device that is known anywhere and served."""
        names = {*self._settings.devices, *self._records}
        if not names and self._is_new():
            return names
        try:
            listed = await self._source.devices()
            names |= listed or set()
            if listed is None and not names:
                self.problem = _NOBODY_KNOWN
                await self._source.ping()  # who may not ask at all hears why
        except Unreachable as error:
            self.problem = self._away = _unasked(error)
        except Undecided as error:
            self.problem = f"the list of devices could not be read: {error.with_hint}"
        return {name for name in names if _is_served(namespace, name)}

    def _is_new(self) -> bool:
        """Whether this is an embedded folder that nobody pushed to, and no server ran on."""
        folder = DataFolder(self._settings.data_dir)
        return self._settings.registry_url is None and not folder.registry.exists()

    async def shelf(self, name: Device) -> Shelf:
        """One device's."""
        record = self._records.get(name) or Record(name, self._source.name)
        seen = None
        if not self._away:
            try:
                seen = await self._ask(record)
            except Unreachable as error:
                self.problem = self._away = _unasked(error)
        seen = seen or _unseen(record, self._judged_by, self._away)
        where = "embedded folder" if self._settings.registry_url is None else "registry"
        return shelf_of(record, seen, self._settings.channels, self._judged_by, where=where)

    async def _ask(self, record: Record) -> Seen:
        """What the source says of a device; raises `Unreachable` where it says nothing of any."""
        try:
            listing = await self._source.tags(record.device)
        except Unreachable:
            raise
        except Undecided as error:
            problem = f"its tags could not be read: {error.with_hint}"
            return _unseen(record, self._judged_by, problem)
        if not listing.repository_known and record.channels:
            problem = (
                "its repository is gone, and devices are still told what it held; to end that,"
                f" stop the server and `otaflux forget {record.device}`"
            )
            return Seen(listing, problem=problem)
        try:
            moved = await _moved(self._source, record)
            return await self._judged(record, listing, moved)
        except Undecided as error:
            return Seen(listing, problem=f"its tags may have moved: {error.with_hint}")

    async def _judged(self, record: Record, listing: Listing, moved: frozenset[Tag]) -> Seen:
        """With why versions are refused, or not signed, of which nothing is known."""
        judged = {each.tag for each in record.verdicts if each.judged_by == self._judged_by}
        known = (judged | {release.tag for release in record.served()}) - moved
        asked, left = self._worth_asking(record, choice.candidates(listing.tags), known)
        refused: dict[Tag, str] = {}
        unsigned: dict[Tag, str] = {}
        unclear: dict[Tag, str] = {}
        for candidate in asked:
            tag = candidate.tag
            try:
                artifact = await self._source.resolve(record.device, tag)
                if not isinstance(artifact, Unchanged | Gone):
                    await self._signing.proof(record.device, candidate.version, artifact)
            except (Unsigned, Misbound) as error:
                unsigned[tag] = str(error)
            except Unusable as error:
                refused[tag] = str(error)
            except Unreachable:
                raise  # of every other one nothing would be learnt either
            except Undecided as error:
                unclear[tag] = error.with_hint
        return Seen(listing, moved, "", refused, unsigned, unclear, left)

    def _worth_asking(
        self, record: Record, found: Sequence[Candidate], known: Collection[Tag]
    ) -> tuple[list[Candidate], frozenset[Tag]]:
        """Which versions to ask about, and of those that a server looks at, which are left out.

        First those that it tries before it comes to what is told, which it refused perhaps.
        """
        able = [each for each in found if is_told(each.version, self._settings.channels)]
        if not self._signing.is_needed:
            return [each for each in able[:MOST_ASKED] if each.tag not in known], frozenset()
        unknown = [each for each in able if each.tag not in known]
        ahead = [each for each in unknown if not is_below(record, each)]
        older = [each for each in unknown if is_below(record, each)]
        asked = ahead[:MOST_AHEAD] + older[: max(0, MOST_JUDGED - len(ahead))]
        return asked, frozenset(each.tag for each in ahead[MOST_AHEAD:])


def _is_served(namespace: Namespace, device: Device) -> bool:
    try:
        namespace.repository(device)
    except NotServed:
        return False
    return True


def _unasked(error: Undecided) -> str:
    return f"the registry could not be asked: {error.with_hint}"


def _unseen(record: Record, judged_by: str, problem: str) -> Seen:
    """What is known of a device without asking: a verdict on other bytes means that a tag moved."""
    told = {standing.release for standing in record.channels.values()}
    moved = {
        release.tag
        for release in told
        for verdict in record.verdicts
        if (verdict.tag, verdict.judged_by) == (release.tag, judged_by)
        and verdict.manifest_digest != release.manifest_digest
    }
    return Seen(None, frozenset(moved), problem)


async def _moved(source: Source, record: Record) -> frozenset[Tag]:
    """Tags of current releases that name other bytes by now."""
    moved = set()
    for release in {standing.release for standing in record.channels.values()}:
        digest = release.manifest_digest
        try:
            answer = await source.resolve(release.device, release.tag, known=digest)
        except Unusable:  # of other bytes: those of the release were usable
            moved.add(release.tag)
            continue
        if not isinstance(answer, Unchanged | Gone) and answer.digest != digest:
            moved.add(release.tag)
    return frozenset(moved)
