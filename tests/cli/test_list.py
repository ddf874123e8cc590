"""`otaflux list` where not all can be asked: what `DATA_DIR` knows, and a line that says so."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from fake_faults import Page, Status
from fake_registry import FakeRegistry
from held_releases import release
from programs import PATIENCE, Server, otaflux, server
from signed_content import Shop, public

from otaflux.cli.shelf import Seen, shelf_of
from otaflux.model.artifact import Listing
from otaflux.model.names import STABLE, Tag
from otaflux.model.record import Record, Retired, Standing, Verdict

BROKEN = b"\x1f\x8b\x08 no gzip at all"


def settings(registry: FakeRegistry, folder: Path) -> dict[str, str]:
    """Those of a server and of the commands beside it."""
    return {
        "REGISTRY_URL": registry.url,
        "REPOSITORY_PREFIX": "acme",
        "DATA_DIR": str(folder / "data"),
    }


async def listed(folder: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    """`otaflux list`, while the registry of the test goes on."""
    return await asyncio.to_thread(otaflux, "list", *arguments, cwd=folder, **environment)


async def served(folder: Path, *told: tuple[str, str], **environment: str) -> None:
    """Let a server learn of devices until they are told these versions, and end it."""

    def run() -> None:
        with server(folder, **environment) as running:
            for device, version in told:
                running.told(device, version)

    await asyncio.to_thread(run)


def refused(running: Server) -> None:
    """Wait until a release was refused, and what is known of it is on disk."""
    deadline = time.monotonic() + PATIENCE
    while True:
        words = [line["event"] for line in running.log()]
        if "release_refused" in words and "reconciled" in words[words.index("release_refused") :]:
            return
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.05)


def states(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The state of each tag of each device, of a JSON document."""
    return {
        shelf["device"]: {row["tag"]: row["state"] for row in shelf["releases"]}
        for shelf in document["devices"]
    }


async def test_with_the_registry_away_it_tells_what_data_dir_knows(tmp_path: Path) -> None:
    """Current and unusable releases are told all the same; one line says why the rest is not."""
    async with FakeRegistry() as registry:
        known = settings(registry, tmp_path)
        registry.content.put("acme/door", "2.0.0", layers=[b"door"])
        registry.content.put("acme/lamp", "1.0.0", layers=[b"lamp"])
        registry.content.put("acme/lamp", "1.1.0", layers=[BROKEN])
        await served(tmp_path, ("door", "2.0.0"), ("lamp", "1.0.0"), **known)
        await registry.stop()
        table, document, one, nobody = await asyncio.gather(
            listed(tmp_path, **known, DEVICES="attic"),
            listed(tmp_path, "--json", **known, DEVICES="attic"),
            listed(tmp_path, "lamp", **known),
            listed(tmp_path, "nobody", "--json", **known),
        )
    for done in (table, document, one, nobody):
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("otaflux: the registry could not be asked: cannot connect to ")
        assert (
            "Is it running, and does a firewall let this machine through? Is REGISTRY_URL" in line
        )
    rows = [line.split()[:3] for line in table.stdout.splitlines()[1:]]
    assert rows == [
        ["attic", "-", "unknown"],
        ["door", "2.0.0", "current"],
        ["lamp", "1.1.0", "unusable"],
        ["lamp", "1.0.0", "current"],
    ]
    assert [line.split()[1] for line in one.stdout.splitlines()[1:]] == ["1.1.0", "1.0.0"]
    assert "(this is what DATA_DIR knows)" in one.stderr
    told = json.loads(document.stdout)
    assert states(told) == {
        "attic": {},
        "door": {"2.0.0": "current"},
        "lamp": {"1.1.0": "unusable", "1.0.0": "current"},
    }
    assert told["problem"].startswith("the registry could not be asked: ")
    assert {shelf["problem"] for shelf in told["devices"]} == {told["problem"]}
    assert states(json.loads(nobody.stdout)) == {"nobody": {}}
    assert "(DATA_DIR knows nothing of it)" in nobody.stderr


