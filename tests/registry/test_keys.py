"""A manifest that says something twice: refused, wherever that counts, in any letters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.errors import Unusable
from otaflux.model.artifact import KEPT_ANNOTATIONS, TITLE, UNPACK, Manifest
from otaflux.registry.keys import MAX_STEPS, Shape, check_keys
from otaflux.registry.manifest import MAX_ANNOTATION, parse_artifact

HEX = "0" * 64
LAYER = f'{{"mediaType":"a/b","digest":"sha256:{HEX}","size":1}}'
CONFIG = f'"config":{{"mediaType":"c/d","digest":"sha256:{HEX}","size":2}}'
HEAD = f'"schemaVersion":2,{CONFIG}'


def manifest(*parts: str) -> bytes:
    """A manifest of these parts, as they are."""
    return ("{" + ",".join(parts) + "}").encode()


TWICE = {
    "layers": manifest(HEAD, f'"layers":[{LAYER}]', '"layers":[]'),
    "in other letters": manifest(HEAD, f'"layers":[{LAYER}]', '"Layers":[]'),
    "only in other letters": manifest(HEAD, f'"LAYERS":[{LAYER}]'),
    "escaped": manifest(HEAD, f'"layers":[{LAYER}]', '"l\\u0061yers":[]'),
    "the long s of Go's folding": manifest(
        HEAD, f'"layers":[{LAYER}]', '"layer\N{LATIN SMALL LETTER LONG S}":[]'
    ),
    "its escape": manifest(HEAD, f'"layers":[{LAYER}]', '"layer\\u017f":[]'),
    "with space between": manifest(HEAD, f'"layers" : [{LAYER}]', ' "layers"\n:\t[ ]'),
    "mediaType": manifest(HEAD, '"mediaType":null', '"mediaType":null', f'"layers":[{LAYER}]'),
    "a layer's digest": manifest(
        HEAD, '"layers":[' + LAYER.replace('"size":1', f'"size":1,"digest":"sha256:{HEX}"') + "]"
    ),
    "a layer's size in other letters": manifest(
        HEAD, '"layers":[' + LAYER.replace('"size":1', '"size":1,"SIZE":7') + "]"
    ),
    "the config's type": manifest(
        '"schemaVersion":2', CONFIG.replace('"size":2', '"size":2,"mediatype":"x/y"')
    ),
    "an annotation": manifest(
        HEAD, f'"layers":[{LAYER}]', f'"annotations":{{"{UNPACK}":"true","{UNPACK}":"false"}}'
    ),
    "an annotation, escaped": manifest(
        HEAD,
        f'"layers":[{LAYER}]',
        f'"annotations":{{"x":"1","{UNPACK}":"true","\\u0069{UNPACK[1:]}":"false"}}',
    ),
    "a child's platform": (
        '{"schemaVersion":2,"manifests":['
        + LAYER.replace('"size":1', '"size":1,"platform":{"os":"a","os":"b"}')
        + "]}"
    ).encode(),
}


@pytest.mark.parametrize("case", TWICE)
def test_what_is_said_twice_is_refused(case: str) -> None:
    """Other tools would take the other one, and devices get other bytes than were looked at."""
    with pytest.raises(Unusable, match=r"twice|other letters"):
        parse_artifact(TWICE[case], media_type=None)


@pytest.mark.parametrize(
    "body",
    [
        manifest(HEAD, f'"layers":[{LAYER},{LAYER}]', '"x":1', '"x":{"layers":1,"layers":[{}]}'),
        manifest(HEAD, f'"layers":[{LAYER}]', '"annotations":{"a":"1","a":"2","A":"{\\"b\\":1}"}'),
        manifest(HEAD, f'"layers":[{LAYER}]', f'"annotations":{{"x":"\\"{TITLE}\\":","y":"}}]"}}'),
        manifest(HEAD, f'"layers":[{LAYER}]', f'"annotations":{{"{TITLE}":"{TITLE}"}}'),
    ],
)
def test_keys_that_nobody_reads_may_come_as_they_like(body: bytes) -> None:
    """What is not read is not judged, nor is text that looks like a key."""
    assert isinstance(parse_artifact(body, media_type=None), Manifest)


def test_of_annotations_those_that_count_are_kept() -> None:
    """A million others cost no memory, null is none, and a long one is cut off."""
    named: dict[str, Any] = {f"k{number}": "v" for number in range(1000)}
    named |= {TITLE: "x" * (2 * MAX_ANNOTATION), UNPACK: None}
    body = manifest(HEAD, f'"layers":[{LAYER}]', f'"annotations":{json.dumps(named)}')
    found = parse_artifact(body, media_type=None)
    assert dict(found.annotations) == {TITLE: "x" * MAX_ANNOTATION}


def test_a_document_of_very_many_parts_is_refused_before_it_takes_seconds() -> None:
    """Bounded by steps, not by a clock: nested lists that nobody reads count too."""
    lists = ",".join(["[[]]"] * MAX_STEPS)
    with pytest.raises(Unusable, match="parts"):
        parse_artifact(manifest(HEAD, f'"layers":[{LAYER}]', f'"x":[{lists}]'), media_type=None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from("ab"), inner),
    max_leaves=20,
)
SHAPE = Shape(frozenset({"a", "b"}), {"a": Shape(frozenset({"a"}), exact=True)})


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "\\", '"', "{"]), VALUES))
def test_any_document_with_each_key_once_passes(document: dict[str, Any]) -> None:
    """Whatever is in its strings, and however it is spaced out."""
    for text in (json.dumps(document), json.dumps(document, indent=1, ensure_ascii=False)):
        check_keys(text.encode(errors="surrogatepass"), SHAPE)


@given(VALUES)
def test_any_document_with_a_key_twice_is_found(value: Any) -> None:
    """Whatever stands between the two."""
    text = json.dumps(value)
    with pytest.raises(Unusable, match="'b' comes twice"):
        check_keys(f'{{"b":{text},"c":{text}, "b" :{text}}}'.encode(), SHAPE)


def test_the_kept_annotations_are_the_models() -> None:
    """An annotation that a room reads and that is not kept would never be seen."""
    assert UNPACK in KEPT_ANNOTATIONS
