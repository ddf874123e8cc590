"""Whatever is sent as feedback, attributes or names ends as a meaning or as one refusal."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from property_runs import examples

from otaflux.errors import BadBody, BadName
from otaflux.units.seen import can_be_unit
from otaflux.web.devices.protocols import ddirules as rules
from otaflux.web.devices.protocols.ddibodies import Outcome, read_attributes, read_feedback

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
WORDS = st.sampled_from(["status", "execution", "result", "finished", "data", "mode", "version"])
SHAPES = st.dictionaries(WORDS, VALUES | st.dictionaries(WORDS, VALUES, max_size=4), max_size=4)
BODIES = st.binary(max_size=200) | (SHAPES | VALUES).map(lambda each: json.dumps(each).encode())


@given(BODIES)
@settings(max_examples=examples(150), deadline=None)
def test_any_body_is_understood_or_refused(body: bytes) -> None:
    """Nothing else leaves the parsers, and what they return is bounded."""
    with suppress(BadBody):
        assert read_feedback(body) in Outcome
    with suppress(BadBody):
        assert all(len(word) <= 200 for word in read_attributes(body))


@given(st.text(max_size=220), st.text(max_size=220), st.text(max_size=30))
@settings(max_examples=examples(150), deadline=None)
def test_any_name_is_found_or_refused(tenant: str, unit: str, action: str) -> None:
    """A unit that is taken has links of ASCII, and a number is one or none."""
    assert rules.device_named(tenant, unit, lambda _: False) is None
    assert 0 <= rules.read_action(action) < 1 << 32 or len(action) == 10
    try:
        rules.check_unit(unit)
    except BadName:
        assert not can_be_unit(unit)
    else:
        assert rules.base(tenant.encode("utf-8", "ignore").decode(), unit).isascii()