async def test_current_is_what_polls_are_told_that_name_no_channel(tmp_path: Path) -> None:
    """With DEFAULT_CHANNEL the stable release is current for who names the stable channel."""
    async with FakeRegistry() as registry:
        known = settings(registry, tmp_path) | {"CHANNELS": "beta", "DEFAULT_CHANNEL": "beta"}
        registry.content.put("acme/lamp", "1.0.0", layers=[b"lamp"])
        registry.content.put("acme/lamp", "2.0.0-beta.1", layers=[b"beta"])
        await served(tmp_path, ("lamp", "2.0.0-beta.1"), **known)
        done = await listed(tmp_path, "lamp", **known)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[1:4] for line in done.stdout.splitlines()[1:]]
    assert rows == [["2.0.0-beta.1", "current", "4"], ["1.0.0", "current", "(stable)"]]


async def test_a_device_that_cannot_be_asked_about_keeps_none_of_the_others_away(
    tmp_path: Path,
) -> None:
    """Its known releases and a line for it; the others are told as ever."""
    async with FakeRegistry() as registry:
        known = settings(registry, tmp_path)
        for device in ("door", "lamp"):
            registry.content.put(f"acme/{device}", "1.0.0", layers=[device.encode()])
        await served(tmp_path, ("door", "1.0.0"), ("lamp", "1.0.0"), **known)
        for device in ("door", "lamp"):
            registry.content.put(f"acme/{device}", "1.1.0", layers=[b"newer " + device.encode()])
        registry.fail("tags", Status(403), times=None, when=lambda s: s.repository == "acme/door")
        everything = await listed(tmp_path, "--json", **known)
        unknown = await listed(tmp_path, "door", **known | {"DATA_DIR": str(tmp_path / "other")})
    assert everything.returncode == 1
    (line,) = everything.stderr.splitlines()
    assert line.startswith("otaflux: door: its tags could not be read: ")
    document = json.loads(everything.stdout)
    assert document["problem"] == ""
    assert [bool(shelf["problem"]) for shelf in document["devices"]] == [True, False]
    assert states(document) == {
        "door": {"1.0.0": "current"},
        "lamp": {"1.1.0": "not tried", "1.0.0": "current"},
    }
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("otaflux: door: its tags could not be read: ")


async def test_a_list_of_devices_that_cannot_be_read_leaves_those_that_are_known(
    tmp_path: Path,
) -> None:
    """DEVICES and DATA_DIR name devices too, and their tags are asked for."""
    async with FakeRegistry() as registry:
        known = settings(registry, tmp_path)
        registry.content.put("acme/lamp", "1.0.0", layers=[b"lamp"])
        registry.content.put("acme/door", "1.0.0", layers=[b"door"])
        registry.fail("catalog", Page(), times=None)
        done = await listed(tmp_path, "--json", **known, DEVICES="lamp")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("otaflux: the list of devices could not be read: ")
    assert states(json.loads(done.stdout)) == {"lamp": {"1.0.0": "not tried"}}


async def test_a_tag_that_moved_to_no_manifest_is_a_warning(tmp_path: Path) -> None:
    """The old bytes stand, and the list says why, with the registry and without it."""
    async with FakeRegistry() as registry:
        known = settings(registry, tmp_path)
        registry.content.put("acme/lamp", "1.0.0", layers=[b"lamp"])

        def run() -> None:
            with server(tmp_path, **known, RECHECK_INTERVAL="0.2", LOG_LEVEL="debug") as running:
                running.told("lamp", "1.0.0")
                registry.content.put_raw("acme/lamp", "1.0.0", b'{"schemaVersion": 7}')
                refused(running)

        await asyncio.to_thread(run)
        done = await listed(tmp_path, "lamp", "--json", **known)
        registry.fail("tags", Status(403), times=None)
        unasked = await listed(tmp_path, "lamp", "--json", **known)
    assert (done.returncode, done.stderr) == (0, "")
    for document in (json.loads(done.stdout), json.loads(unasked.stdout)):
        (shelf,) = document["devices"]
        (row,) = shelf["releases"]
        assert row["state"] == "current"
        (warning,) = row["warnings"]
        assert "its tag moved; these are still the bytes of before" in warning
        assert "unusable: " in warning


