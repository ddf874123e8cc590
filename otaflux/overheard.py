"""The log's last warnings, for the operators' page: what is wrong is said there as well.

Lines are heard before they are written, whatever LOG_LEVEL leaves out, from any thread. The same
line of the same device is one, with the last time and how often. Bounded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from otaflux.wording import plain

MOST = 50  # lines
MAX_SHOWN = 500  # characters of a field
_OWN = frozenset({"timestamp", "level", "event", "device", "reason", "hint", "exc_info"})
LEVELS = frozenset({"warning", "error", "critical"})
BESIDES = frozenset({"hook_ignored"})  # no warning, and yet why a push did not come
ENDS = {"broker_connected": "broker_failed", "registry_answers": "registry_failed"}
HEARD_BESIDES = BESIDES | ENDS.keys()  # below a warning, and heard all the same


class Warned(msgspec.Struct, frozen=True):
    """One line: `at` as the log has it, `fields` what it said besides."""

    at: str
    level: str
    event: str
    device: str
    reason: str
    hint: str
    fields: tuple[tuple[str, str], ...]
    times: int = 1


class Overheard:
    """Hears lines of the log."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lost: Callable[[], int] = lambda: 0
        # Each with how often. Texts are made fit to be shown when somebody looks: hooks are many.
        self._lines: OrderedDict[tuple[object, ...], tuple[Mapping[str, str], int]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, line: Mapping[str, object]) -> None:
        """Take a line; those below a warning are passed over, but for hooks that were ignored."""
        if line.get("event") in ENDS:
            self._end(ENDS[str(line["event"])])
        if line.get("level") not in LEVELS and line.get("event") not in BESIDES:
            return
        said = {
            name: value if isinstance(value, str) and len(value) <= MAX_SHOWN else _text(value)
            for name, value in line.items()
        }
        key = (said.get("event", ""), said.get("device", ""), said.get("reason", ""))
        with self._lock:
            _, before = self._lines.pop(key, (said, 0))
            self._lines[key] = said, before + 1
            while len(self._lines) > self._most:
                self._lines.popitem(last=False)

    def _end(self, event: str) -> None:
        """What that event said is over."""
        with self._lock:
            for key in [key for key in self._lines if key[0] == event]:
                del self._lines[key]

    def watch(self, lost: Callable[[], int]) -> None:
        """Have `lost` say how many lines could not be written: the log itself may never say it."""
        self._lost = lost

    @property
    def lost(self) -> int:
        """How many lines of the log could not be written."""
        return self._lost()

    def lines(self) -> list[Warned]:
        """What was heard, the newest first."""
        with self._lock:
            kept = list(reversed(self._lines.values()))
        heard = [_warned(said, times) for said, times in kept]
        if not self.lost:
            return heard
        reason = f"{self.lost} lines of the log could not be written"
        return [Warned("", "warning", "log_lines_lost", "", reason, "", ()), *heard]


def _warned(line: Mapping[str, str], times: int) -> Warned:
    said = {name: _text(value) for name, value in line.items()}
    return Warned(
        said.get("timestamp", ""),
        said["level"],
        said.get("event", ""),
        said.get("device", ""),
        said.get("reason", ""),
        said.get("hint", ""),
        tuple((name, text) for name, text in said.items() if name not in _OWN and text),
        times,
    )


def _text(value: object) -> str:
    if value is None or value is True or isinstance(value, BaseException):
        return ""
    if isinstance(value, list | tuple | set | frozenset):
        return plain(", ".join(map(str, value)), MAX_SHOWN)
    return plain(value, MAX_SHOWN)
