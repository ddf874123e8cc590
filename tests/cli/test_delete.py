"""`otaflux delete` and `--notify`: what goes, what is said before, and who hears of it."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from held_releases import release
from programs import PATIENCE, PROGRAM, Server, environment, free_port, otaflux, server
from real_registry import Notify, docker_registry

from otaflux.cli.instead import told_instead
from otaflux.model.names import STABLE, Device, Tag
from otaflux.model.record import Record, Standing
from otaflux.registry.layout import Layout
from otaflux.registry.source import File

SECRET = "s3cret"
Run = Callable[..., Coroutine[Any, Any, subprocess.CompletedProcess[str]]]


@pytest.fixture(autouse=True)
def build(tmp_path: Path) -> Path:
    """A file to push."""
    path = tmp_path / "build.bin"
    path.write_bytes(b"firmware")
    return path


def push(folder: Path, *tags: str, **settings: str) -> None:
    """Push releases of the lamp, each with bytes of its own."""
    for tag in tags:
        (folder / "build.bin").write_bytes(tag.encode())
        done = otaflux("push", f"lamp:{tag}", "build.bin", cwd=folder, **settings)
        assert done.returncode == 0, done.stderr


def test_a_release_is_taken_back_from_the_folder(tmp_path: Path) -> None:
    """Devices hear of it at once, and the command says beforehand what they will be told."""
    with server(tmp_path) as running:
        data = running.env["DATA_DIR"]
        push(tmp_path, "1.0.0", "2.0.0", DATA_DIR=data)
        running.told("lamp", "2.0.0")
        done = running.run("delete", "lamp:2.0.0", "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Deleted lamp:2.0.0, which was sha256:")
        assert "Devices will be told 1.0.0" in done.stderr
        assert "esp32-home-sensor does not" in done.stderr
        running.told("lamp", "1.0.0")
        last = running.run("delete", "lamp:1.0.0", "--yes")
        assert "Devices will be told nothing" in last.stderr


def test_channels_and_what_nobody_is_told_are_said(tmp_path: Path) -> None:
    """A channel is told its own; a lower release changes nothing for boards that poll."""
    push(tmp_path, "1.0.0", "1.1.0", "2.0.0-beta.1")
    beta = otaflux("delete", "lamp:2.0.0-beta.1", "--yes", cwd=tmp_path, CHANNELS="beta")
    assert "Devices of channel beta will be told 1.1.0 (not tried here" in beta.stderr
    lower = otaflux("delete", "lamp:1.0.0", "--yes", cwd=tmp_path)
    assert lower.returncode == 0
    assert "not what devices are told now" in lower.stderr


def test_a_moved_tag_that_is_told_by_its_old_bytes_is_what_goes(tmp_path: Path) -> None:
    """Its new bytes are unusable, and yet devices are told it, until it is gone."""
    with server(tmp_path) as running:
        push(tmp_path, "1.0.0", "2.0.0", DATA_DIR=running.env["DATA_DIR"])
        running.told("lamp", "2.0.0")
        broken = tmp_path / "broken.gz"
        broken.write_bytes(b"\x1f\x8b\x08 no gzip")
        file = File(broken, "firmware.bin.gz", "application/gzip")
        folder = Layout(Path(running.env["DATA_DIR"]) / "registry")
        asyncio.run(
            folder.push(Device("lamp"), Tag("2.0.0"), [file], annotations={}, force=True)
        )  # otaflux push would refuse it
        deadline = time.monotonic() + PATIENCE
        while "release_refused" not in [line["event"] for line in running.log()]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        done = running.run("delete", "lamp:2.0.0", "--yes")
        assert "Devices will be told 1.0.0" in done.stderr


def test_a_missing_tag_is_a_failure(tmp_path: Path) -> None:
    """Exit 1, with the tags that there are, but for those of signatures."""
    push(tmp_path, "1.0.0")
    signature = f"lamp:sha256-{'0' * 64}"
    assert otaflux("push", signature, "build.bin", "--any-tag", cwd=tmp_path).returncode == 0
    done = otaflux("delete", "lamp:1.0.1", "--yes", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no tag 1.0.1" in done.stderr
    assert "There are 1.0.0" in done.stderr
    assert "sha256-" not in done.stderr
    assert otaflux("delete", "nobody:1.0.1", "--yes", cwd=tmp_path).returncode == 1


def test_without_a_terminal_it_wants_to_be_told_yes(tmp_path: Path) -> None:
    """A script that did not say so deletes nothing: exit 2."""
    push(tmp_path, "1.0.0")
    done = otaflux("delete", "lamp:1.0.0", cwd=tmp_path)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert otaflux("pull", "lamp:1.0.0", "-o", "out", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(("answer", "stays"), [(b"n\n", True), (b"\n", True), (b"y\n", False)])
def test_on_a_terminal_it_asks(tmp_path: Path, answer: bytes, stays: bool) -> None:
    """It deletes after a yes, and nothing after anything else."""
    push(tmp_path, "1.0.0")
    mine, theirs = pty.openpty()
    os.write(mine, answer)
    done = subprocess.run(
        [PROGRAM, "delete", "lamp:1.0.0"],
        cwd=tmp_path,
        env=environment(tmp_path, {"TERM": "xterm"}),
        stdin=theirs,
        capture_output=True,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    os.close(mine)
    assert b"Delete lamp:1.0.0 from the embedded folder?" in done.stderr
    assert (done.returncode != 0) == stays
    assert (otaflux("pull", "lamp:1.0.0", "-o", "out", cwd=tmp_path).returncode == 0) == stays


def hooks_of(running: Server) -> list[tuple[Any, Any]]:
    """The hooks that the server took: tag and source."""
    lines = running.log()
    return [(x.get("tag"), x.get("source")) for x in lines if x["event"] == "hook_accepted"]


def test_a_server_is_told_of_a_push_and_a_deletion(tmp_path: Path) -> None:
    """--notify sends the generic hook; an address copied from a registry's hook does as well."""
    with server(tmp_path, WEBHOOK_SECRET=SECRET) as running:
        (tmp_path / "build.bin").write_bytes(b"one")
        pushed = running.run("push", "lamp:1.0.0", "build.bin", "--notify", running.url)
        assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout.startswith("sha256:")
        assert "was told, and looks at lamp" in pushed.stderr
        at = f"{running.url}/hooks/registry/generic"
        deleted = running.run("delete", "lamp:1.0.0", "--yes", "--notify", at)
        assert deleted.returncode == 0, deleted.stderr
        again = running.run("delete", "lamp:1.0.0", "--yes", "--notify", at)
        assert again.returncode == 1
        assert "was told" in again.stderr  # the tag is gone, and the server still hears of it
        assert hooks_of(running) == [("1.0.0", "generic")] * 3