async def test_devices_that_the_settings_do_not_serve_are_not_listed(tmp_path: Path) -> None:
    """With credentials and no prefix only DEVICES are, whatever DATA_DIR knew before."""
    async with FakeRegistry(auth="basic") as registry:
        login = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "s3cret"}
        known = {"REGISTRY_URL": registry.url, "DATA_DIR": str(tmp_path / "data"), **login}
        for device in ("door", "lamp"):
            registry.content.put(device, "1.0.0", layers=[device.encode()])
        both = {"DEVICES": "door lamp"}
        await served(tmp_path, ("door", "1.0.0"), ("lamp", "1.0.0"), **known, **both)
        done = await listed(tmp_path, "--json", **known, DEVICES="lamp")
        other = await listed(tmp_path, "door", **known, DEVICES="lamp")
    assert (done.returncode, done.stderr) == (0, "")
    assert states(json.loads(done.stdout)) == {"lamp": {"1.0.0": "current"}}
    assert other.returncode == 2
    assert "not in DEVICES" in other.stderr


async def test_a_device_without_releases_is_json_too(tmp_path: Path) -> None:
    """A program gets its document, also where the answer is that there is nothing."""
    async with FakeRegistry() as registry:
        done = await listed(tmp_path, "nobody", "--json", **settings(registry, tmp_path))
    assert done.returncode == 1
    assert states(json.loads(done.stdout)) == {"nobody": {}}
    assert done.stderr.startswith("otaflux: No releases of device 'nobody'")


async def test_with_nothing_to_list_it_says_why(tmp_path: Path) -> None:
    """Rights that are missing are an error; a registry that is new is none."""
    async with FakeRegistry(auth="basic") as registry:
        mine = settings(registry, tmp_path)
        login = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "wrong"}
        wrong = await listed(tmp_path, **mine, **login)
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "REGISTRY_PASSWORD" in wrong.stderr
        login["REGISTRY_PASSWORD"] = "s3cret"
        empty = await listed(tmp_path, **mine, **login)
        assert (empty.returncode, empty.stdout) == (0, "")
        assert "there are no devices yet" in empty.stderr
        registry.fail("catalog", Status(401, code="UNAUTHORIZED"), times=None)
        unlisted = await listed(tmp_path, **mine, **login)
        assert (unlisted.returncode, unlisted.stdout) == (1, "")
        assert "DEVICES" in unlisted.stderr
        assert unlisted.stderr.count("\n") == 1


async def test_how_many_are_asked_at_once_is_a_setting(tmp_path: Path) -> None:
    """It is read, and a wrong value is refused as everywhere."""
    done = await listed(tmp_path, REGISTRY_CONCURRENCY="none")
    assert done.returncode == 2
    assert done.stderr.startswith("otaflux: REGISTRY_CONCURRENCY: ")


