"""Files of a folder that are read one after the other: whole, and nothing else for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otaflux.files.disk import REAL_DISK

MOST = 1 << 17


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 70_000, MOST - 1, MOST])
def test_a_file_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    """Whatever pieces it is read in."""
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    assert REAL_DISK.reader(tmp_path, MOST)("a") == data


@pytest.mark.parametrize("most", [1, 4096, 5000])
def test_no_more_is_read_than_may_be(tmp_path: Path, most: int) -> None:
    """Of a file that is larger the beginning."""
    (tmp_path / "a").write_bytes(bytes(MOST))
    assert len(REAL_DISK.reader(tmp_path, most)("a")) == most


def test_of_each_name_it_is_known_whether_it_is_a_regular_file(tmp_path: Path) -> None:
    """A link to one is none."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    kinds = REAL_DISK.kinds(tmp_path)
    assert kinds == {"file": True, "link": False, "folder": False, "pipe": False}


def test_of_each_name_the_size_is_known(tmp_path: Path) -> None:
    """None of what is no regular file: a link's would be that of a name."""
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    sizes = {"file": 5, "empty": 0, "link": None, "folder": None, "pipe": None}
    assert REAL_DISK.sizes(tmp_path) == sizes


def test_what_got_the_name_of_a_file_meanwhile_is_neither_followed_nor_waited_for(
    tmp_path: Path,
) -> None:
    """Whoever may write there does so between the two."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    read = REAL_DISK.reader(tmp_path, MOST)
    with pytest.raises(OSError, match="symbolic links"):
        read("link")
    assert read("pipe") == b""


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    """Of what was read, and of what could not be."""
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "folder").mkdir()
    read = REAL_DISK.reader(tmp_path, MOST)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are wanted
    for _ in range(10):
        read("a")
        with pytest.raises(IsADirectoryError):
            read("folder")
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208 - as above
