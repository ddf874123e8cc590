"""One broker for all tests of the broker: each has a topic of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from mosquitto import Mosquitto, mosquitto

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A mosquitto that nobody freezes or kills."""
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"test{next(_numbers)}/ota"
