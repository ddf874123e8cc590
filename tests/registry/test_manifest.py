"""Bytes into manifests and indexes: what is read, what is refused, and in which branch."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaflux.errors import Undecided, Unusable
from otaflux.model import artifact
from otaflux.model.artifact import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    TITLE,
    Digest,
    Index,
    Manifest,
    Platform,
)
from otaflux.registry.manifest import (
    MAX_CHILDREN,
    MAX_LAYERS,
    MAX_MANIFEST,
    digest_of,
    parse_artifact,
)

SOME = "sha256:" + "ab" * 32
EMPTY = {"mediaType": OCI_EMPTY, "digest": SOME, "size": 2}
LAYER = {
    "mediaType": "application/octet-stream",
    "digest": SOME,
    "size": 7,
    "annotations": {TITLE: "firmware.bin"},
}


def manifest(**changes: Any) -> dict[str, Any]:
    """A good manifest, with fields changed; a value of `...` takes the field away."""
    whole = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": EMPTY,
        "layers": [LAYER],
    } | changes
    return {key: value for key, value in whole.items() if value is not ...}


def index(**changes: Any) -> dict[str, Any]:
    """A good index, likewise."""
    whole = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": SOME, "size": 3}],
    } | changes
    return {key: value for key, value in whole.items() if value is not ...}


def body(document: object) -> bytes:
    """The document as a registry sends it."""
    return json.dumps(document).encode()


def test_a_manifest_is_read_whole() -> None:
    """Every field that later rooms use comes out of an artifact as oras pushes it."""
    raw = body(
        manifest(
            artifactType="application/vnd.acme.firmware",
            annotations={"org.opencontainers.image.version": "1.4.0"},
            subject={"mediaType": OCI_MANIFEST, "digest": SOME, "size": 9},
        )
    )
    read = parse_artifact(raw, media_type=f"{OCI_MANIFEST}; charset=utf-8")
    assert isinstance(read, Manifest)
    assert str(read.digest) == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert (read.size, read.media_type) == (len(raw), OCI_MANIFEST)
    assert read.artifact_type == "application/vnd.acme.firmware"
    assert read.config.media_type == OCI_EMPTY
    assert [(layer.title, layer.size) for layer in read.layers] == [("firmware.bin", 7)]
    assert read.annotations["org.opencontainers.image.version"] == "1.4.0"
    assert read.subject is not None
    assert read.subject.size == 9


def test_certificates_and_log_entries_of_signatures_are_kept_whole_and_no_more_than_that() -> None:
    """A log entry of a workflow has some 6,000 characters; other annotations are cut before."""
    long = "x" * 100_000
    names = {"dev.sigstore.cosign/certificate": 16_384, "dev.sigstore.cosign/bundle": 16_384}
    names[TITLE] = 5000
    layer = LAYER | {"annotations": dict.fromkeys(names, long)}
    read = parse_artifact(body(manifest(layers=[layer])), media_type=OCI_MANIFEST)
    assert isinstance(read, Manifest)
    assert {name: len(text) for name, text in read.layers[0].annotations.items()} == names


def annotation_names() -> list[str]:
    """The names of annotations that the program has a word for: not media types, which have a `/`.

    But for those of cosign's old layout, which have one too.
    """
    words = {name: value for name, value in vars(artifact).items() if name.isupper()}
    of_cosign = {artifact.SIGNATURE, artifact.CERTIFICATE, artifact.LOG_ENTRY}
    texts = {value for value in words.values() if isinstance(value, str)}
    return sorted(text for text in texts if "/" not in text or text in of_cosign)


@pytest.mark.parametrize("name", annotation_names())
def test_each_annotation_that_otaflux_has_a_word_for_is_kept(name: str) -> None:
    """What is not kept where a manifest is read is there for nobody, such as a chip's family."""
    layer = LAYER | {"annotations": {name: "on a layer"}}
    raw = body(manifest(layers=[layer], annotations={name: "on the manifest"}))
    read = parse_artifact(raw, media_type=OCI_MANIFEST)
    assert isinstance(read, Manifest)
    assert read.annotations == {name: "on the manifest"}
    assert read.layers[0].annotations == {name: "on a layer"}


