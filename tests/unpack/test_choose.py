"""Which child of an index, which layer of a manifest: by rule, or an error that names them."""

from __future__ import annotations

import gzip

import pytest
from extracting import (
    OCTETS,
    TAR_LAYER,
    Pushed,
    artifact,
    describe,
    digest_of,
    image,
    manifest,
    unpack,
)
from hypothesis import given
from hypothesis import strategies as st
from tar_bytes import END, file

from otaflux.errors import Unusable
from otaflux.model.artifact import (
    DOCKER_CONFIG,
    FIRMWARE_PATH,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    REFERENCE_TYPE,
    TITLE,
    UNPACK,
    Artifact,
    Descriptor,
    Index,
    Manifest,
    Platform,
)
from otaflux.unpack.choose import MAX_CHILDREN, MAX_LAYERS, child, plan, suspects

IN_TOTO = "application/vnd.in-toto+json"
UNKNOWN = Platform("unknown", "unknown")
AMD64 = Platform("amd64", "linux")
ARM64 = Platform("arm64", "linux")


def listed(found: Manifest | Index, platform: Platform | None = None, **notes: str) -> Descriptor:
    """How an index names a child."""
    return Descriptor(OCI_MANIFEST, found.digest, found.size, notes, platform)


def index(*children: Descriptor) -> Index:
    """An index of some children."""
    return Index(digest_of(repr(children).encode()), 100, OCI_INDEX, children)


def chosen(*pairs: tuple[Descriptor, Artifact]) -> Manifest:
    """The child that is chosen, fetched as `pull.py` does."""
    whole = index(*(descriptor for descriptor, _ in pairs))
    known = {descriptor.digest: found for descriptor, found in pairs}
    return child(whole, [(each, known[each.digest]) for each in suspects(whole)])[1]


def firmware(name: str = "a") -> Manifest:
    """A manifest with one layer of that content."""
    return manifest(describe(name.encode(), title="firmware.bin"))


A, B, C = firmware("a"), firmware("b"), firmware("c")
STATEMENTS = manifest(describe(b"{}", IN_TOTO), config=OCI_CONFIG)
SIGNATURE = manifest(describe(b"sig"), subject=listed(A))
PREDICATE = manifest(describe(b"{}"), artifact_type=IN_TOTO)


@pytest.mark.parametrize("platform", [None, UNKNOWN, AMD64, Platform()], ids=str)
def test_an_only_child_is_taken_whatever_its_platform(platform: Platform | None) -> None:
    """One child that is no attestation is the firmware."""
    assert chosen((listed(A, platform), A)) == A


def test_attestations_are_dropped_by_each_of_their_marks() -> None:
    """By the descriptor's annotation; by subject, in-toto layers or in-toto type in the child."""
    marked = {REFERENCE_TYPE: "attestation-manifest"}
    attestations = [
        (listed(B, UNKNOWN, **marked), B),
        (listed(STATEMENTS, UNKNOWN), STATEMENTS),
        (listed(SIGNATURE), SIGNATURE),
        (listed(PREDICATE), PREDICATE),
    ]
    assert chosen((listed(A, AMD64), A), *attestations) == A
    with pytest.raises(Unusable, match="nothing but attestations"):
        chosen(*attestations[1:])
    with pytest.raises(Unusable, match="no manifest that could be firmware"):
        suspects(index(attestations[0][0]))


@pytest.mark.parametrize(
    "platform", [None, UNKNOWN, Platform(), Platform("xtensa", "unknown")], ids=str
)
def test_of_several_the_only_one_without_a_platform_is_taken(platform: Platform | None) -> None:
    """None, nothing, and `unknown` all mean that it is for no platform."""
    assert chosen((listed(A, AMD64), A), (listed(B, platform), B), (listed(C, ARM64), C)) == B


