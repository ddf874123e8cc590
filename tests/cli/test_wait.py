"""`otaflux wait`: green when devices are told a release, else red with the reason."""

from __future__ import annotations

import re
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from device_server import Clock
from programs import otaflux, server

from otaflux.cli.waitfor import (
    MAY_STILL_COME,
    IsTold,
    Judged,
    Never,
    NotYet,
    Wait,
    WaitedFor,
    judge,
)
from otaflux.model.names import Device, Tag
from otaflux.model.version import Version

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "1" * 64


def wanted(tag: str = "1.1.0", digest: str = "") -> WaitedFor:
    """Somebody waits for that release of lamp."""
    return WaitedFor(Device("lamp"), Tag(tag), Version.parse(tag), digest)


def said(told: str = "", channel: str = "stable", **more: Any) -> dict[str, Any]:
    """An answer of `/status` about lamp."""
    standing = {"version": told.removeprefix("v"), "tag": told, "digest": DIGEST}
    channels = {channel: standing} if told else {}
    return {"devices": [{"channels": channels, "refused": [], "error": None, **more}]}


def refused(tag: str, *, final: bool, digest: str = DIGEST) -> dict[str, Any]:
    """A release that cannot be served."""
    return {"tag": tag, "digest": digest, "reason": "it is cut", "hint": "Mend it", "final": final}


@pytest.mark.parametrize(
    ("answer", "asked", "kind", "words"),
    [
        (said("1.1.0"), wanted(), IsTold, ""),
        (said("v1.1.0"), wanted("1.1.0"), IsTold, ""),
        (said("1.1.0"), wanted(digest=DIGEST), IsTold, ""),
        (said("1.1.0"), wanted(digest=DIGEST.replace("1", "2")), NotYet, f"other bytes, {DIGEST}"),
        (said("1.0.0"), wanted(), NotYet, "told 1.0.0"),
        (said(), wanted(), NotYet, "told nothing"),
        (said("1.1.0"), wanted("1.1.0-rc.1"), NotYet, "told nothing in the channel 'rc'"),
        (said("1.1.0-rc.1", "rc"), wanted("1.1.0-rc.1"), IsTold, ""),
        (said("2.0.0"), wanted(), NotYet, "which is higher"),
        (said("1.0.0", refused=[refused("1.1.0", final=True)]), wanted(), Never, "it is cut"),
        (said("1.0.0", refused=[refused("1.1.0", final=False)]), wanted(), NotYet, "it is cut"),
        (said("1.0.0", refused=[refused("1.0.9", final=True)]), wanted(), NotYet, "told 1.0.0"),
        (
            said("1.0.0", refused=[refused("1.1.0", final=True, digest="sha256:0")]),
            wanted(digest=DIGEST),
            NotYet,
            "told 1.0.0",
        ),
        (said("1.0.0", error={"reason": "no answer", "hint": ""}), wanted(), NotYet, "no answer"),
        (None, wanted(), NotYet, "not that of OtaFlux"),
        ([], wanted(), NotYet, "not that of OtaFlux"),
        ({"devices": []}, wanted(), NotYet, "not that of OtaFlux"),
        ({"devices": [{"channels": 1}]}, wanted(), NotYet, "not that of OtaFlux"),
        ({"devices": ["lamp"]}, wanted(), NotYet, "not that of OtaFlux"),
        (said("no version"), wanted(), NotYet, "not that of OtaFlux"),
    ],
)
def test_what_an_answer_means(answer: Any, asked: WaitedFor, kind: type, words: str) -> None:
    """IsTold, not yet, or never, with the reason."""
    judged = judge(200, answer, asked)
    assert isinstance(judged, kind)
    assert words in getattr(judged, "reason", "")


def test_what_a_channel_that_is_not_set_needs_is_said() -> None:
    """A pre-release is told in its channel alone, which has to be there."""
    judged = judge(200, said("1.0.0"), wanted("1.1.0-rc.1"))
    assert isinstance(judged, NotYet)
    assert "Is 'rc' one of CHANNELS?" in judged.hint


def test_a_device_that_is_not_known_may_still_come() -> None:
    """Its hook may be on the way."""
    judged = judge(404, None, wanted())
    assert isinstance(judged, NotYet)
    assert "not that of devices" in judged.hint
    assert judged.may_come


@pytest.mark.parametrize(
    ("judged", "seconds", "words"),
    [
        (NotYet("no hook"), 100, "not told within 100 s: no hook"),
        (NotYet("no signature", may_come=False), MAY_STILL_COME, "no signature"),
        (Never("it is cut"), 0, "it is cut"),
    ],
)
def test_it_waits_as_long_as_that_may_help(judged: Judged, seconds: float, words: str) -> None:
    """To the timeout, for half a minute, or not at all."""
    clock = Clock()
    wait = Wait(100, clock=clock)
    while isinstance(outcome := wait.weigh(judged), NotYet):
        clock.value += 1
    assert isinstance(outcome, Never)
    assert outcome.reason == words
    assert clock.value == 1000 + seconds


def test_half_a_minute_counts_from_when_the_reason_is_the_same() -> None:
    """A server that restarts in between begins it anew."""
    clock = Clock()
    wait = Wait(100, clock=clock)
    away, coming = NotYet("away", may_come=False), NotYet("told 1.0.0")
    for judged in (away, coming, away):
        assert isinstance(wait.weigh(judged), NotYet)
        clock.value += MAY_STILL_COME - 1
    assert isinstance(wait.weigh(IsTold()), IsTold)


def test_a_job_is_green_once_devices_are_told_it_and_red_when_they_will_not_be(
    tmp_path: Path,
) -> None:
    """From a push into the embedded folder, with the real server."""
    (tmp_path / "f.bin").write_bytes(b"firmware")
    with tarfile.open(tmp_path / "two.tar", "w") as tar:
        for name in ("a.bin", "b.bin"):
            tar.add(tmp_path / "f.bin", arcname=name)
    with server(tmp_path, DEVICES="lamp") as running:
        digest = running.run("push", "lamp:1.0.0", "f.bin").stdout.strip()
        done = running.run("wait", "lamp:1.0.0", "--digest", digest, "--timeout", "20")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert running.run("push", "lamp:1.1.0", "two.tar", "--any-tag").returncode == 0
        began = time.monotonic()
        done = running.run("wait", "lamp:1.1.0")
        assert done.returncode == 1
        assert re.fullmatch(r"otaflux: lamp:1\.1\.0: refused: .*a\.bin.*\n", done.stderr)
        assert time.monotonic() - began < 15
        done = running.run("wait", "door:1.0.0", "--timeout", "0.5")
        assert done.returncode == 1
        assert "does not know device 'door'" in done.stderr
        url = f"http://{running.env['METRICS_LISTEN_ADDR']}/"
        assert running.run("wait", "lamp:1.0.0", "--url", url).returncode == 0
        assert running.run("get", "/status?device=lamp").stdout.startswith("{")
        assert running.run("get", "/ready").returncode == 0
        assert "otaflux_devices 1" in running.run("get", "/metrics").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lamp"], "DEVICE:TAG"),
        (["lamp:latest"], "no version"),
        (["lamp:1.0.0", "--timeout", "soon"], "--timeout: found"),
        (["lamp:1.0.0", "--digest", "x"], "--digest: found"),
        (["lamp:1.0.0", "--url", "ftp://x"], "--url: found"),
    ],
)
def test_what_cannot_be_waited_for_is_wrong_usage(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    """One line and 2, at once."""
    done = otaflux("wait", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line
