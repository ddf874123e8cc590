"""`DATA_DIR` is one server's alone, can be written, and holds nothing that a killed start left."""

from __future__ import annotations

from pathlib import Path

import pytest

from otaflux.errors import BadSetting
from otaflux.state.datafolder import DataFolder


def test_the_folder_is_made_and_left_as_it_was(tmp_path: Path) -> None:
    """Folders that are missing are made; nothing but the lock lies there afterwards."""
    root = tmp_path / "a" / "b"
    with DataFolder(root).locked():
        assert [path.name for path in root.iterdir()] == ["lock"]


def test_a_second_one_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    """Two servers never share a folder; a lock ends with its holder, whatever files say."""
    with (
        DataFolder(tmp_path).locked(),
        pytest.raises(BadSetting, match="in use by another otaflux"),
        DataFolder(tmp_path).locked(),
    ):
        pass
    with DataFolder(tmp_path).locked():
        pass


def test_what_a_killed_start_left_is_removed(tmp_path: Path) -> None:
    """A kill while the folder was tried leaves no file there for ever."""
    (tmp_path / ".new-0123").write_bytes(b"")
    (tmp_path / ".writable").write_bytes(b"")
    with DataFolder(tmp_path).locked():
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_one_that_is_refused_leaves_the_files_of_the_other_alone(tmp_path: Path) -> None:
    """Who has not the lock removes nothing."""
    with DataFolder(tmp_path).locked():
        (tmp_path / ".new-0123").write_bytes(b"")
        with pytest.raises(BadSetting), DataFolder(tmp_path).locked():
            pass
        assert (tmp_path / ".new-0123").exists()


@pytest.mark.parametrize("taken", ["", "lock"], ids=["DATA_DIR is a file", "the lock is a folder"])
def test_a_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path, taken: str) -> None:
    """Exit 2 with a line that names the setting, no error of the system's own."""
    root = tmp_path / "data"
    if taken:
        (root / taken).mkdir(parents=True)
    else:
        root.write_bytes(b"")
    with pytest.raises(BadSetting, match="DATA_DIR"), DataFolder(root).locked():
        pass
