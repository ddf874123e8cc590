"""What was signed has to be for this device and this version, where it names them."""

from __future__ import annotations

import pytest

from otaflux.errors import Unsigned
from otaflux.model.artifact import DEVICE, VERSION
from otaflux.model.names import Device
from otaflux.model.version import Version
from otaflux.signature.binding import check_bound

LAMP, TAG = Device("acme/lamp"), Version.parse("v1.4.0_b7")
RIGHT = {DEVICE: "acme/lamp", VERSION: "1.4.0+b7"}


@pytest.mark.parametrize("text", ["1.4.0+b7", "v1.4.0+b7", "V1.4.0_b7", "1.4.0_b7"])
def test_versions_agree_as_versions_do(text: str) -> None:
    """However they are written."""
    check_bound(LAMP, TAG, [{**RIGHT, VERSION: text}], required=True)


@pytest.mark.parametrize("text", ["1.4.0", "1.4.0+b8", "1.3.9+b7", "1.4", "latest", "1.4.0+b7\n"])
def test_another_version_is_refused(text: str) -> None:
    """An old image does not come back under a higher tag; what is no version agrees with none."""
    with pytest.raises(Unsigned, match="signed for another version"):
        check_bound(LAMP, TAG, [{VERSION: text}])


@pytest.mark.parametrize("name", ["lamp", "acme/lamp2", "ACME/lamp", "acme/lamp "])
def test_another_device_is_refused(name: str) -> None:
    """Another device's image does not come under this one's name."""
    with pytest.raises(Unsigned, match="signed for another device"):
        check_bound(LAMP, TAG, [{**RIGHT, DEVICE: name}])


def test_index_and_child_have_to_agree_each() -> None:
    """Where either names one; either may name what the other does not."""
    check_bound(LAMP, TAG, [RIGHT, RIGHT], required=True)
    check_bound(LAMP, TAG, [{}, RIGHT], required=True)
    check_bound(LAMP, TAG, [RIGHT, {}], required=True)
    check_bound(LAMP, TAG, [{DEVICE: "acme/lamp"}, {VERSION: "1.4.0+b7"}], required=True)
    for wrong in ({DEVICE: "other"}, {VERSION: "1.0.0"}):
        for both in ([RIGHT, wrong], [wrong, RIGHT]):
            with pytest.raises(Unsigned):
                check_bound(LAMP, TAG, both)


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        ({}, f"{DEVICE} and {VERSION}"),
        ({DEVICE: "acme/lamp"}, VERSION),
        ({VERSION: "1.4.0+b7"}, DEVICE),
        ({VERSION: "1.4.0+b7", DEVICE: ""}, DEVICE),
    ],
)
def test_what_is_not_named_counts_only_where_it_is_asked_for(
    named: dict[str, str], missing: str
) -> None:
    """REQUIRE_BOUND_TAG names what is missing; without it that is fine."""
    check_bound(LAMP, TAG, [named])
    with pytest.raises(Unsigned) as unsigned:
        check_bound(LAMP, TAG, [named], required=True)
    assert f"does not name {missing}," in str(unsigned.value)
