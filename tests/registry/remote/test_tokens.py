"""Tokens that are kept: enough for every device, and never more than fit."""

from __future__ import annotations

import random

from fake_registry import FakeRegistry
from hypothesis import given
from hypothesis import strategies as st
from registry_client import remote

from otaflux.model.names import Device
from otaflux.registry.remote import tokens
from otaflux.registry.remote.tokens import OVERHEAD, Token, TokenCache, TokenRequest


def ask(number: int) -> TokenRequest:
    """What a device's token is asked for by."""
    return TokenRequest(
        "https://auth.example/token", "registry", f"repository:acme/d{number}:pull", None
    )


def token(size: int, ends: float) -> Token:
    """A token with a header of so many bytes."""
    return Token("x" * size, ends)


async def test_a_round_over_many_devices_fetches_each_token_once() -> None:
    """A re-check with tokens costs what it does without, however many devices there are."""
    devices = [Device(f"d{number}") for number in range(400)]
    async with (
        FakeRegistry(auth="bearer") as registry,
        remote(registry, login=("robot", "s3cret")) as client,
    ):
        registry.tokens.expires_in = 3600
        for device in devices:
            registry.content.put(f"acme/{device}", "1.0.0", layers=[b"x"])
        for _ in range(2):
            for device in devices:
                await client.tags(device)
        assert len(registry.seen("token")) == len(devices)
        assert len(registry.seen("tags")) == 2 * len(devices)


def test_tens_of_thousands_fit() -> None:
    """Tokens of a kilobyte for 15,000 devices, of three for 8,000."""
    for size, devices in ((1024, 15_000), (3 * 1024, 8_000)):
        purse = TokenCache()
        for number in range(devices):
            purse.put(ask(number), token(size, 300.0), 0.0)
        assert len(purse) == devices
        assert all(purse.get(ask(number), 299.0) for number in range(devices))
        assert purse.get(ask(0), 300.0) is None


def test_what_is_too_much_goes_and_what_ended_goes_first() -> None:
    """A short one that still holds is kept before a newer one that does not."""
    purse = TokenCache(3 * (100 + OVERHEAD))
    purse.put(ask(1), token(100, 1000.0), 0.0)
    purse.put(ask(2), token(100, 60.0), 0.0)
    purse.put(ask(3), token(100, 500.0), 0.0)
    purse.put(ask(4), token(100, 400.0), 100.0)
    assert [bool(purse.get(ask(number), 100.0)) for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]
    purse.put(ask(5), token(100, 2000.0), 101.0)
    assert purse.get(ask(4), 101.0) is None  # the one that would have ended next
    assert purse.get(ask(1), 101.0)


@given(st.integers())
def test_whatever_is_kept_fits(seed: int) -> None:
    """Kept, replaced, dropped and ended in any order, never more than there is room for."""
    chance = random.Random(seed)
    purse, now = TokenCache(20_000), 0.0
    held: dict[TokenRequest, Token] = {}
    for _ in range(300):
        one = ask(chance.randrange(30))
        now += chance.random() * 5
        if chance.random() < 0.2:
            purse.drop(one)
            held.pop(one, None)
        else:
            held[one] = token(chance.randrange(3000), now + chance.randrange(1, 300))
            purse.put(one, held[one], now)
        kept = [found for each in held if (found := purse.get(each, now))]
        assert sum(len(each.header) + OVERHEAD for each in kept) <= 20_000
        assert all(purse.get(each, now) in {None, held[each]} for each in held)


def test_the_bound_is_one_that_a_small_machine_bears() -> None:
    """All tokens together stay below the memory that a pull may take."""
    assert tokens.MAX_KEPT <= 32 << 20
