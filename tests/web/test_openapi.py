"""docs/openapi.yaml describes each address that the server has, and no other.

Whether each answers as it is described is what `scenarios/test_openapi_held.py` asks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from otaflux.web.devices.protocols.table import ROUTES
from otaflux.web.hooks.receiver import ADDRESS, HARBOR_ALIAS

DESCRIPTION = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"


def described() -> dict[str, Any]:
    """The description, parsed."""
    parsed: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text())
    return parsed


def test_every_address_is_described() -> None:
    """What the server answers stands in the description, and nothing else does."""
    expected = {route.address for route in ROUTES}
    expected |= {ADDRESS, f"{ADDRESS}/{{source}}", HARBOR_ALIAS}
    assert set(described()["paths"]) == expected