def test_the_folder_is_called_the_folder(tmp_path: Path) -> None:
    """A release that was taken back, and one that moved, are told in the words of the folder."""
    known = {"DATA_DIR": str(tmp_path / "data")}
    build = tmp_path / "build.bin"

    def pushed(tag: str, content: bytes, *flags: str) -> None:
        build.write_bytes(content)
        done = otaflux("push", f"lamp:{tag}", "build.bin", *flags, cwd=tmp_path, **known)
        assert done.returncode == 0, done.stderr

    pushed("1.0.0", b"one")
    pushed("2.0.0", b"two")
    with server(tmp_path, CHANNELS="beta") as running:
        running.told("lamp", "2.0.0")
        otaflux("delete", "lamp:2.0.0", "--yes", cwd=tmp_path, **known)
        running.told("lamp", "1.0.0")
        pushed("1.0.0", b"other", "--force")
        deadline = time.monotonic() + PATIENCE
        while running.get("/firmware?device=lamp").body != b"other":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        table = running.run("list").stdout
    current, withdrawn = table.splitlines()[1:]
    assert withdrawn.split(maxsplit=4)[2:] == [
        "withdrawn", "3", "its tag is gone from the embedded folder",
    ]  # fmt: skip
    assert current.split()[2:4] == ["current", "5"], "for stable and beta alike, so no channel"
    assert current.count("moved") == 1


def test_the_tags_of_signatures_are_no_releases(tmp_path: Path) -> None:
    """What cosign and referrers are kept under is not listed among what is ignored."""
    (tmp_path / "build.bin").write_bytes(b"one")
    for tag in ("1.0.0", f"sha256-{'0' * 64}.sig", f"sha256-{'0' * 64}", "latest"):
        otaflux("push", f"lamp:{tag}", "build.bin", "--any-tag", cwd=tmp_path)
    table = otaflux("list", cwd=tmp_path).stdout
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["1.0.0", "latest"]


def test_the_catalog_of_another_registry_is_told(tmp_path: Path) -> None:
    """Without the server's settings a list of its folder would be empty, and not say why."""
    (tmp_path / "build.bin").write_bytes(b"one")
    with server(tmp_path) as running:
        assert running.run("push", "lamp:1.0.0", "build.bin").returncode == 0
        running.told("lamp", "1.0.0")
    mine = {"DATA_DIR": str(tmp_path / "data")}
    done = otaflux("list", cwd=tmp_path, REGISTRY_URL="http://127.0.0.1:1", **mine)
    assert "is of the embedded folder, and http://127.0.0.1:1 is asked here" in done.stderr
    assert "server's settings" in done.stderr
    assert "is asked here" not in otaflux("list", cwd=tmp_path, **mine).stderr


async def test_why_each_of_many_is_not_served_is_said_or_that_it_was_not_asked(
    tmp_path: Path,
) -> None:
    """What a server tries comes first, and pre-releases that nobody is told cost no request."""
    keys = tmp_path / "keys.pem"
    keys.write_text(public("a"))
    async with FakeRegistry() as registry:
        shop = Shop("acme/lamp", registry.content)
        shop.sign(shop.push("1.0.0", b"told"))
        for number in range(60):
            shop.push(f"1.1.{number}", b"unsigned %d" % number)
            shop.push(f"2.0.0-nightly.{number}", b"a night's work")
        signed = {**settings(registry, tmp_path), "COSIGN_PUB_KEY_PATH": str(keys)}
        done = await listed(tmp_path, "lamp", "--json", **signed)
        (shelf,) = json.loads(done.stdout)["devices"]
        rows = {row["tag"]: row for row in shelf["releases"]}
        assert {rows[f"1.1.{number}"]["state"] for number in range(10, 60)} == {"unsigned"}
        for tag in ("1.1.9", "1.1.0"):
            assert rows[tag]["state"] == "not tried"
            assert f"otaflux verify lamp:{tag}" in rows[tag]["reason"]
        assert rows["2.0.0-nightly.59"]["state"] == "pre-release"
        assert not [seen for seen in registry.seen("manifest") if "nightly" in seen.path]


