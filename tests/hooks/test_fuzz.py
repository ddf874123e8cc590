"""Whatever comes as a hook, only this project's error leaves the parsers."""

from __future__ import annotations

import json
from typing import Any

from hook_files import captures, payloads
from hypothesis import example, given
from hypothesis import strategies as st

from otaflux import hooks
from otaflux.errors import BadHook
from otaflux.model.event import HookEvent, Noise

SENT = [sent for sent in payloads() + captures()[::9] if sent.body != b"{}\n"]
SOURCES = [None, *hooks.SOURCES]
# Keys and values that parsers look for, so that arbitrary JSON gets past the first of them.
WORDS = sorted({word for sent in SENT for word in sent.body.decode().split('"') if len(word) < 40})

# Half of a pair of surrogates, which JSON can escape and no encoding can write.
halves = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)
header_sets = st.dictionaries(
    st.sampled_from(
        ["content-type", "x-github-event", "x-gitea-event", "ce-type", "x-forgejo-event"]
    ),
    st.sampled_from(
        [
            *sorted({value for sent in SENT for value in sent.headers.values()}),
            "application/x-www-form-urlencoded; charset=utf-8",
        ]
    )
    | st.text()
    | halves,  # what is no UTF-8 in a header arrives so
)


def parse(headers: dict[str, str], body: bytes, source: str | None) -> None:
    """Parse, and hold what is found to its types; `BadHook` is the one error allowed."""
    try:
        delivery = hooks.parse(headers, body, source)
    except BadHook:
        return
    assert delivery.source == (source or delivery.source)
    for part in delivery.parts:
        assert isinstance(part, HookEvent | Noise)
        assert isinstance(part.repository, str)
        part.repository.encode()
        if isinstance(part, HookEvent):
            assert part.repository
            assert part.repository == part.repository.lower()
            part.tag.encode()
            part.digest.encode()
        else:
            assert part.reason


@given(header_sets, st.binary(max_size=400), st.sampled_from(SOURCES))
@example({"content-type": "application/x-www-form-urlencoded"}, b"payload=%", None)
@example({"content-type": "application/x-www-form-urlencoded"}, b"payload=%FF%00+", "github")
def test_arbitrary_bytes_are_refused(
    headers: dict[str, str], body: bytes, source: str | None
) -> None:
    """Bytes that nobody wrote end as a refusal, or as a hook that says something."""
    parse(headers, body, source)


@given(header_sets, trees, st.sampled_from(SOURCES))
def test_arbitrary_json_is_refused_or_read(
    headers: dict[str, str], tree: Any, source: str | None
) -> None:
    """JSON of any shape ends as a refusal, as noise, or as an event with a repository."""
    parse(headers, json.dumps(tree).encode(), source)


@given(st.sampled_from(SENT), st.data())
def test_mutated_payloads_are_refused_or_read(sent: Any, data: st.DataObject) -> None:
    """A real payload with one value replaced, wherever it stands, is still no crash."""
    body = json.loads(sent.body)
    inner = body
    while isinstance(inner, dict | list) and inner:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            inner[key] = data.draw(trees)
            break
        inner = inner[key]
    source = data.draw(st.sampled_from(SOURCES))
    parse(sent.headers, json.dumps(body).encode(), source)


@given(st.sampled_from(SENT), halves, st.data())
def test_payloads_with_half_a_surrogate_pair_are_refused_or_read(
    sent: Any, half: str, data: st.DataObject
) -> None:
    """Half a pair of surrogates in any text or key of a real payload is still no crash."""
    body = sent.body.decode()
    quotes = [place for place, character in enumerate(body) if character == '"']
    place = data.draw(st.sampled_from(quotes))
    escaped = json.dumps(half)[1:-1]
    written = data.draw(st.sampled_from([escaped.encode(), half.encode("utf-8", "surrogatepass")]))
    broken = body[:place].encode() + written + body[place:].encode()
    inside = body[: place + 1].encode() + written + body[place + 1 :].encode()
    source = data.draw(st.sampled_from(SOURCES))
    for sent_body in (broken, inside):
        parse(sent.headers, sent_body, source)


@given(st.sampled_from(SENT), st.data())
def test_broken_payloads_are_refused_or_read(sent: Any, data: st.DataObject) -> None:
    """A real payload that is cut, or has bytes replaced, is still no crash."""
    body = bytearray(sent.body)
    cut = data.draw(st.integers(0, len(body)))
    start = data.draw(st.integers(0, len(body)))
    body[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    parse(sent.headers, bytes(body[:cut]), data.draw(st.sampled_from(SOURCES)))