def test_children_that_are_equal_are_named() -> None:
    """Two for platforms, or two for none, are an error that names digests and platforms."""
    with pytest.raises(Unusable, match="linux/amd64") as refused:
        chosen((listed(A, AMD64), A), (listed(B, ARM64), B))
    assert A.digest.hex[:12] in str(refused.value)
    with pytest.raises(Unusable, match="more than one"):
        chosen((listed(A), A), (listed(B, UNKNOWN), B), (listed(C, AMD64), C))


def test_the_same_manifest_for_several_platforms_is_one_child() -> None:
    """Firmware has no platform, so some list it under each; it is fetched once."""
    whole = index(listed(A, AMD64), listed(A, ARM64), listed(A))
    assert [descriptor.platform for descriptor in suspects(whole)] == [None]
    assert chosen((listed(A, AMD64), A), (listed(A, ARM64), A)) == A


def test_an_index_in_an_index_is_refused_only_if_it_is_chosen() -> None:
    """One level is read."""
    inner = index(listed(B))
    with pytest.raises(Unusable, match="another index"):
        chosen((listed(inner), inner))
    assert chosen((listed(inner, AMD64), inner), (listed(A), A)) == A


def test_no_more_manifests_are_fetched_than_the_bound() -> None:
    """An index may name thousands; nobody fetches them."""
    many = [listed(firmware(str(number)), AMD64) for number in range(MAX_CHILDREN + 1)]
    assert len(suspects(index(*many[1:]))) == MAX_CHILDREN
    with pytest.raises(Unusable, match="33 manifests"):
        suspects(index(*many))


def titled(*titles: str) -> tuple[Descriptor, ...]:
    """A layer for each title."""
    return tuple(describe(str(at).encode(), OCTETS, title) for at, title in enumerate(titles))


@pytest.mark.parametrize(
    ("titles", "best"),
    [
        (["readme.md", "firmware.bin"], 1),
        (["firmware.bin.gz", "firmware.bin", "firmware.tar"], 1),
        (["readme.md", "firmware.bin.zst"], 1),
        (["boot.bin", "firmware.bin.tar.gz"], 1),
        (["boot.bin", "firmware.tar.zst", "readme.md"], 1),
        (["boot.bin", "firmware.tgz"], 1),
        (["out/boot.bin", "out/firmware.bin"], 1),
        (["out/firmware.bin", "./firmware.bin"], 1),
        (["anything at all"], 0),
        ([""], 0),
        (["../../etc/passwd"], 0),
    ],
)
def test_the_layer_titled_as_firmware_is_taken(titles: list[str], best: int) -> None:
    """The nearest firmware.bin, else a packing of that name, else the only layer."""
    layers = titled(*titles)
    assert plan(manifest(*layers)).layers == (layers[best],)


@pytest.mark.parametrize(
    ("titles", "words"),
    [
        (["a.bin", "b.bin"], "'a.bin', 'b.bin'"),
        (["firmware.bin", "firmware.bin"], "2 layers could be the firmware"),
        (["a/firmware.bin", "b/firmware.bin"], "'a/firmware.bin', 'b/firmware.bin'"),
        (["firmware.bin.gz", "firmware.bin.zst"], "2 layers could be"),
        (["firmware", "firmware.img"], "None of the 2 layers is titled firmware.bin"),
        (["", ""], "'untitled', 'untitled'"),
        (["../firmware.bin", "b"], "None of the 2 layers"),
    ],
)
def test_layers_that_are_equal_are_named(titles: list[str], words: str) -> None:
    """Never a guess."""
    with pytest.raises(Unusable, match="layers") as refused:
        plan(manifest(*titled(*titles), config="application/x.mine"))
    assert words in str(refused.value)


def test_a_manifest_without_content_is_refused() -> None:
    """No layers, or only the empty descriptor that stands for none."""
    for layers in ((), (describe(b"{}", OCI_EMPTY),)):
        with pytest.raises(Unusable, match="no layer with content"):
            plan(manifest(*layers))


