"""Secrets stay hidden, and files are read again when they change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from otaflux.errors import Undecided
from otaflux.secret import MAX_FILE, Fixed, Reread, Secret, secret_file, text_of


@given(st.text(min_size=4))
def test_a_secret_never_shows(text: str) -> None:
    """No way of printing a secret has its text in it; only reveal() gives it out."""
    secret = Secret("geheim" + text)
    for shown in (repr(secret), str(secret), f"{secret}", f"{Fixed(secret)}", f"{[secret]}"):
        assert "geheim" not in shown
    assert secret.reveal() == "geheim" + text


def test_secrets_with_the_same_text_are_equal() -> None:
    """Secrets compare by text, also where it is not ASCII, and never with a plain text."""
    assert Secret("größe") == Secret("größe")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_secret_file_has_no_line_end(tmp_path: Path, end: str) -> None:
    """The line end that an editor adds does not belong to the secret, spaces in it do."""
    path = tmp_path / "secret"
    path.write_bytes(b" a b " + end.encode())
    assert secret_file("S", path).current() == Secret(" a b ")


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    """A secret that was written anew counts from the next question on, and the log says so."""
    path = tmp_path / "secret"
    path.write_text("old")
    secret = secret_file("WEBHOOK_SECRET_FILE", path)
    assert secret.current().reveal() == "old"
    path.write_text("newer")
    with capture_logs() as logs:
        assert secret.current().reveal() == "newer"
        assert secret.current().reveal() == "newer"
    assert [line["event"] for line in logs] == ["secret_read_again"]
    assert "newer" not in str(logs)


def test_a_swapped_link_counts_at_once(tmp_path: Path) -> None:
    """Kubernetes swaps a link instead of writing a file: the new target counts."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "secret"
    link.symlink_to("one")
    secret = secret_file("S", link)
    assert secret.current().reveal() == "one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    assert secret.current().reveal() == "two"


@pytest.mark.parametrize("broken", ["gone", "empty", "binary", "huge"])
def test_the_last_good_value_stays(tmp_path: Path, broken: str) -> None:
    """A file that is missing, empty, no text or far too large leaves the last value, said once."""
    path = tmp_path / "secret"
    path.write_text("good")
    secret = secret_file("S", path)
    secret.current()
    match broken:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"\n")
        case "binary":
            path.write_bytes(b"\xff\xfe")
        case _:
            path.write_bytes(b"x" * (MAX_FILE + 1))
    with capture_logs() as logs:
        assert [secret.current().reveal() for _ in range(3)] == ["good"] * 3
    assert [(line["event"], line["setting"]) for line in logs] == [("secret_kept", "S")]
    path.write_text("mended")
    assert secret.current().reveal() == "mended"


def test_a_file_that_never_could_be_read_is_an_error(tmp_path: Path) -> None:
    """There is no value to fall back to at first: the error names setting, file and reason."""
    with pytest.raises(Undecided, match=r"S: cannot read .*nothing: No such file"):
        secret_file("S", tmp_path / "nothing").current()


def test_unchanged_files_are_not_read_again(tmp_path: Path) -> None:
    """While nothing changes, asking costs a look at the files and no parsing."""
    calls: list[Sequence[bytes]] = []

    def parse(contents: Sequence[bytes]) -> int:
        calls.append(contents)
        return len(calls)

    cert, key = tmp_path / "cert", tmp_path / "key"
    cert.write_text("c1")
    key.write_text("k1")
    pair = Reread("TLS", [cert, key], parse)
    assert [pair.current() for _ in range(5)] == [1] * 5
    os.utime(cert, ns=(1, 1))
    assert pair.current() == 1, "the same bytes under a new time are the same value"
    key.write_text("key 2")
    assert pair.current() == 2
    assert calls[-1] == (b"c1", b"key 2")


def test_a_mark_of_the_byte_order_is_no_part_of_a_secret() -> None:
    """Some editors put one in front, where nobody sees it."""
    assert text_of(b"\xef\xbb\xbfs3cret\r\n") == "s3cret"
