"""Which units there are and what each said last: in memory, bounded, asked and told by all.

Trust: names and words come from boards, or from whoever pretends to be one; what cannot be a name
or a version is not remembered. On the event loop; nothing waits for the disk but `kept`. What is
here is a cache: when it is lost, units are told what they were told before, and updates that they
installed by hawkBit's protocol are installed once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from otaflux.events import ActionClosed, Events
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.model.names import Device
from otaflux.units import flags
from otaflux.units.changes import Changes
from otaflux.units.counts import VersionCounts
from otaflux.units.crowding import Crowding
from otaflux.units.packing import PROTOCOL_NUMBERS, put_in, seen_at
from otaflux.units.reoffer import wait_after
from otaflux.units.rows import Row, read_row, row_of
from otaflux.units.rumours import Rumours
from otaflux.units.seen import Protocol, SeenUnit, can_be_action, can_be_unit, can_be_word
from otaflux.units.table import NOWHERE, Table

MOST = 100_000  # units, where nobody says otherwise

Hear = Callable[[Device, str, str], None]


class Units:
    """The units that were heard of, at most `most`; 0 remembers none.

    `events` hears of actions that units close here. `machine` gives the time.
    """

    def __init__(
        self, most: int = MOST, *, events: Events | None = None, machine: Machine = REAL_MACHINE
    ) -> None:
        self._most = most
        self._events = events or Events()
        self._now = machine.now
        self._table = Table(most)
        self._running = VersionCounts()
        self.changes = Changes()
        self.rumours = Rumours()
        self.crowding = Crowding(most, machine.now)
        self._listeners: list[Hear] = []

    def __len__(self) -> int:
        """How many units are remembered."""
        return self._table.count

    @property
    def are_remembered(self) -> bool:
        """Whether any unit is ever remembered."""
        return self._most > 0

    def listen(self, hear: Hear) -> None:
        """Have `hear(device, unit, runs)` called when what a unit runs, or is told, changes.

        `runs` is empty where the unit was forgotten. Called in the step in which it happens.
        """
        self._listeners.append(hear)

    def heard(
        self,
        device: Device | None,
        unit: str,
        protocol: Protocol = Protocol.HTTP,
        *,
        runs: str = "",
        told: str = "",
    ) -> None:
        """A unit asked; `runs` is the version that it says it runs, `told` what it was told.

        Empty words change nothing that was said before. The one call for each poll: it is cheap.
        """
        table = self._table
        place = self._find(device, unit)
        if place == NOWHERE:
            place = self._add(device, unit)
            if place == NOWHERE:
                return
        table.heard[place] = int(self._now())
        if place != table.newest:
            table.touch(place)
        table.protocol[place] = PROTOCOL_NUMBERS[protocol]
        texts, changed = table.words.texts, False
        if told and texts[table.told[place]] != told and can_be_word(told):
            table.rename(table.told, place, told)
            changed = True
            self._tell(place, texts[table.runs[place]])
        if runs and texts[table.runs[place]] != runs and can_be_word(runs):
            self._runs(place, runs)
            changed = True
        if changed:
            self.changes.note(place)
        else:
            self.changes.heard(place)

    def find(self, device: Device | None, unit: str) -> SeenUnit | None:
        """What is known of a unit of that device, or of one that no address says a device of."""
        place = self._find(device, unit)
        return None if place == NOWHERE else seen_at(self._table, place)

    def described(
        self, device: Device | None, unit: str, *, runs: str = "", belongs_to: Device | None = None
    ) -> None:
        """A unit sent its attributes: what it runs, and, where no address says so, its device.

        A version that it said before is no news: attributes often stand in a file that no update
        changes, and what was closed since counts more.
        """
        place = self._place(device, unit)
        if place == NOWHERE:
            return
        table = self._table
        table.flags[place] &= ~flags.IS_ASKED
        if device is None and belongs_to is not None:
            self._move(place, belongs_to)
        if runs and can_be_word(runs) and table.words.texts[table.said[place]] != runs:
            table.rename(table.said, place, runs)
            self._runs(place, runs)
        self.changes.note(place)

    def began(
        self,
        device: Device | None,
        unit: str,
        action: int,
        *,
        feedback: bool = False,
        late: bool = False,
    ) -> None:
        """A unit fetched the deployment of an action, or sent feedback that it goes on.

        `late` says that its release was taken back, so that it counts only who began it before.
        """
        place = self._place(device, unit)
        if place == NOWHERE:
            return
        self._set_action(place, action)
        before = self._table.flags[place]
        now = flags.begun(before, feedback=feedback, late=late)
        if now != before:
            self._table.flags[place] = now
            # At once, though nobody waits: a unit that restarts after this one did looks for it.
            self.changes.note(place, urgent=True)

    def closed(
        self, device: Device | None, unit: str, action: int, version: str, *, well: bool
    ) -> None:
        """A unit closed an action, whose release has that version; see `kept`. Others are told."""
        place = self._place(device, unit)
        if place == NOWHERE:
            return
        self._close(place, action, version, well=well)
        seen = seen_at(self._table, place)
        again_in = None if well else wait_after(seen.failures)
        if seen.device is not None:
            about = (seen.device, unit, action, version)
            self._events.tell(ActionClosed(*about, again_in, seen.by_attribute, seen.said))

    def closed_elsewhere(
        self,
        device: Device,
        unit: str,
        action: int,
        version: str,
        *,
        well: bool,
        by_attribute: bool = False,
        said: str = "",
    ) -> None:
        """Another replica heard that a unit closed an action; what cannot be so is passed over.

        `said` is the version that its attributes had there. Which device it is of where no address
        says so, the unit has to say here too.
        """
        if not (can_be_action(action) and can_be_word(version)):
            return
        place = self._place(None if by_attribute else device, unit, Protocol.REPLICA)
        if place == NOWHERE or self._table.device_name(place) not in {"", device.name}:
            return
        if said and can_be_word(said):
            self._table.rename(self._table.said, place, said)
        self._close(place, action, version, well=well)

    def cancelled(self, device: Device | None, unit: str, *, refused: bool) -> None:
        """A unit answered a cancel; one that refused it goes on with its action."""
        place = self._find(device, unit)
        if place != NOWHERE:
            before = self._table.flags[place]
            self._table.flags[place] = flags.cancelled(before, refused=refused)
            self.changes.note(place)

    async def kept(self, within: float) -> bool:
        """Whether all that was said until now is on the disk, or cannot be, after some seconds."""
        return await self.changes.kept(within)

    def page(
        self, first: int, most: int, device: Device | None = None
    ) -> tuple[list[SeenUnit], int | None]:
        """Some units, of one device or of all, and where to go on; None at the end.

        `most` places are looked at, from `first` on, which begins at 0.
        """
        last = min(first + most, self._table.places)
        number = None if device is None else self._table.words.find(device.name)
        seen = [
            seen_at(self._table, place)
            for place in range(first, last)
            if self._table.is_taken(place)
            and (device is None or self._table.device[place] == number)
        ]
        return seen, last if last < self._table.places else None

    def running(self, device: Device) -> dict[str, int]:
        """How many units of a device run which version, of those that said so."""
        texts = self._table.words.texts
        number = self._table.words.find(device.name)
        counts = {} if number is None else self._running.of(number)
        return {texts[version]: count for version, count in counts.items()}

    def counts(self) -> Iterator[tuple[Device, str, int]]:
        """Each device, version, and how many of its units run it, of those that said so."""
        texts = self._table.words.texts
        for device, version, count in self._running.all():
            yield Device(texts[device]), texts[version], count

    # What is kept on the disk; see `saver.py`.

    def take_changes(self) -> tuple[list[int], list[Row]]:
        """The next places to be saved, and their rows; none where nothing changed."""
        places = self.changes.take()
        return places, [row_of(place, seen_at(self._table, place)) for place in places]

    def note_all(self) -> None:
        """Have everything saved."""
        for place in self._table.taken():
            self.changes.note(place)

    def load(self, rows: Iterable[Row]) -> bool:
        """Take rows in, the ones heard of longest ago first; False where rows and places differ.

        Before anything else is asked or said; from any thread. A row that cannot be one is left
        out.
        """
        fits = True
        for row in rows:
            seen = read_row(row)
            if seen is not None:
                fits = self._load(seen, int(row[0])) and fits
        self._table.find_free()
        return fits

    def _load(self, seen: SeenUnit, wanted: int) -> bool:
        if not self._most:
            return False
        table = self._table
        key = None if seen.by_attribute else seen.device
        before = self._find(key, seen.unit)
        if before != NOWHERE:
            self._forget(before)
        fits = wanted < self._most and not (wanted < table.places and table.is_taken(wanted))
        if table.is_full:
            self._forget(table.oldest)
        place = put_in(table, seen, wanted if fits else None)
        self._runs(place, seen.runs)
        return fits

    def _find(self, device: Device | None, unit: str) -> int:
        number = 0 if device is None else self._table.words.find(device.name)
        return NOWHERE if number is None else self._table.find(number, unit.encode())

    def _place(self, device: Device | None, unit: str, protocol: Protocol = Protocol.DDI) -> int:
        """The place of a unit, which is heard of now; `NOWHERE` where none is remembered."""
        self.heard(device, unit, protocol)
        return self._find(device, unit)

    def _add(self, device: Device | None, unit: str) -> int:
        if not self._most or not can_be_unit(unit):
            return NOWHERE
        table = self._table
        if table.is_full:
            self.crowding.note(table.heard[table.oldest])
            self._forget(table.oldest)
        number = table.words.take(device.name if device else "")
        return table.add(number, unit.encode(), flags=flags.IS_ASKED)

    def _forget(self, place: int) -> None:
        self._runs(place, "")
        self._table.remove(place)

    def _move(self, place: int, device: Device) -> None:
        """A unit that no address names a device of says which one it is of."""
        table = self._table
        if table.device_name(place) != device.name:
            runs = table.words.texts[table.runs[place]]
            self._runs(place, "")
            table.flags[place] |= flags.BY_ATTRIBUTE  # before: its key stays what it was
            table.rename(table.device, place, device.name)
            self._runs(place, runs)

    def _runs(self, place: int, runs: str) -> None:
        """A unit runs that; empty where it is about to be another's place."""
        table = self._table
        device, before = table.device[place], table.runs[place]
        if table.words.texts[before] == runs:
            return
        self._running.take(device, before)
        table.rename(table.runs, place, runs)
        self._running.add(device, table.runs[place])
        self._tell(place, runs, is_gone=not runs)

    def _tell(self, place: int, runs: str, *, is_gone: bool = False) -> None:
        """Tell the listeners of a unit that says what it runs, or is gone."""
        table = self._table
        if self._listeners and table.device[place] and (runs or is_gone):
            device = Device(table.words.texts[table.device[place]])
            for hear in self._listeners:
                hear(device, table.name(place).decode(), runs)

    def _set_action(self, place: int, action: int) -> None:
        table = self._table
        if table.action[place] != action:
            table.action[place] = action
            table.flags[place] &= ~flags.OF_AN_ACTION
            self.changes.note(place)
            _, _, version = table.failed.pop(place, (0, 0, 0))
            table.words.give_back(version)

    def _close(self, place: int, action: int, version: str, *, well: bool) -> None:
        table = self._table
        self._set_action(place, action)
        table.flags[place] &= ~flags.OF_AN_ACTION
        failures, _, failed = table.failed.pop(place, (0, 0, 0))
        table.words.give_back(failed)
        if well:
            table.closed[place] = action
            table.flags[place] |= flags.IS_ASKED
            if version:
                self._runs(place, version)
        else:
            number = table.words.take(version)
            table.failed[place] = (failures + 1, int(self._now()), number)
        self.changes.note(place, urgent=True)