def test_a_server_that_refuses_is_a_failure(tmp_path: Path) -> None:
    """What was pushed is there; exit 1 says that nobody was told, with the reason."""
    with server(tmp_path, WEBHOOK_SECRET=SECRET, DEVICES="lamp") as running:

        def notified(release: str = "lamp:1.0.0", **settings: str) -> str:
            done = otaflux(
                "push", release, "build.bin", "--any-tag", "--notify", running.url, cwd=tmp_path,
                **{**running.env, **settings},
            )  # fmt: skip
            assert (done.returncode, done.stdout[:7]) == (1, "sha256:"), done.stderr
            return done.stderr

        assert "WEBHOOK_SECRET one of the server's?" in notified(WEBHOOK_SECRET="other")
        assert "ignores it: tag 'latest' is no version" in notified("lamp:latest")
        running.stop()
        assert "was not told of lamp:1.0.0" in notified()
    with server(tmp_path) as closed:
        done = otaflux(
            "push", "lamp:1.0.0", "build.bin", "--notify", closed.url, cwd=tmp_path,
            **{**closed.env, "WEBHOOK_SECRET": SECRET},
        )  # fmt: skip
        assert done.returncode == 1
        assert "Set WEBHOOK_SECRET at the server" in done.stderr


@pytest.mark.parametrize(
    ("url", "settings", "names"),
    [
        ("http://127.0.0.1:1", {}, "WEBHOOK_SECRET"),
        ("127.0.0.1:1", {"WEBHOOK_SECRET": SECRET}, "--notify"),
    ],
)
def test_what_is_wrong_with_notify_stops_before_the_push(
    tmp_path: Path, url: str, settings: dict[str, str], names: str
) -> None:
    """No secret, or no address: exit 2, and nothing is published."""
    done = otaflux("push", "lamp:1.0.0", "build.bin", "--notify", url, cwd=tmp_path, **settings)
    assert done.returncode == 2
    assert names in done.stderr
    assert not (tmp_path / "otaflux-data").exists()


def test_a_secret_that_is_not_needed_is_not_read(tmp_path: Path) -> None:
    """Without --notify a WEBHOOK_SECRET_FILE that cannot be read stops nothing."""
    push(tmp_path, "1.0.0", WEBHOOK_SECRET_FILE="/nowhere")


def running_registry(tmp_path: Path, url: str) -> Run:
    """Run commands against a registry."""
    settings = {"REGISTRY_URL": url, "REPOSITORY_PREFIX": "acme", "WEBHOOK_SECRET": SECRET}

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(otaflux, *arguments, cwd=tmp_path, **settings)

    return run


