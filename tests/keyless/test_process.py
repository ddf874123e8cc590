"""The process that judges certificates: what it says counts, what becomes of it decides nothing."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from small_sigstore import ISSUER, SmallSigstore, statement

from otaflux.errors import Undecided, Unsigned
from otaflux.keyless.process import NotaryProcess
from otaflux.model.artifact import Digest
from otaflux.signature.identity import Identities, Name

SUBJECT = Digest("sha256", "ab" * 32)
ANYBODY = Identities((Name("/.*/"),), Name("/.*/"))


def child(body: str) -> tuple[str, ...]:
    """A program in the place of the child."""
    return (sys.executable, "-c", f"import socket\nchannel = socket.socket(fileno=0)\n{body}")


def test_the_real_child_judges() -> None:
    """Signed, not signed, a root that is none; a pattern that hangs ends it."""
    ours = SmallSigstore()
    who = "https://ci.example/" + "a" * 40
    bundle = ours.bundle(statement(SUBJECT), identity=who)
    trusted = Identities((Name(who),), Name(ISSUER), ours.trusted_root)
    notary = NotaryProcess(patience=30)
    try:
        assert notary.vouch(bundle, trusted).signer.identity == who
        others = Identities((Name("https://x.example"),), Name(ISSUER), ours.trusted_root)
        with pytest.raises(Unsigned, match="not trusted"):
            notary.vouch(bundle, others)
        notary.check(ours.trusted_root)
        with pytest.raises(Undecided, match="trusted root"):
            notary.check(b"{}")
    finally:
        notary.close()
    slow = Identities((Name("/https://ci.example/(a+)+b/"),), Name(ISSUER), ours.trusted_root)
    notary = NotaryProcess(patience=3)
    with pytest.raises(Undecided, match="more than 3 s"):
        notary.vouch(bundle, slow)
    notary.close()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "channel.recv(1 << 20)",
        "channel.recv(1 << 20); channel.sendall(b'\\xff' * 8)",
        "channel.recv(1 << 20); channel.sendall(b'\\0\\0\\0\\2[]')",
        "channel.recv(1 << 20); channel.sendall(b'\\0\\0\\0\\2{x')",
        "channel.recv(1 << 20); channel.sendall(b'\\0\\0\\0\\2{}')",
        "channel.recv(1 << 20); channel.sendall(b'\\0\\0\\0\\2')",
        "raise SystemExit(3)",
    ],
    ids=["ends", "ends late", "too much", "a list", "no JSON", "nothing", "half", "fails"],
)
def test_a_child_that_says_nothing_useful_decides_nothing(body: str) -> None:
    """Neither signed nor unsigned."""
    notary = NotaryProcess(command=child(body), patience=10)
    with pytest.raises(Undecided):
        notary.vouch(b"{}", ANYBODY)
    notary.close()


def test_a_child_that_cannot_be_started_decides_nothing(tmp_path: Path) -> None:
    """A machine without processes to spare."""
    notary = NotaryProcess(command=(str(tmp_path / "nowhere"),))
    with pytest.raises(Undecided, match="failed"):
        notary.vouch(b"{}", ANYBODY)


def test_a_child_that_does_not_answer_is_killed() -> None:
    """Nor does one that takes nothing: both are waited for only so long."""
    for body in (
        "channel.recv(1 << 20); import time; time.sleep(60)",
        "import time; time.sleep(60)",
    ):
        notary = NotaryProcess(command=child(body), patience=0.5, respite=30)
        begun = time.monotonic()
        with pytest.raises(Undecided, match=r"more than 0\.5 s"):
            notary.vouch(b" " * 1_000_000, ANYBODY)
        assert time.monotonic() - begun < 5
        with pytest.raises(Undecided, match="a while ago"):
            notary.vouch(b"", ANYBODY)
        notary.close()


def test_who_waits_for_another_one_waits_only_so_long() -> None:
    """Threads take turns."""
    notary = NotaryProcess(command=child("import time; time.sleep(60)"), patience=0.4)
    refusals: list[Exception] = []

    def ask() -> None:
        try:
            notary.vouch(b"{}", ANYBODY)
        except Undecided as error:
            refusals.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 3
    notary.close()


def test_a_child_that_ended_for_having_nothing_to_do_is_started_again() -> None:
    """The question that found it gone is asked once more."""
    told = b"\0\0\0\x11" + b'{"unsigned": "x"}'
    once = f"channel.recv(1 << 20); channel.sendall({told!r})"
    notary = NotaryProcess(command=child(once), patience=10)
    for _ in range(3):
        with pytest.raises(Unsigned, match="x"):
            notary.vouch(b"{}", ANYBODY)
        time.sleep(0.05)
    notary.close()
