"""`otaflux serve`, and the commands beside it: list, pull, forget, check and get."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from programs import Server, free_port, otaflux, server

HOOK = json.dumps({"repository": "lamp", "tag": "1.1.0"}).encode()


def pushed(folder: Path, tag: str, content: bytes, *more: str, **settings: str) -> None:
    """Push content into the embedded folder of a server's DATA_DIR."""
    (folder / "build.bin").write_bytes(content)
    settings.setdefault("DATA_DIR", str(folder / "data"))
    done = otaflux("push", f"lamp:{tag}", "build.bin", *more, cwd=folder, **settings)
    assert done.returncode == 0, done.stderr


def releases(running: Server) -> dict[str, dict[str, object]]:
    """What `list --json` says of the device, by tag."""
    (device,) = json.loads(running.run("list", "lamp", "--json").stdout)["devices"]
    return {row["tag"]: row for row in device["releases"]}


def test_a_push_is_told_within_two_seconds(tmp_path: Path) -> None:
    """Without any hook a push into the embedded folder reaches devices; with one at once."""
    with server(tmp_path, WEBHOOK_SECRET="s") as running:
        assert running.get("/version?device=lamp").status == 404
        pushed(tmp_path, "1.0.0", b"one")
        running.told("lamp", "1.0.0", within=2.0)
        pushed(tmp_path, "1.1.0", b"three")
        assert running.hook(HOOK, secret="s").status == 202
        assert running.told("lamp", "1.1.0", within=2.0).body.endswith(b"\n5")
        assert running.get("/firmware?device=lamp").body == b"three"
        assert running.hook(HOOK, secret="wrong").status == 401
        assert running.stop() == 0
        events = [line["event"] for line in running.log()]
        assert events[0] == "server_started"
        assert events[-1] == "server_stopped"
        assert {"hook_accepted", "hook_rejected", "release_published"} <= set(events)


def test_a_restart_tells_the_same_at_once(tmp_path: Path) -> None:
    """After a kill, and with the folder of releases gone, devices are told what they were told."""
    with server(tmp_path) as running:
        pushed(tmp_path, "1.0.0", b"one")
        before = running.told("lamp", "1.0.0")
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        (tmp_path / "data" / "registry").rename(tmp_path / "elsewhere")
        running.start()
        assert running.get("/version?device=lamp").body == before.body
        assert running.get("/firmware?device=lamp").body == b"one"
        assert running.stop(signal.SIGINT) == 0


def test_a_second_server_on_the_folder_is_refused(tmp_path: Path) -> None:
    """Two servers never write one folder: the second exits 2 and says so."""
    with server(tmp_path) as running:
        done = otaflux(cwd=tmp_path, **{**running.env, "LISTEN_ADDR": f"127.0.0.1:{free_port()}"})
        assert done.returncode == 2
        assert "DATA_DIR" in done.stderr
        assert "in use" in done.stderr


def test_an_address_that_is_taken_is_refused(tmp_path: Path) -> None:
    """A port that somebody listens on is one line and exit 2."""
    with server(tmp_path) as running:
        other = {**running.env, "DATA_DIR": str(tmp_path / "other")}
        done = otaflux(cwd=tmp_path, **other)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "LISTEN_ADDR" in done.stderr
        other["LISTEN_ADDR"] = f"127.0.0.1:{free_port()}"
        done = otaflux(cwd=tmp_path, **other)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("otaflux: METRICS_LISTEN_ADDR: found 127.0.0.1:")
        other["METRICS_LISTEN_ADDR"] = other["LISTEN_ADDR"]
        done = otaflux(cwd=tmp_path, **other)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert "expected another port than LISTEN_ADDR" in line


def test_a_registry_that_is_away_does_not_stop_the_start(tmp_path: Path) -> None:
    """The server starts and answers; unknown devices get 503, and check says what is wrong."""
    away = f"http://127.0.0.1:{free_port()}"
    with server(tmp_path, REGISTRY_URL=away, DEVICES="lamp", REPOSITORY_PREFIX="x") as running:
        assert running.get("/health").status == 200
        answer = running.get("/version?device=lamp")
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        done = running.run("check")
        assert done.returncode == 1
        assert f"FAIL  registry {away}" in done.stdout


def test_the_list_says_why_a_release_is_not_current(tmp_path: Path) -> None:
    """Current, kept, older, unusable, pre-release, ignored, not tried: each with its reason."""
    for number in range(4):
        pushed(tmp_path, f"1.0.{number}", b"firmware %d" % number)
    pushed(tmp_path, "2.0.0-rc.1", b"rc")
    pushed(tmp_path, "1.2", b"odd", "--any-tag")
    with server(tmp_path, KEEP_VERSIONS="1") as running:
        running.told("lamp", "1.0.3")
        pushed(tmp_path, "1.1.0", b"newest")
        running.told("lamp", "1.1.0")
        broken = tmp_path / "build.bin.gz"
        broken.write_bytes(b"\x1f\x8b\x08 no gzip at all")
        done = running.run("push", "lamp:3.0.0", "build.bin.gz", "--any-tag")
        assert "no device will be told 3.0.0" in done.stderr
        running.hook(HOOK, secret=None)
        while "release_refused" not in [line["event"] for line in running.log()]:
            assert running.process is not None
        found = releases(running)
        assert {tag: row["state"] for tag, row in found.items()} == {
            "3.0.0": "unusable",
            "2.0.0-rc.1": "pre-release",
            "1.1.0": "current",
            "1.0.3": "kept",
            "1.0.2": "older",
            "1.0.1": "older",
            "1.0.0": "older",
            "1.2": "ignored",
        }
        assert "1.2.0" in str(found["1.2"]["reason"])
        assert "rc" in str(found["2.0.0-rc.1"]["reason"])
        assert found["1.1.0"]["channels"] == ["stable"]
        assert found["1.1.0"]["size"] == 6
        table = running.run("list").stdout
        assert table.splitlines()[0].split() == ["DEVICE", "TAG", "STATE", "SIZE", "IMAGE", "NOTE"]
        assert len(table.splitlines()) == 9


