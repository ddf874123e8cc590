"""Unpacking against independent oracles: which file is chosen, and what is noticed."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import zstandard
from extracting import LIMITS, Blob, Memory, Pushed, artifact, digest_of, image, unpack
from hypothesis import example, given
from hypothesis import strategies as st
from packings.firmware import FIRMWARE
from tar_bytes import END, file, link, pax, record

from otaflux.errors import Incomplete, Undecided, Unreachable, Unusable
from otaflux.unpack.choose import plan
from otaflux.unpack.extraction import Extraction

NAMES = ["firmware.bin", "a.bin", "b.bin", "readme", "a", "b", ".."]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
TYPES = [tarfile.REGTYPE] * 4 + [
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
]


@dataclass(frozen=True)
class Node:
    """An entry of a tar."""

    path: str
    kind: bytes
    data: bytes


@st.composite
def trees(draw: st.DrawFn) -> list[Node]:
    """Some entries: names that matter, names that lead out, every kind, no two alike."""
    paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
    prefixed = st.builds("".join, st.tuples(st.sampled_from(["", "", "", "./", "/"]), paths))
    found = draw(st.lists(st.tuples(prefixed, st.sampled_from(TYPES)), max_size=7))
    return [
        Node(path, kind, b"content %d of %s" % (at, path.encode()))
        for at, (path, kind) in enumerate(found)
    ]


def tar_of(tree: Sequence[Node], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar by Python's own module."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w", format=form) as archive:
        for node in tree:
            info = tarfile.TarInfo(node.path)
            info.type = node.kind
            info.linkname = "elsewhere"
            if node.kind == tarfile.REGTYPE:
                info.size = len(node.data)
            archive.addfile(info, io.BytesIO(node.data))
    return into.getvalue()


def parts_of(path: str) -> list[str]:
    """A path's parts that mean something."""
    return [part for part in path.split("/") if part not in {"", "."}]


def oracle(tree: Sequence[Node]) -> bytes | None:
    """What the contract says is the firmware, with the whole tree at hand; None for an error."""
    files = [
        node
        for node in tree
        if node.kind == tarfile.REGTYPE and node.path[0] != "/" and ".." not in parts_of(node.path)
    ]
    firmware = [node for node in files if parts_of(node.path)[-1] == "firmware.bin"]
    if firmware:
        nearest = min(len(parts_of(node.path)) for node in firmware)
        firmware = [node for node in firmware if len(parts_of(node.path)) == nearest]
        return firmware[0].data if len(firmware) == 1 else None
    if len(files) == 1:
        return files[0].data
    bins = [node for node in files if node.path.endswith(".bin")]
    return bins[0].data if len(bins) == 1 else None


def outcome(pushed: Pushed, step: int = 256 << 10) -> bytes | None:
    """The firmware; None where it is refused."""
    try:
        return unpack(pushed, step=step)[0]
    except Unusable:
        return None


@given(trees(), st.sampled_from(FORMATS))
@example([Node("a", tarfile.REGTYPE, b"1"), Node("b.bin", tarfile.REGTYPE, b"2")], FORMATS[0])
def test_the_choice_in_any_tar_is_the_contracts(tree: list[Node], form: int) -> None:
    """One pass over a tar chooses what the whole tree at hand would have chosen."""
    assert outcome(artifact(tar_of(tree, form), "firmware.tar")) == oracle(tree)


@given(trees(), st.randoms(use_true_random=False))
def test_the_order_of_a_tar_does_not_matter(tree: list[Node], chance: object) -> None:
    """Whatever order the entries come in, the same file is chosen."""
    shuffled = list(tree)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert outcome(artifact(tar_of(shuffled), "f.tar")) == outcome(artifact(tar_of(tree), "f.tar"))


def zstd(data: bytes) -> bytes:
    """A frame that does not say how much it holds."""
    return zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compress(data)


