"""An index of tens of thousands of tags keeps nobody waiting, and takes little memory."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_files import INDEX, MANIFEST, REF_NAME

from otaflux.errors import Undecided
from otaflux.model.artifact import Gone
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.layout.index import LARGE, LayoutIndex
from otaflux.registry.layout.spans import MAX_PART, Spans

MANY = 40_000
LAMP = Device("lamp")


def entry(name: str) -> dict[str, Any]:
    """As skopeo writes it."""
    return {
        "mediaType": MANIFEST,
        "digest": f"sha256:{hash(name) & (1 << 250) - 1:064x}",
        "size": 700,
        "annotations": {REF_NAME: name},
    }


def index_of(names: list[str], **more: Any) -> bytes:
    """The bytes of an index."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(n) for n in names]}
    return json.dumps({**document, **more}, indent=1).encode()


@pytest.fixture(scope="module")
def large() -> bytes:
    """The bytes of a large index."""
    return index_of([f"1.0.{n}" for n in range(MANY)])


async def test_a_large_index_is_read_whole_and_never_on_the_loop(
    tmp_path: Path, large: bytes
) -> None:
    """Parsing, listing and finding are a thread's; of two large ones one waits for the other."""
    loop_thread = threading.get_ident()
    at_once = most = 0

    async def in_thread(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal at_once, most

        def noted() -> Any:
            assert threading.get_ident() != loop_thread
            return work(*arguments, **options)

        parses = getattr(work, "__name__", "") == "parse"
        at_once += parses
        most = max(most, at_once)
        try:
            return await asyncio.to_thread(noted)
        finally:
            at_once -= parses

    for device in ("lamp", "fan"):
        (tmp_path / device).mkdir()
        (tmp_path / device / "index.json").write_bytes(large)
    layout = Layout(tmp_path, in_thread=in_thread)
    listings = await asyncio.gather(layout.tags(LAMP), layout.tags(Device("fan")))
    assert [len(listing.tags) for listing in listings] == [MANY, MANY]
    assert most == 1
    assert await layout.resolve(LAMP, Tag("9.9.9")) == Gone()


async def test_others_go_on_while_a_large_index_is_sorted_out(tmp_path: Path, large: bytes) -> None:
    """No step is as long as the whole: the loop turns many times meanwhile."""
    (tmp_path / "lamp").mkdir()
    (tmp_path / "lamp" / "index.json").write_bytes(large)
    layout = Layout(tmp_path)
    turns = 0
    listing = asyncio.create_task(layout.tags(LAMP))
    while not listing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 10


def test_the_memory_is_that_of_the_bytes_and_little_more(large: bytes) -> None:
    """What is not asked for is not made."""
    tracemalloc.start()
    try:
        index = LayoutIndex.parse(large)
        tags = index.tags()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(tags) == MANY
    assert peak < len(large) / 2


def test_the_last_of_many_entries_is_found(large: bytes) -> None:
    """By its own name, and by one with a `+`, or an escape."""
    names = [f"1.0.{n}" for n in range(LARGE)]
    body = index_of([*names, "2.0.0+build.5"]).replace(b'"1.0.7"', b'"1.0\\u002e7"')
    index = LayoutIndex.parse(body)
    for tag in ("1.0.999", "2.0.0_build.5", "1.0.7"):
        found = index.find(Tag(tag))
        assert found is not None
        assert found.tag == Tag(tag)
    assert index.find(Tag("1.0.1000")) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=8,
    ),
    st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=8)), max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_cutting_out_the_entries_changes_nothing(
    value: Any, entries: list[dict[str, str]], indent: int | None, ascii_only: bool
) -> None:
    """Entries and what is around them are together what was read, however it is written."""
    document = {"before": value, "manifests": entries, "after": value}
    body = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    spans = Spans(body)
    assert [json.loads(raw) for raw in spans] == entries
    assert json.loads(spans.around()) == {**document, "manifests": []}


@pytest.mark.parametrize(
    "body",
    [
        b'{"schemaVersion":2,"manifests":[{}],"manifests":[]}',
        b'{"schemaVersion":2,"manifests":[],"manifest\\u0073":[]}',
        b'{"schemaVersion":2,"manifests":[{"a":"' + b"x" * MAX_PART + b'"}]}',
        b'{"schemaVersion":2,"manifests":[],"a":"' + b"x" * MAX_PART + b'"}',
        b'{"schemaVersion":2,"manifests":[' + b'{"a":' * 100_000,
        b'{"schemaVersion":2,"manifests":[' + b" " * 300_000,
        b'{"schemaVersion":2,"manifests":["' + b"\\" * 300_001 + b'"]}',
        b"{" + b'"' * 300_001,
    ],
    ids=range(8),
)
def test_what_would_take_long_to_read_says_nothing(body: bytes) -> None:
    """Whatever it is made of."""
    with pytest.raises(Undecided):
        LayoutIndex.parse(body)