def test_without_a_server_everything_is_not_tried(tmp_path: Path) -> None:
    """Nobody pulls to make a list: what no server looked at is not tried."""
    pushed(tmp_path, "1.0.0", b"one")
    done = otaflux("list", cwd=tmp_path, DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split() == ["lamp", "1.0.0", "not", "tried"]
    nobody = otaflux("list", "door", cwd=tmp_path, DATA_DIR=str(tmp_path / "data"))
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "No releases of device 'door'" in nobody.stderr


def test_a_pull_is_what_a_device_would_get(tmp_path: Path) -> None:
    """The current release, or exactly a version; what is not there leaves nothing behind."""
    data = {"DATA_DIR": str(tmp_path / "data")}
    pushed(tmp_path, "1.0.0", b"one")
    pushed(tmp_path, "v1.1.0", b"two")
    pushed(tmp_path, "1.2.0-beta.1", b"three")
    wanted = {
        ("lamp",): b"two",
        ("lamp:1.0.0",): b"one",
        ("lamp:v1.1.0",): b"two",
        ("lamp", "--channel", "beta"): b"three",
    }
    for arguments, content in wanted.items():
        done = otaflux("pull", *arguments, "-o", "out", cwd=tmp_path, CHANNELS="beta", **data)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out").read_bytes() == content
    (tmp_path / "out").unlink()
    for arguments, code in ((("lamp:9.9.9",), 1), (("door",), 1), (("lamp:x",), 2)):
        done = otaflux("pull", *arguments, "-o", "out", cwd=tmp_path, **data)
        assert done.returncode == code
        assert len(done.stderr.splitlines()) == 1
        if arguments == ("lamp:9.9.9",):
            assert "No release 9.9.9 of device 'lamp'" in done.stderr
    nowhere = otaflux("pull", "lamp", "-o", "nowhere/out", cwd=tmp_path, **data)
    assert (nowhere.returncode, nowhere.stderr) == (
        2, "otaflux: -o nowhere/out: there is no folder nowhere\n",
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build.bin", "data"]


def test_a_pull_takes_the_place_of_files_only(tmp_path: Path) -> None:
    """What is no regular file stays what it is, and a link goes on leading where it led."""
    data = {"DATA_DIR": str(tmp_path / "data")}
    pushed(tmp_path, "1.0.0", b"one")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "current.bin").write_bytes(b"before")
    (tmp_path / "link").symlink_to("current.bin")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in (("pipe", "is no regular file"), ("to-pipe", "is no"), ("loop", "nowhere")):
        done = otaflux("pull", "lamp", "-o", name, cwd=tmp_path, **data)
        assert done.returncode == 2
        assert words in done.stderr
    assert (tmp_path / "pipe").is_fifo()
    done = otaflux("pull", "lamp", "-o", "link", cwd=tmp_path, **data)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "current.bin").read_bytes() == b"one"


def test_forget_needs_the_server_stopped(tmp_path: Path) -> None:
    """A device's record and files go, but not under a running server; what is there comes back."""
    with server(tmp_path) as running:
        pushed(tmp_path, "1.0.0", b"one")
        running.told("lamp", "1.0.0")
        assert running.run("forget", "lamp").returncode == 2
        running.stop()
        done = running.run("forget", "lamp")
        assert (done.returncode, done.stderr) == (0, "")
        assert not list((tmp_path / "data" / "catalog").glob("*.json"))
        assert not list((tmp_path / "data" / "firmware" / "sha256").iterdir())
        assert running.run("forget", "lamp").returncode == 1
        running.start()
        running.told("lamp", "1.0.0")


def test_get_asks_the_running_server(tmp_path: Path) -> None:
    """`get` prints the body; 0 for 2xx, else 1; with nobody there it says so."""
    with server(tmp_path) as running:
        pushed(tmp_path, "1.0.0", b"one")
        running.told("lamp", "1.0.0")
        assert running.run("get", "/health").returncode == 0
        done = running.run("get", "version?device=lamp")
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "1.0.0")
        missing = running.run("get", "/version?device=door")
        assert missing.returncode == 1
        assert missing.stdout == "No firmware for device 'door'"
        assert "404" in missing.stderr
        whole = running.run("get", f"{running.url}/health")
        assert whole.returncode == 2
        assert "expected the path alone, such as /health" in whole.stderr
    gone = running.run("get", "/health")
    assert gone.returncode == 1
    assert "Does `otaflux serve` run" in gone.stderr


@pytest.mark.parametrize("secret", [None, "one two"])
def test_check_tries_everything(tmp_path: Path, secret: str | None) -> None:
    """On a fresh machine all works, and each thing that was tried has its line."""
    settings = {"LISTEN_ADDR": f"127.0.0.1:{free_port()}", "DATA_DIR": str(tmp_path / "data")}
    if secret:
        settings["WEBHOOK_SECRET"] = secret
    done = otaflux("check", cwd=tmp_path, **settings)
    assert done.returncode == 0, done.stdout
    assert ("one of 2 secrets" if secret else "closed") in done.stdout
    for what in ("settings", "data folder", "room on its disk", "registry", "hooks", "address"):
        assert f"  {what}" in done.stdout
    assert not (tmp_path / "data").exists(), "a check changes nothing"