SMALL = FIRMWARE[:3000]
SMALL_TAR = pax(record(b"path", b"out/" + b"x" * 200 + b"/firmware.bin")) + file(b"-", SMALL) + END
PACKED = {
    "gzip": gzip.compress(SMALL),
    "gzip, members": gzip.compress(SMALL[:1000]) + gzip.compress(SMALL[1000:]),
    "zstd": zstd(SMALL),
    "zstd, frames": zstd(SMALL[:1000]) + b"\x50\x2a\x4d\x18\3\0\0\0abc" + zstd(SMALL[1000:]),
    "tar": SMALL_TAR,
    "tar.gz": gzip.compress(SMALL_TAR),
    "tar.zst": zstd(SMALL_TAR),
    "tar.zst.gz": gzip.compress(zstd(SMALL_TAR)),
    "tar of zst": file(b"firmware.bin", zstd(SMALL)) + END,
}


@given(st.sampled_from(sorted(PACKED)), st.lists(st.integers(1, 4000), max_size=30))
@example("tar.zst.gz", [1] * 4000)
def test_where_the_pieces_end_does_not_matter(name: str, sizes: list[int]) -> None:
    """However the reader cuts the blob into pieces, the same bytes come out."""
    data, pieces = PACKED[name], []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    blob = Blob([piece for piece in [*pieces, data] if piece])
    sink = Memory()
    planned = plan(artifact(PACKED[name], name).manifest)
    extraction = Extraction(planned, sink, LIMITS)
    assert extraction.layer(planned.layers[0], blob)
    assert bytes(sink.data) == SMALL
    assert extraction.finish().firmware_digest == digest_of(SMALL)


@pytest.mark.parametrize("name", sorted(set(PACKED) - {"gzip, members", "zstd, frames"}))
def test_a_cut_at_any_byte_is_noticed(name: str) -> None:
    """No part of a packing passes for the whole: only a tar's last zeros may be missing.

    (Between two gzip members or zstd frames a cut leaves what is whole, to every program.) A tar is
    known by its title here, for of its first few bytes nobody could say what they are.
    """
    data, is_tar = PACKED[name], name in {"tar", "tar of zst"}
    for length in range(len(data) + 1):
        came = outcome(artifact(data[:length], "firmware.tar" if is_tar else ""))
        is_whole = length >= len(data) - (512 if is_tar else 0)
        assert came == (SMALL if is_whole else None), f"cut at {length} of {len(data)}"


