"""The list of listeners: everybody hears of everything, whatever the others do."""

from __future__ import annotations

from structlog.testing import capture_logs

from otaflux.errors import Busy, DiskFailed, Undecided, Unreachable
from otaflux.events import Events, Happening, HookAnswered
from otaflux.reason import Cause, Reason

ANSWERED = HookAnswered("generic", "accepted")


def test_a_listener_that_raises_is_logged_once_and_ends_nothing() -> None:
    """The others hear, the teller goes on, and a bug that shows each time is one line."""
    heard: list[Happening] = []
    events = Events(_broken, heard.append)
    with capture_logs() as lines:
        for _ in range(3):
            events.tell(ANSWERED)
    assert heard == [ANSWERED] * 3
    assert [(line["event"], line["listener"]) for line in lines] == [
        ("listener_crashed", "_broken")
    ]
    assert lines[0]["exc_info"]


def _broken(_happening: Happening) -> None:
    raise KeyError


def test_who_listens_later_hears_what_comes_then() -> None:
    """Listeners may come at any time."""
    heard: list[Happening] = []
    events = Events()
    events.tell(ANSWERED)
    events.listen(heard.append)
    events.tell(ANSWERED)
    assert heard == [ANSWERED]


def test_a_reason_says_whose_fault_it_is_and_what_to_do() -> None:
    """Registry, registry as a whole, or disk: each is another matter for who listens."""
    assert Reason.of(Undecided("odd", hint="Wait")) == Reason(Cause.REGISTRY, "odd", "Wait")
    assert Reason.of(Unreachable("away")).cause is Cause.UNREACHABLE
    assert Reason.of(DiskFailed("full")).cause is Cause.DISK
    assert Reason.of(Busy("made room")).cause is Cause.OTHERS