async def test_what_could_not_be_asked_about_a_version_is_said(tmp_path: Path) -> None:
    """A registry that errs over signatures says neither signed nor unsigned."""
    keys = tmp_path / "keys.pem"
    keys.write_text(public("a"))
    async with FakeRegistry() as registry:
        Shop("acme/lamp", registry.content).push("1.0.0", b"who knows")
        registry.fail("referrers", Status(403), times=None)
        signed = {**settings(registry, tmp_path), "COSIGN_PUB_KEY_PATH": str(keys)}
        done = await listed(tmp_path, "lamp", "--json", **signed)
    ((row,),) = (shelf["releases"] for shelf in json.loads(done.stdout)["devices"])
    assert row["state"] == "not tried"
    assert "could not be learnt" in row["reason"]
    assert "403" in row["reason"]


async def test_a_manifest_that_cannot_be_used_is_refused_with_its_reason(tmp_path: Path) -> None:
    """Before a server ever looked at it, and not only where a policy of the registry withholds."""
    async with FakeRegistry() as registry:
        registry.content.put("acme/lamp", "1.1.0", layers=[b"lamp"])
        registry.content.put_raw("acme/lamp", "1.0.0", b'{"schemaVersion": 7}')
        done = await listed(tmp_path, "lamp", "--json", **settings(registry, tmp_path))
    ((high, low),) = (shelf["releases"] for shelf in json.loads(done.stdout)["devices"])
    assert (high["state"], low["state"]) == ("not tried", "unusable")
    assert low["reason"]


def test_what_is_told_on_and_what_is_too_low_is_said() -> None:
    """With `DOWNGRADES=never` devices are told what its registry has no more, and nothing lower."""
    told = release("2.0.0", b"told")
    standing = Standing(told, 1_790_000_000.0, withdrawn=True)
    record = Record(told.device, "here", channels={STABLE: standing}, floors={STABLE: told.tag})
    seen = Seen(Listing((Tag("1.0.0"),)))
    high, low = shelf_of(record, seen, (), "now", where="registry").releases
    assert (high.tag, high.state) == ("2.0.0", "current")
    assert high.warnings == (
        "withdrawn, told on because DOWNGRADES=never: its tag is gone from the registry",
    )
    assert (low.tag, low.state) == ("1.0.0", "older")
    assert "DOWNGRADES=never" in low.reason


def test_a_tag_that_came_back_is_not_called_gone() -> None:
    """What was withdrawn is told until its tag is there again, which then has one row."""
    left = release("1.1.0", b"left")
    retired = (Retired(left, 1_790_000_000.0, withdrawn=True),)
    record = Record(left.device, "here", retired=retired)
    no_tags: tuple[Tag, ...] = ()
    for tags, states in ((no_tags, ["withdrawn"]), ((Tag("1.1.0"),), ["not tried"])):
        shelf = shelf_of(record, Seen(Listing(tags)), (), "now", where="registry")
        assert [row.state for row in shelf.releases] == states


def test_what_is_known_of_an_older_version_is_said() -> None:
    """That its signature is not trusted any more or could not be asked about, or what it lacked."""
    told, left = release("2.0.0", b"told"), release("1.1.0", b"left")
    standing = Standing(told, 1_790_000_000.0)
    retired = (Retired(left, 1_790_000_000.0, unsigned=True),)
    record = Record(
        told.device,
        "here",
        channels={STABLE: standing},
        retired=retired,
        verdicts=(Verdict(Tag("1.0.2"), told.manifest_digest, "it is too large", "before"),),
    )
    tags = tuple(Tag(text) for text in ("2.0.0", "1.1.0", "1.0.2", "1.0.1", "1.0.0"))
    seen = Seen(Listing(tags), unclear={Tag("1.0.1"): "HTTP 403"})
    _, *older = shelf_of(record, seen, (), "now", where="registry").releases
    lapsed, large, unclear, plain = older
    assert {each.state for each in older} == {"older"}
    assert large.reason == "refused before, by other limits or another OtaFlux: it is too large"
    assert "no signature of it that it trusts any more" in lapsed.reason
    assert unclear.reason == "whether it is signed could not be learnt: HTTP 403"
    assert not plain.reason
