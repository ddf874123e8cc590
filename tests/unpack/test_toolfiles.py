"""What tools add to a tar for themselves is neither taken nor in the way."""

from __future__ import annotations

import itertools

import pytest
from extracting import artifact, unpack
from tar_bytes import END, file, header

from otaflux.errors import Unusable

APP = b"the application"
DOUBLE = b"\x00\x05\x16\x07what a Mac knows of it"


def folder(name: bytes) -> bytes:
    """A folder's entry."""
    return header(name, 0, b"5")


CLEAN = {
    "beside it": [file(b"._app.bin", DOUBLE), file(b"app.bin", APP)],
    "beside one that is no bin": [file(b"._app", DOUBLE), file(b"app", APP)],
    "in a folder, and of the folder": [
        file(b"._out", DOUBLE),
        folder(b"out/"),
        file(b"out/._app.bin", DOUBLE),
        file(b"out/app.bin", APP),
    ],
    "with other files": [
        file(b"./._notes.txt", DOUBLE),
        file(b"./notes.txt", b"notes"),
        file(b"./._app.bin", DOUBLE),
        file(b"./app.bin", APP),
    ],
    "of Finder's zip": [file(b"__MACOSX/._app.bin", DOUBLE), file(b"app.bin", APP)],
    "of Finder's zip, unpacked in a folder": [
        file(b"out/__MACOSX/app.bin", DOUBLE),
        file(b"out/app.bin", APP),
    ],
    "with a firmware.bin that is none": [
        file(b"__MACOSX/firmware.bin", DOUBLE),
        file(b"app.bin", APP),
    ],
    "of eStargz": [
        file(b".no.prefetch.landmark", b"\x0f"),
        file(b"app", APP),
        file(b"stargz.index.json", b"{}"),
    ],
    "of eStargz, the other one": [file(b".prefetch.landmark", b"\x0f"), file(b"app", APP)],
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_a_tool_added_is_not_in_the_way(name: str) -> None:
    """Whichever comes first, devices get the one file that was meant."""
    for order in itertools.permutations(CLEAN[name]):
        try:
            content = unpack(artifact(b"".join(order) + END))[0]
        except Unusable as error:
            # Far from what it belongs to it may have been taken for the one; it is never served.
            if "far from what they belong to" not in str(error):
                raise
        else:
            assert content == APP
    assert unpack(artifact(b"".join(CLEAN[name]) + END))[0] == APP


@pytest.mark.parametrize(
    "entries",
    [
        [file(b"._app.bin", APP)],
        [file(b"lib/stargz.index.json", APP)],
        [file(b"._a.bin", APP), file(b"notes", b"")],
    ],
)
def test_what_belongs_to_nothing_is_a_file_like_others(entries: list[bytes]) -> None:
    """A name alone makes nothing a tool's."""
    assert unpack(artifact(b"".join(entries) + END))[0] == APP


def test_what_the_annotation_names_is_taken_outright() -> None:
    """Whoever names it means it."""
    entries = file(b"__MACOSX/._app.bin", DOUBLE) + file(b"app.bin", APP) + END
    path = {"io.otaflux.firmware.path": "__MACOSX/._app.bin"}
    assert unpack(artifact(entries, annotations=path))[0] == DOUBLE


def test_two_files_stay_two_with_their_doubles() -> None:
    """And the message names them, not what a Mac added."""
    names = [b"._a.bin", b"a.bin", b"._b.bin", b"b.bin"]
    with pytest.raises(Unusable) as error:
        unpack(artifact(b"".join(map(file, names)) + END))
    assert "2 files" in str(error.value)
    assert "._" not in str(error.value)