@pytest.mark.real("docker-registry")
@pytest.mark.parametrize("auth", ["none", "token"])
async def test_docker_registry_deletes_by_digest(tmp_path: Path, auth: Any) -> None:
    """It knows no deletion by tag; a tag that shares its bytes is never taken along."""
    (tmp_path / "real").mkdir()
    async with docker_registry(tmp_path / "real", auth=auth) as real:
        first = await real.put("acme/lamp", "1.0.0", layers=[b"one"])
        await real.put("acme/lamp", "2.0.0", layers=[b"two"])
        run = running_registry(tmp_path, real.url)
        if auth == "none":
            done = await run("delete", "lamp:1.0.0", "--yes")
            assert done.returncode == 0, done.stderr
            assert str(first) in done.stdout
            assert "--notify" in done.stderr
            left = await run("list", "--json")
            assert "1.0.0" not in left.stdout
            assert "2.0.0" in left.stdout
            await real.put("acme/lamp", "2.0.0-again", layers=[b"two"])
            shared = await run("delete", "lamp:2.0.0", "--yes")
            assert shared.returncode == 2
            assert "same bytes as 2.0.0-again" in shared.stderr
            assert "2.0.0-again" in (await run("list", "--json")).stdout
        else:
            denied = await run("delete", "lamp:1.0.0", "--yes")
            assert denied.returncode == 1
            assert "REGISTRY_USERNAME" in denied.stderr


@pytest.mark.real("docker-registry")
async def test_docker_registry_says_what_to_set(tmp_path: Path) -> None:
    """As it is installed it deletes nothing: exit 1, with the setting's name."""
    (tmp_path / "real").mkdir()
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "real/registry-data")}}
    async with docker_registry(tmp_path / "real", more={"storage": storage}) as real:
        await real.put("acme/lamp", "1.0.0", layers=[b"one"])
        done = await running_registry(tmp_path, real.url)("delete", "lamp:1.0.0", "--yes")
        assert done.returncode == 1
        assert "does not delete acme/lamp:1.0.0" in done.stderr
        assert "REGISTRY_STORAGE_DELETE_ENABLED=true" in done.stderr


@pytest.mark.real("docker-registry")
async def test_a_deletion_with_notify_is_withdrawn_soon(tmp_path: Path) -> None:
    """A registry without hooks: the server is told by the command, and falls back in 13 s or so."""
    (tmp_path / "real").mkdir()
    async with docker_registry(tmp_path / "real", notify=list[Notify]()) as real:
        await real.put("acme/lamp", "1.0.0", layers=[b"one"])
        await real.put("acme/lamp", "2.0.0", layers=[b"two"])
        settings = {
            "REGISTRY_URL": real.url,
            "REPOSITORY_PREFIX": "acme",
            "WEBHOOK_SECRET": SECRET,
            "LISTEN_ADDR": f"127.0.0.1:{free_port()}",
        }

        def follow() -> None:
            with server(tmp_path, **settings) as running:
                running.told("lamp", "2.0.0")
                done = running.run("delete", "lamp:2.0.0", "--yes", "--notify", running.url)
                assert done.returncode == 0, done.stderr
                assert "Devices will be told 1.0.0" in done.stderr
                running.told("lamp", "1.0.0", within=60)

        await asyncio.to_thread(follow)


@pytest.mark.parametrize(
    ("known", "tags", "said"),
    [
        (("1.0.0", None), ("1.0.0", "0.9.0"), "told 1.0.0 on, from the server's own file"),
        (("1.0.0", "2.0.0"), ("1.0.0", "0.9.0"), "told 1.0.0 on, from the server's own file"),
        ((None, None), ("1.0.0", "0.9.0"), "told 1.0.0 on, from the server's own file"),
        (("0.9.0", None), ("1.0.0", "0.9.0"), "told 0.9.0 in its place"),
    ],
)
def test_where_channels_never_fall_it_is_told_on(
    known: tuple[str | None, str | None], tags: tuple[str, ...], said: str
) -> None:
    """What was told, or may have been; what nobody was told yet goes as ever."""
    told, floor = known
    record = Record(
        Device("lamp"),
        "here",
        channels={STABLE: Standing(release(told, b"told"), 1.0)} if told else {},
        floors={STABLE: Tag(floor)} if floor else {},
    )
    (sentence,) = told_instead(record, map(Tag, tags), Tag("1.0.0"), (), "now", never_fall=True)
    assert said in sentence
    (follows,) = told_instead(record, map(Tag, tags), Tag("1.0.0"), (), "now")
    assert "told 0.9.0" in follows


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (("2.0.0", "1.0.0", "0.9.0"), "told 0.9.0 (not tried here, if it is usable) in its place"),
        (("2.0.0", "1.0.0"), "told nothing"),
    ],
)
def test_what_is_told_below_an_unsigned_release_is_what_goes(
    tags: tuple[str, ...], said: str
) -> None:
    """A higher release that devices are not told, for it awaits its signature, hides nothing."""
    told = {STABLE: Standing(release("1.0.0", b"told"), 1.0)}
    record = Record(Device("lamp"), "here", channels=told)
    (sentence,) = told_instead(record, map(Tag, tags), Tag("1.0.0"), (), "now")
    assert said in sentence
    assert ", unless 2.0.0 can be used by then" in sentence
    (higher,) = told_instead(record, map(Tag, tags), Tag("2.0.0"), (), "now")
    assert "told 1.0.0 in its place" in higher
    assert "unless" not in higher