@given(
    st.sampled_from(sorted(PACKED)),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_spoilt_bytes_give_a_verdict_or_a_file_and_nothing_else(
    name: str, spoilt: list[tuple[int, int]]
) -> None:
    """Whatever byte is another, no foreign exception comes out, and checksums do what they can."""
    data = bytearray(PACKED[name])
    for at, value in spoilt:
        data[at % len(data)] = value
    came = outcome(artifact(bytes(data)))
    if bytes(data) == PACKED[name]:
        assert came == SMALL
    elif name == "tar.gz" and came is not None and data[:3] == b"\x1f\x8b\x08":
        assert came == SMALL  # a byte of the header that means nothing, such as the time


@given(st.binary(max_size=2000), st.sampled_from(["", "a.gz", "a.tar", "a.tar.zst"]))
def test_any_bytes_give_a_verdict_or_a_file(data: bytes, title: str) -> None:
    """Noise is served as it is, or refused with a reason."""
    outcome(artifact(data, title))
    outcome(image(data))


FAILURES = [Undecided("cut"), Unreachable("away"), Incomplete("missing"), Undecided("digest")]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@given(st.sampled_from(sorted(PACKED)), st.integers(0, 10_000), st.booleans())
def test_what_the_reader_raises_passes_unchanged(
    failure: Exception, name: str, at: int, spoilt: bool
) -> None:
    """A registry that failed is no verdict on the bytes, wherever it fails, whatever came before.

    Bytes that were spoilt on their way look corrupt; that they are wrong is learnt at their end.
    """
    data = bytearray(PACKED[name][:at])
    if spoilt and data:
        data[len(data) // 2] ^= 0xFF
    planned = plan(artifact(bytes(data)).manifest)
    extraction = Extraction(planned, Memory(), LIMITS)
    with pytest.raises(type(failure)) as raised:
        extraction.layer(planned.layers[0], Blob(bytes(data), step=100, failure=failure))
    assert raised.value is failure
    with pytest.raises(Unusable):
        extraction.finish()


@pytest.mark.parametrize("name", sorted(PACKED))
def test_what_the_sink_raises_passes_unchanged(name: str) -> None:
    """A full disk is no verdict on the bytes."""
    failure = Undecided("disk full")
    planned = plan(artifact(PACKED[name]).manifest)
    with pytest.raises(Undecided) as raised:
        Extraction(planned, Memory(failure), LIMITS).layer(planned.layers[0], Blob(PACKED[name]))
    assert raised.value is failure


# Container images: layers from the bottom up, as a container engine would unpack them.

FOLDERS = ["a", "b", "a/c"]
WHITEOUTS = [".wh.firmware.bin", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh.c", ".wh..wh.plnk"]


@st.composite
def layers(draw: st.DrawFn) -> list[list[Node]]:
    """A few layers of files, links and whiteouts, no name twice in a layer."""
    folder = st.sampled_from(["", *(f"{name}/" for name in FOLDERS)])
    name = st.sampled_from(["firmware.bin", "other", *WHITEOUTS])
    kind = st.sampled_from([tarfile.REGTYPE] * 3 + [tarfile.SYMTYPE])
    node = st.tuples(folder, name, kind)
    found = draw(
        st.lists(
            st.lists(node, max_size=5, unique_by=lambda each: each[:2]), min_size=2, max_size=4
        )
    )
    return [
        [
            Node(
                folder + name,
                tarfile.REGTYPE if name.startswith(".wh.") else kind,
                f"layer {level}: {folder}{name}".encode(),
            )
            for folder, name, kind in layer
        ]
        for level, layer in enumerate(found)
    ]


def seen_in_a_container(stack: list[list[Node]]) -> dict[str, tuple[int, Node]]:
    """Every path that a container would have, with the layer it came from."""
    tree: dict[str, tuple[int, Node]] = {}

    def remove(path: str, *, itself: bool) -> None:
        for each in list(tree):
            if (itself and each == path) or each.startswith(f"{path}/" if path else ""):
                del tree[each]

    for level, layer in enumerate(stack):
        for node in layer:
            folder, _, name = node.path.rpartition("/")
            if name == ".wh..wh..opq":
                remove(folder, itself=False)
            elif name.startswith(".wh.") and not name.startswith(".wh..wh."):
                remove(f"{folder}/{name[4:]}".lstrip("/"), itself=True)
        for node in layer:
            if not node.path.rpartition("/")[2].startswith(".wh."):
                tree[node.path] = (level, node)
    return tree


@given(layers())
def test_an_image_gives_what_a_container_would_see(stack: list[list[Node]]) -> None:
    """From the top down: the first layer that a container sees a firmware.bin of."""
    seen = [
        (level, node)
        for path, (level, node) in seen_in_a_container(stack).items()
        if path.rpartition("/")[2] == "firmware.bin" and node.kind == tarfile.REGTYPE
    ]
    top = max((level for level, _ in seen), default=None)
    nodes = [node for level, node in seen if level == top]
    nearest = min((node.path.count("/") for node in nodes), default=0)
    nodes = [node for node in nodes if node.path.count("/") == nearest]
    expected = nodes[0].data if len(nodes) == 1 else None
    assert outcome(image(*(tar_of(layer) for layer in stack))) == expected


def test_no_layer_below_the_one_that_holds_it_is_read() -> None:
    """What lies below the firmware is neither read nor judged."""
    pushed = image(b"no tar at all", file(b"firmware.bin", b"good") + END, link(b"x") + END)
    assert unpack(pushed)[0] == b"good"
