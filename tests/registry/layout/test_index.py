"""`registry.layout.index`: hostile `index.json`, and what is kept of it when a tag is added."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from layout_files import INDEX, MANIFEST, REF_NAME

from otaflux.errors import Undecided
from otaflux.model.names import Tag
from otaflux.registry.layout.index import LayoutIndex

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
TAGS = st.sampled_from(["1.0.0", "1.1.0", "v2.0.0", "latest", "sha256-00", "acme/lamp:1.0.0"])
ENTRIES = st.builds(
    lambda fields, name, more: {
        **more,
        **fields,
        **({} if name is None else {"annotations": {REF_NAME: name, "kept": "as it is"}}),
    },
    st.fixed_dictionaries(
        {
            "mediaType": st.sampled_from([MANIFEST, INDEX, "text/html"]),
            "digest": st.sampled_from([f"sha256:{at:064x}" for at in range(4)] + ["blake3:0"]),
            "size": st.integers(0, 2**63 - 1),
        }
    ),
    TAGS | st.none() | st.text(max_size=5),
    st.dictionaries(st.sampled_from(["platform", "data", "x"]), VALUES, max_size=2),
)
INDEXES = st.builds(
    lambda manifests, more: {**more, "schemaVersion": 2, "manifests": manifests},
    st.lists(ENTRIES, max_size=5),
    st.dictionaries(st.sampled_from(["annotations", "x", "subject"]), VALUES, max_size=2),
)


def test_an_empty_index_is_written_as_the_specification_has_it() -> None:
    """What a first push begins with."""
    assert json.loads(LayoutIndex().encode()) == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [],
    }


@given(body=st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
@example(body=b'{"schemaVersion":2,"manifests":[],"x":tru}')
@example(body=b'{"schemaVersion":2,"manifests":[],"x":01}')
@example(body=b'{"schemaVersion":2,"manifests":[],"x":"\\x"}')
@example(body=b'{"schemaVersion":2,"manifests":[]}}')
@example(body=b'\xef\xbb\xbf{"schemaVersion":2,"manifests":[]}')
def test_bytes_are_an_index_or_undecided(body: bytes) -> None:
    """No other error comes out, and nothing that is no JSON is taken for an index."""
    try:
        LayoutIndex.parse(body)
    except Undecided:
        return
    json.loads(body)


@given(
    index=INDEXES,
    path=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    put=VALUES,
)
def test_an_index_with_anything_anywhere_is_read_or_undecided(
    index: dict[str, Any], path: list[int], put: Any
) -> None:
    """A value of the wrong kind at any depth raises nothing but `Undecided`."""
    at: Any = index
    for step in path:
        keys = sorted(at) if isinstance(at, dict) else range(len(at))
        if not keys:
            break
        key = list(keys)[step % len(keys)]
        if not isinstance(at[key], dict | list) or step == path[-1]:
            at[key] = put
            break
        at = at[key]
    try:
        read = LayoutIndex.parse(json.dumps(index).encode())
    except Undecided:
        return
    assert len(list(read.entries)) == len(index["manifests"] or ())


@given(index=INDEXES, cut=st.floats(0, 1, exclude_max=True))
def test_half_an_index_is_never_one(index: dict[str, Any], cut: float) -> None:
    """A tool that writes in place is seen halfway: no part of an index is a smaller index."""
    body = json.dumps(index).encode()
    with pytest.raises(Undecided):
        LayoutIndex.parse(body[: int(len(body) * cut)])


@given(index=INDEXES, tag=TAGS.filter(lambda name: "/" not in name).map(Tag))
@example(
    index={
        "schemaVersion": 2,
        "manifests": [
            {"platform": {"}\x1f": None}, "mediaType": MANIFEST, "digest": "x", "size": 0}
        ],
    },
    tag=Tag("1.0.0"),
)
def test_adding_a_tag_changes_nothing_else(index: dict[str, Any], tag: Tag) -> None:
    """Foreign entries and unknown fields stay as they were; the tag names the new manifest only."""
    body = json.dumps(index, indent=1).encode()
    before = LayoutIndex.parse(body)
    new = {"mediaType": MANIFEST, "digest": "sha256:" + "e" * 64, "size": 7, "artifactType": "x"}
    written = before.with_tag(tag, new).encode()
    after = LayoutIndex.parse(written)

    found = after.find(tag)
    assert found is not None
    assert str(found.digest) == new["digest"]
    assert {*after.tags()} == {*before.tags(), tag}
    for other in before.tags():
        assert other == tag or after.find(other) == before.find(other)

    kept = [
        entry
        for entry, read in zip(index["manifests"], before.entries, strict=True)
        if read.tag != tag
    ]
    expected = {**index, "manifests": [*kept, {**new, "annotations": {REF_NAME: tag.text}}]}
    assert json.dumps(json.loads(written), sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("1.0.0+build.5", "1.0.0_build.5"),
        ("registry.example/acme/lamp:1.0.0+build.5", "1.0.0_build.5"),
        ("1.0.0_build.5", "1.0.0_build.5"),
        ("registry.example:5000/lamp", None),
        ("lamp@sha256:00", None),
        ("+", "_"),
        ("a b", None),
    ],
)
def test_a_name_is_a_tag_or_none(name: str, tag: str | None) -> None:
    """Skopeo writes what stands behind the last colon, a `+` too, which no registry would take."""
    entry = {
        "mediaType": MANIFEST,
        "digest": "sha256:0",
        "size": 1,
        "annotations": {REF_NAME: name},
    }
    body = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    assert [str(found) for found in LayoutIndex.parse(body).tags()] == ([tag] if tag else [])


@pytest.mark.parametrize("field", ["mediaType", "annotations"])
def test_a_field_that_is_null_is_one_that_is_not_there(field: str) -> None:
    """As other tools read it, in the index and in an entry, and in one annotation among others."""
    entry = {"mediaType": MANIFEST, "digest": "sha256:" + "0" * 64, "size": 1}
    named = {**entry, "annotations": {REF_NAME: "1.0.0", "other": None}}
    document = {"schemaVersion": 2, "manifests": [{**entry, field: None}, named], field: None}
    index = LayoutIndex.parse(json.dumps(document).encode())
    assert index.tags() == (Tag("1.0.0"),)
    found = index.find(Tag("1.0.0"))
    assert found is not None
    assert found.is_artifact


@pytest.mark.parametrize(
    "said",
    [
        '"digest":"sha256:{a}","digest":"sha256:{b}","size":7',
        '"digest":"sha256:{a}","Digest":"sha256:{b}","size":7',
        '"digest":"sha256:{a}","size":7,"annotations":{{"{name}":"1.0.0","{name}":"1.1.0"}}',
    ],
)
def test_an_entry_that_says_something_twice_is_not_clear(said: str) -> None:
    """Other tools would take the other one; the other tags of the index stay."""
    entry = said.format(a="a" * 64, b="b" * 64, name=REF_NAME)
    if "annotations" not in entry:
        entry += f',"annotations":{{"{REF_NAME}":"1.1.0"}}'
    good = f'{{"digest":"sha256:{"c" * 64}","size":7,"annotations":{{"{REF_NAME}":"0.9.0"}}}}'
    index = LayoutIndex.parse(f'{{"schemaVersion":2,"manifests":[{{{entry}}},{good}]}}'.encode())
    with pytest.raises(Undecided, match=r"twice|other letters"):
        index.find(Tag("1.1.0"))
    assert index.find(Tag("0.9.0")) is not None