def test_the_annotated_path_names_a_layer_by_its_title() -> None:
    """Where it is a layer's title, the layer itself is meant, and no file inside it."""
    layers = titled("firmware.bin", "out/boot.bin")
    planned = plan(manifest(*layers, annotations={FIRMWARE_PATH: "./out/boot.bin"}))
    assert (planned.layers, planned.path) == ((layers[1],), "")
    whole = describe(b"x", OCTETS, "app.img", {FIRMWARE_PATH: "app.img"})
    assert plan(manifest(titled("firmware.bin")[0], whole)).layers == (whole,)
    assert plan(manifest(whole)).path == ""


def test_the_nearest_annotation_counts() -> None:
    """Layer before manifest, manifest before the child's descriptor, that before the index."""
    layer = describe(b"x", OCTETS, "", {FIRMWARE_PATH: "1"})
    bare = describe(b"x")
    noted = {FIRMWARE_PATH: "2"}
    outer = ({FIRMWARE_PATH: "3"}, {FIRMWARE_PATH: "4", UNPACK: "false"})
    assert plan(manifest(layer, annotations=noted), *outer).path == "1"
    assert plan(manifest(bare, annotations=noted), *outer).path == "2"
    assert plan(manifest(bare), *outer).path == "3"
    assert plan(manifest(bare), outer[1]).path == "4"
    assert not plan(manifest(bare), *outer).unpack
    assert plan(manifest(bare, annotations={UNPACK: "true"}), *outer).unpack


@pytest.mark.parametrize("path", ["", "/", "..", "a/../b", "a\0b", "\ud800", "x" * 5000, "a\nb"])
def test_an_annotated_path_that_names_no_file_is_refused(path: str) -> None:
    """Empty, leading out, unprintable or endless: an error that shows it."""
    with pytest.raises(Unusable, match=r"names no file") as refused:
        plan(manifest(describe(b"x"), annotations={FIRMWARE_PATH: path}))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_the_annotated_path_is_the_firmware_whatever_else_there_is() -> None:
    """In a tar and in an image, also with a leading slash as people write it."""
    data = file(b"firmware.bin", b"no") + file(b"./out/app.img", gzip.compress(b"yes")) + END
    noted = {FIRMWARE_PATH: "/out/app.img"}
    assert unpack(artifact(data, "x.tar", annotations=noted))[0] == b"yes"
    assert unpack(image(data, annotations=noted))[0] == b"yes"
    assert unpack(image(data, file(b"firmware.bin", b"no") + END, annotations=noted))[0] == b"yes"


@pytest.mark.parametrize("text", ["", "no", "0", "maybe"])
def test_an_unpack_annotation_that_is_neither_is_refused(text: str) -> None:
    """A typing error there would serve other bytes than were meant."""
    with pytest.raises(Unusable, match="write true or false"):
        plan(manifest(describe(b"x"), annotations={UNPACK: text}))


@pytest.mark.parametrize("said", ["false", "False", " FALSE "])
def test_unpack_false_serves_the_layer_as_it_is(said: str) -> None:
    """Packed or not, whatever title and type say, also an image's only layer."""
    packed = gzip.compress(b"firmware")
    noted = {UNPACK: said}
    assert unpack(artifact(packed, "firmware.bin.gz", annotations=noted))[0] == packed
    assert unpack(artifact(b"plain", "firmware.tar.gz", annotations=noted))[0] == b"plain"
    layer = describe(packed, OCTETS, "firmware.bin", noted)
    assert unpack(Pushed(manifest(layer), {layer.digest: packed}))[0] == packed
    assert unpack(image(packed, annotations=noted))[0] == packed
    with pytest.raises(Unusable, match="this container image has 2"):
        plan(image(packed, packed, annotations=noted).manifest)


