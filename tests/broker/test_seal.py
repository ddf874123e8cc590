"""What replicas tell each other is told from forgeries: each change, delay and repetition shows."""

from __future__ import annotations

import json

import msgspec
import pytest

from otaflux.broker.peers import ActionHeard
from otaflux.broker.seal import FRESH, Seal
from otaflux.errors import Unproven

TOPIC = "home/ota/$otaflux/units"


class Rig:
    """A sender and a receiver, whose time stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.ours, self.theirs = ["new", "old"], ["new"]
        self.sender = Seal(lambda: self.ours, now=lambda: self.now)
        self.receiver = Seal(lambda: self.theirs, now=lambda: self.now, most=2)

    def sent(self, unit: str = "u1") -> bytes:
        """A message on its way."""
        message = ActionHeard(
            replica="one", device="lamp", unit=unit, action=7, version="1.0.0", well=True
        )
        return self.sender.put_on(TOPIC, message)

    def check(self, payload: bytes, topic: str = TOPIC) -> None:
        """It comes."""
        self.receiver.check(topic, msgspec.json.decode(payload, type=ActionHeard))


def test_a_message_of_who_knows_the_secret_counts_once() -> None:
    """Whoever reads at the broker cannot send it again."""
    rig = Rig()
    sent = rig.sent()
    rig.check(sent)
    with pytest.raises(Unproven, match="taken before"):
        rig.check(sent)
    rig.check(rig.sent("u2"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("replica", "two"),
        ("device", "door"),
        ("unit", "u2"),
        ("action", 8),
        ("version", "1.0.1"),
        ("well", False),
        ("by_attribute", True),
        ("said", "1"),
        ("at", 1_800_000_001),
        ("proof", ""),
        ("proof", "ü"),
        ("proof", "0" * 64),
    ],
)
def test_a_message_in_which_anything_was_changed_counts_not(field: str, value: object) -> None:
    """The proof is over all of it."""
    rig = Rig()
    message = json.loads(rig.sent())
    message[field] = value
    with pytest.raises(Unproven, match="WEBHOOK_SECRET"):
        rig.check(json.dumps(message).encode())


def test_a_proof_is_of_its_topic() -> None:
    """A message of one kind is none of another."""
    rig = Rig()
    with pytest.raises(Unproven):
        rig.check(rig.sent(), "home/ota/$otaflux/deletions")


@pytest.mark.parametrize("late", [-FRESH - 1, FRESH + 1])
def test_a_message_that_is_late_or_early_counts_not(late: float) -> None:
    """Memory of what was taken is bounded, and so is the time in which a message may come."""
    rig = Rig()
    sent = rig.sent()
    rig.now += late
    with pytest.raises(Unproven, match="clocks differ"):
        rig.check(sent)


def test_secrets_rotate() -> None:
    """The first one of the sender has to be one of the receiver's."""
    rig = Rig()
    rig.theirs = ["old", "new"]
    rig.check(rig.sent())
    rig.ours = ["other", "new"]
    with pytest.raises(Unproven):
        rig.check(rig.sent())


def test_without_a_secret_nothing_is_proven() -> None:
    """A message goes out bare, and no made-up proof holds."""
    rig = Rig()
    rig.ours, rig.theirs = [], []
    assert not rig.receiver.is_there
    sent = json.loads(rig.sent())
    assert not {"at", "proof"} & sent.keys()
    with pytest.raises(Unproven):
        rig.check(json.dumps({**sent, "at": 1_800_000_000, "proof": "00"}).encode())
