"""Pieces that are taken in another thread, beside the making of the next ones."""

from __future__ import annotations

import threading

import pytest

from otaflux.unpack.aside import Aside


def test_pieces_are_taken_in_their_order_and_all_before_the_end() -> None:
    """The first by whoever hands it over, the others in one thread, which is gone then."""
    taken: list[tuple[bytes | memoryview, str]] = []
    with Aside(lambda piece: taken.append((piece, threading.current_thread().name))) as aside:
        for number in range(9):
            aside.put(b"%d" % number)
        aside.end()
    assert [piece for piece, _ in taken] == [b"%d" % number for number in range(9)]
    assert {name for _, name in taken[1:]} == {"aside"}
    assert taken[0][1] == threading.current_thread().name
    assert all(thread.name != "aside" for thread in threading.enumerate())


def test_who_hands_over_hears_what_went_wrong() -> None:
    """At the latest at the end; nothing that comes after is taken, and nobody waits for room."""
    taken = []

    def work(piece: bytes | memoryview) -> None:
        taken.append(piece)
        if len(taken) == 3:
            raise OSError("full")

    with Aside(work) as aside:
        with pytest.raises(OSError, match="full"):  # noqa: PT012 - which one is open
            for _ in range(1000):
                aside.put(b"piece")
        with pytest.raises(OSError, match="full"):
            aside.end()
    assert len(taken) == 3


def test_leaving_it_ends_the_thread() -> None:
    """Also where whoever hands over pieces failed; that error is the one that counts."""
    with pytest.raises(KeyError), Aside(lambda _: None) as aside:  # noqa: PT012 - both are needed
        aside.put(b"one")
        aside.put(b"two")
        raise KeyError
    assert all(thread.name != "aside" for thread in threading.enumerate())


def test_where_no_thread_can_be_had_the_caller_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on threads, as containers have one, costs time and no firmware."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    taken: list[bytes | memoryview] = []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Aside(taken.append) as aside:
        for number in range(5):
            aside.put(b"%d" % number)
        aside.end()
    assert taken == [b"%d" % number for number in range(5)]