@pytest.mark.parametrize("config", [OCI_CONFIG, DOCKER_CONFIG])
def test_only_an_image_without_titles_is_read_as_layers(config: str) -> None:
    """Top layer first; a title makes an artifact of it, where other layers do not matter."""
    bare = (describe(b"1", TAR_LAYER), describe(b"2", TAR_LAYER))
    planned = plan(manifest(*bare, config=config))
    assert planned.layers == (bare[1], bare[0])
    assert planned.is_image
    with_title = plan(manifest(bare[0], *titled("firmware.bin"), config=config))
    assert not with_title.is_image
    assert len(with_title.layers) == 1


def test_an_image_of_too_many_layers_or_of_two_minds_is_refused() -> None:
    """Bounded work, and no guess between two annotations."""
    layers = [describe(str(at).encode(), TAR_LAYER) for at in range(MAX_LAYERS + 1)]
    with pytest.raises(Unusable, match="129 layers"):
        plan(manifest(*layers, config=OCI_CONFIG))
    noted = [describe(path.encode(), TAR_LAYER, "", {FIRMWARE_PATH: path}) for path in ("a", "b")]
    with pytest.raises(Unusable, match="differ: 'a', 'b'"):
        plan(manifest(*noted, config=OCI_CONFIG))
    assert plan(manifest(noted[0], layers[0], config=OCI_CONFIG)).path == "a"


TEXT = st.text(max_size=20) | st.sampled_from(
    ["firmware.bin", "a/../b", "false", IN_TOTO, "unknown"]
)
NOTES = st.dictionaries(st.sampled_from([TITLE, FIRMWARE_PATH, UNPACK, REFERENCE_TYPE]), TEXT)
DESCRIPTORS = st.builds(
    Descriptor,
    TEXT,
    st.sampled_from([A.digest, B.digest]),
    st.integers(0, 9),
    NOTES,
    st.none() | st.builds(Platform, TEXT, TEXT, TEXT),
    TEXT,
)
MANIFESTS = st.builds(
    Manifest,
    st.just(A.digest),
    st.just(1),
    TEXT,
    TEXT,
    DESCRIPTORS | st.just(describe(b"{}", OCI_CONFIG)),
    st.lists(DESCRIPTORS, max_size=4).map(tuple),
    NOTES,
    st.none() | DESCRIPTORS,
)


@given(MANIFESTS, NOTES)
def test_any_manifest_gives_a_plan_or_a_verdict(found: Manifest, outer: dict[str, str]) -> None:
    """Whatever strangers write into titles, types and annotations, it is a choice or a reason."""
    try:
        planned = plan(found, outer)
    except Unusable as refused:
        message = str(refused)
    else:
        message = planned.path
        assert set(planned.layers) <= set(found.layers)
    assert message.isprintable()


@given(st.lists(st.tuples(DESCRIPTORS, MANIFESTS), max_size=5))
def test_any_index_gives_a_child_or_a_verdict(pairs: list[tuple[Descriptor, Manifest]]) -> None:
    """And the child is one of those that were fetched."""
    try:
        found = chosen(*pairs)
    except Unusable as refused:
        assert str(refused).isprintable()  # noqa: PT017 (either outcome is fine)
    else:
        assert found in [manifest for _, manifest in pairs]


@pytest.mark.parametrize(
    "title", ["firmware.bin", "out\\firmware.bin", ".\\out\\firmware.bin", "out/firmware.bin.gz"]
)
def test_a_backslash_in_a_title_separates_as_a_slash(title: str) -> None:
    """Tools on Windows write what its shell gives them."""
    chosen = describe(b"firmware", title=title)
    other = describe(b"notes", title="out\\notes.txt")
    assert plan(manifest(other, chosen)).layers == (chosen,)


def test_a_path_names_a_layer_whose_title_has_backslashes() -> None:
    """However the two are written."""
    chosen = describe(b"firmware", title="out\\app.bin")
    other = describe(b"notes", title="out\\notes.txt")
    for path in ("out/app.bin", "out\\app.bin", "./out/app.bin"):
        planned = plan(manifest(other, chosen, annotations={FIRMWARE_PATH: path}))
        assert (planned.layers, planned.path) == ((chosen,), "")