def test_an_index_is_read_with_its_platforms() -> None:
    """Children keep their platform, artifact type and annotations; nulls count as absent."""
    child = {
        "mediaType": OCI_MANIFEST,
        "digest": SOME,
        "size": 3,
        "platform": {"architecture": "arm64", "os": "linux", "variant": "v8", "os.features": []},
        "artifactType": "application/vnd.x",
        "annotations": None,
    }
    read = parse_artifact(body(index(manifests=[child], annotations=None)), media_type=OCI_INDEX)
    assert isinstance(read, Index)
    assert read.manifests[0].platform == Platform("arm64", "linux", "v8")
    assert read.manifests[0].artifact_type == "application/vnd.x"
    assert dict(read.annotations) == {}


@pytest.mark.parametrize(
    ("document", "content_type", "expected"),
    [
        (manifest(mediaType=...), None, OCI_MANIFEST),
        (manifest(mediaType=...), DOCKER_MANIFEST, DOCKER_MANIFEST),
        (manifest(mediaType=...), "application/json", OCI_MANIFEST),
        (manifest(mediaType=DOCKER_MANIFEST), "text/plain", DOCKER_MANIFEST),
        (manifest(layers=None), OCI_MANIFEST, OCI_MANIFEST),
        (manifest(schemaVersion=...), None, OCI_MANIFEST),
        (index(mediaType=...), DOCKER_LIST, DOCKER_LIST),
        (index(manifests=None), OCI_INDEX, OCI_INDEX),
    ],
)
def test_the_type_comes_from_the_bytes_else_from_the_source(
    document: dict[str, Any], content_type: str | None, expected: str
) -> None:
    """The media type in the body rules; without one, the source's, where it fits the content."""
    assert parse_artifact(body(document), media_type=content_type).media_type == expected


def test_without_an_artifact_type_the_config_says_it() -> None:
    """Older tools name the artifact by its config's media type."""
    raw = body(manifest(config=EMPTY | {"mediaType": OCI_CONFIG}))
    assert parse_artifact(raw, media_type=None).artifact_type == OCI_CONFIG


HOSTILE = {
    "negative size": manifest(layers=[LAYER | {"size": -1}]),
    "huge size": manifest(layers=[LAYER | {"size": 2**63}]),
    "very huge size": manifest(layers=[LAYER | {"size": 10**400}]),
    "fractional size": manifest(layers=[LAYER | {"size": 1.5}]),
    "size as text": manifest(layers=[LAYER | {"size": "7"}]),
    "size as a boolean": manifest(layers=[LAYER | {"size": True}]),
    "no size": manifest(layers=[{"digest": SOME}]),
    "no digest": manifest(layers=[{"size": 1}]),
    "digest of another algorithm": manifest(layers=[LAYER | {"digest": "md5:" + "a" * 32}]),
    "short digest": manifest(layers=[LAYER | {"digest": "sha256:ab"}]),
    "upper-case digest": manifest(layers=[LAYER | {"digest": SOME.upper()}]),
    "digest with a path": manifest(layers=[LAYER | {"digest": "sha256:../../../etc/passwd"}]),
    "layers as an object": manifest(layers={"0": LAYER}),
    "a layer that is null": manifest(layers=[None]),
    "annotations not strings": manifest(layers=[LAYER | {"annotations": {TITLE: 1}}]),
    "annotations as a list": manifest(annotations=["a"]),
    "too many layers": manifest(layers=[LAYER] * (MAX_LAYERS + 1)),
    "too many children": index(manifests=index()["manifests"] * (MAX_CHILDREN + 1)),
    "both layers and manifests": manifest(manifests=[]),
    "both config and manifests": index(config=EMPTY),
    "manifests null beside layers": manifest(manifests=None),
    "no config": manifest(config=...),
    "a config that is null": manifest(config=None),
    "an index's type on a manifest": manifest(mediaType=OCI_INDEX),
    "a manifest's type on an index": index(mediaType=OCI_MANIFEST),
    "an unknown type": manifest(mediaType="application/vnd.acme+json"),
    "a type that is a number": manifest(mediaType=5),
    "schema 1 fields": manifest(fsLayers=[]),
    "subject without a digest": manifest(subject={"size": 1}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_manifest_with_hostile_fields_is_unusable_and_named(what: str) -> None:
    """What is a manifest and cannot be read is a verdict, with its digest, verified or not."""
    raw = body(HOSTILE[what])
    for asked in (None, digest_of(raw)):
        with pytest.raises(Unusable) as refusal:
            parse_artifact(raw, media_type=None, asked=asked)
        assert refusal.value.digest == str(digest_of(raw))
        assert len(str(refusal.value)) < 400


NO_MANIFEST = {
    "an HTML page": b"<!doctype html><title>Sign in</title>",
    "nothing": b"",
    "half a document": body(manifest())[:-20],
    "trailing bytes": body(manifest()) + b"}",
    "an array": b"[]",
    "an error body": b'{"errors":[{"code":"DENIED"}]}',
    "an empty object": b"{}",
    "schema 1": body({"schemaVersion": 1, "fsLayers": [], "history": []}),
    "nested too deep": b'{"schemaVersion":' + b"[" * 100_000,
    "no UTF-8": b'{"schemaVersion":2,"mediaType":"\xff","layers"',
}


@pytest.mark.parametrize("what", NO_MANIFEST)
def test_what_is_no_manifest_decides_nothing_unless_it_was_asked_for(what: str) -> None:
    """A page that some proxy sent is no verdict; verified bytes that are no manifest are one."""
    raw = NO_MANIFEST[what]
    with pytest.raises(Undecided):
        parse_artifact(raw, media_type="text/html")
    with pytest.raises(Unusable) as refusal:
        parse_artifact(raw, media_type="text/html", asked=digest_of(raw))
    assert refusal.value.digest == str(digest_of(raw))


def test_bytes_with_another_digest_decide_nothing() -> None:
    """A registry that sends other bytes than were asked for erred, however good they look."""
    with pytest.raises(Undecided, match="digest"):
        parse_artifact(body(manifest()), media_type=OCI_MANIFEST, asked=Digest.parse(SOME))


def test_a_schema_1_rewrite_says_what_it_is() -> None:
    """A schema 1 manifest's digest is not of its bytes; the message says what to do."""
    raw = body({"schemaVersion": 1, "fsLayers": [], "signatures": []})
    with pytest.raises(Undecided) as refusal:
        parse_artifact(raw, media_type=None, asked=Digest.parse(SOME))
    assert "schema 1" in refusal.value.hint


def test_a_sha512_digest_is_checked_and_kept() -> None:
    """Whoever asked by sha512 gets an artifact known by sha512."""
    raw = body(manifest())
    asked = digest_of(raw, "sha512")
    assert parse_artifact(raw, media_type=None, asked=asked).digest == asked


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (manifest(), DOCKER_MANIFEST),
        (manifest(), OCI_INDEX),
        (manifest(mediaType=...), OCI_INDEX),
        (index(mediaType=...), OCI_MANIFEST),
    ],
)
def test_a_source_that_mislabels_bytes_decides_nothing(
    document: dict[str, Any], content_type: str
) -> None:
    """The label is not covered by the digest, so it can never become a verdict on bytes."""
    raw = body(document)
    with pytest.raises(Undecided):
        parse_artifact(raw, media_type=content_type, asked=digest_of(raw))


def test_a_manifest_above_the_limit_is_refused() -> None:
    """More than 4 MiB is never parsed."""
    raw = body(manifest(annotations={"a": "b" * MAX_MANIFEST}))
    with pytest.raises(Unusable, match="bytes"):
        parse_artifact(raw, media_type=OCI_MANIFEST, asked=digest_of(raw))


def test_foreign_text_in_a_message_is_short_and_printable() -> None:
    """A hostile field cannot write lines or terminal codes into the log."""
    raw = body(manifest(mediaType="\x1b[31m\n" + "x" * 5000))
    with pytest.raises(Unusable) as refusal:
        parse_artifact(raw, media_type=None)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "annotations", "subject"]
)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.dictionaries(FIELDS, JSON).map(body),
        st.dictionaries(FIELDS, JSON).map(lambda changes: body(manifest() | changes)),
        st.dictionaries(FIELDS, JSON).map(lambda changes: body(index() | changes)),
    ),
    st.none() | st.sampled_from([OCI_MANIFEST, OCI_INDEX, "text/html"]) | st.text(max_size=20),
    st.booleans(),
)
def test_any_bytes_end_as_an_artifact_or_as_our_error(
    raw: bytes, media_type: str | None, verified: bool
) -> None:
    """No foreign exception leaves the parser, and what comes out has sane values."""
    try:
        read = parse_artifact(
            raw, media_type=media_type, asked=digest_of(raw) if verified else None
        )
    except (Undecided, Unusable):
        return
    assert read.digest == digest_of(raw)
    parts = read.layers if isinstance(read, Manifest) else read.manifests
    assert all(part.size >= 0 for part in parts)
