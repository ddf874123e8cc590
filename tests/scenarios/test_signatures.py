"""Only what was signed is told: the whole program, with signatures by cosign and by other keys."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from fake_registry import FakeRegistry
from live_log import logged
from programs import PATIENCE, Server, server
from signature_cases import ASSETS, CASES, SignedCase
from signed_content import Shop, fingerprint, public, put_case
from small_sigstore import SmallSigstore, statement

SECRET = "s3cret-of-the-hooks"
TOLD = {
    "both-layouts": "1.0.0",
    "v2-key-p384": "1.0.0",
    "v2-signed-index": "2.0.0",
    "v2-valid": "1.0.0",
    "v3-copied-from": "1.0.0",
    "v3-valid": "1.0.0",
}
WHY_NOT = {
    "v2-wrong-key": "not trusted here",
    "v3-attestation-only": "attestation",
    "v3-copied-device": "signed for another device",
    "v3-removed": "it has no signature",
    "v3-signed-child": "only its child",
}


def rows(running: Server, device: str = "") -> dict[str, dict[str, dict[str, Any]]]:
    """What `list` says of each device's tags."""
    listed = running.run("list", "--json", *([device] if device else []))
    found = json.loads(listed.stdout)["devices"]
    return {shelf["device"]: {row["tag"]: row for row in shelf["releases"]} for shelf in found}


@pytest.mark.parametrize("referrers", [True, False], ids=["api", "tag"])
async def test_of_what_cosign_made_only_what_is_signed_is_told(
    tmp_path: Path, referrers: bool
) -> None:
    """Each of the others has its own reason in `list`; by the API and by the fallback tag."""
    keys = tmp_path / "keys.pem"
    keys.write_bytes(b"".join((ASSETS / "keys" / f"{k}.pub").read_bytes() for k in ("a", "p384")))
    async with FakeRegistry(referrers=referrers) as registry:
        for name in CASES:
            put_case(registry.content, SignedCase(name))
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "fw",
            "COSIGN_PUB_KEY_PATH": str(keys),
        }

        def run() -> None:
            with server(tmp_path, **settings) as running:
                for device, version in TOLD.items():
                    running.told(device, version)
                listed = rows(running)
                for device, why in WHY_NOT.items():
                    assert running.get(f"/version?device={device}").status == 404
                    tag = "2.0.0" if device == "v3-signed-child" else "1.0.0"
                    row = listed[device][tag]
                    assert row["state"] == "unsigned", row
                    assert why in row["reason"]
                for device, version in TOLD.items():
                    assert listed[device][version]["signed_by"].startswith("sha256:")
                published = logged(running, "release_published")
                assert {line["device"] for line in published} == set(TOLD)
                assert all(line["signed_by"].startswith("sha256:") for line in published)
                refused = {line["device"] for line in logged(running, "release_refused")}
                assert refused == set(WHY_NOT)
                pulled = running.run("pull", "v2-wrong-key:1.0.0", "-o", tmp_path / "out")
                assert pulled.returncode == 1
                assert WHY_NOT["v2-wrong-key"] in pulled.stderr
                pulled = running.run("pull", "v3-valid:1.0.0", "-o", tmp_path / "out")
                assert pulled.returncode == 0, pulled.stderr

        await asyncio.to_thread(run)


def _begun(running: Server, target: str) -> socket.socket:
    """A download by a slow client, who read nothing of it yet."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect((host, int(port)))
    client.settimeout(PATIENCE)
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def _rest(client: socket.socket, got: bytes) -> bytes:
    """The body of an answer, of which the beginning was read."""
    while piece := client.recv(1 << 20):
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return body


async def test_keys_are_replaced_on_a_running_server_without_a_gap(tmp_path: Path) -> None:
    """A, then A and B, then B: what only A signed goes, and the log says so before it goes.

    Whoever has taken half of it gets the other half, and nobody else gets any.
    """
    firmware = random.Random(1).randbytes(9_000_000)
    keys = tmp_path / "keys.pem"
    keys.write_text(public("a"))
    async with FakeRegistry() as registry:
        both, only_a, only_b = (
            Shop(f"acme/{name}", registry.content) for name in ("both", "only-a", "only-b")
        )
        for shop, by in ((both, "ab"), (only_a, "a"), (only_b, "b")):
            digest = shop.push("1.0.0", firmware if shop is only_a else shop.repository.encode())
            for name in by:
                shop.sign(digest, name)
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "COSIGN_PUB_KEY_PATH": str(keys),
            "RECHECK_INTERVAL": "3600",
        }

        def run() -> None:
            with server(tmp_path, **settings) as running:
                running.told("both", "1.0.0")
                running.told("only-a", "1.0.0")
                assert running.get("/version?device=only-b").status == 404
                keys.write_text(public("a", "b"))
                running.told("only-b", "1.0.0", within=5)
                half = _begun(running, "/firmware?device=only-a")
                got = half.recv(1000)
                keys.write_text(public("b"))
                polls = 0
                while running.get("/version?device=only-a").status == 200:
                    assert running.get("/version?device=both").status == 200
                    polls += 1
                    assert polls < 5000
                assert running.get("/firmware?device=only-a").status == 404
                with half:
                    assert _rest(half, got) == firmware
                said = [line for line in running.log() if line["event"] == "signature_lapsed"]
                assert [line["device"] for line in said] == ["only-a"]
                for device in ("both", "only-b"):
                    assert running.get(f"/version?device={device}").status == 200
                (row,) = rows(running, "both")["both"].values()
                assert row["signed_by"] == fingerprint("b")

        await asyncio.to_thread(run)


async def test_a_signature_that_comes_late_is_taken_at_its_hook_and_one_that_goes_counts_no_more(
    tmp_path: Path,
) -> None:
    """Unsigned bytes under a signed tag change nothing; a re-check asks for no signature anew."""
    keys = tmp_path / "keys.pem"
    keys.write_text(public("a"))
    async with FakeRegistry(referrers=False) as registry:
        shop = Shop("acme/lamp", registry.content, referrers=False)
        first = shop.push("1.0.0", b"one")
        shop.sign_old(first)
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "COSIGN_PUB_KEY_PATH": str(keys),
            "WEBHOOK_SECRET": SECRET,
            "RECHECK_INTERVAL": "3600",
        }

        def hook(running: Server, **said: str) -> None:
            body = json.dumps({"repository": "acme/lamp", **said}).encode()
            assert running.hook(body, secret=SECRET).status == 202

        def run() -> None:
            with server(tmp_path, **settings) as running:
                running.told("lamp", "1.0.0")
                second = shop.push("2.0.0", b"two")
                hook(running, tag="2.0.0")
                while not logged(running, "release_refused"):
                    time.sleep(0.02)
                assert running.told("lamp", "1.0.0")
                assert not [each for each in registry.seen("blob") if second.hex in each.path]
                attached = shop.sign(second)
                hook(running, digest=str(attached))
                running.told("lamp", "2.0.0", within=1.0)
                shop.push("2.0.0", b"unsigned bytes under a signed tag")
                hook(running, tag="2.0.0")
                while len(logged(running, "release_refused")) < 2:
                    time.sleep(0.02)
                assert running.get("/firmware?device=lamp").body == b"two"
                registry.content.tag("acme/lamp", "2.0.0", second)
                shop.detach(second, attached)
                hook(running, action="delete", digest=str(attached))
                running.told("lamp", "1.0.0")
                (lapsed,) = logged(running, "signature_lapsed")
                assert (lapsed["tag"], lapsed["reason"]) == ("2.0.0", "it has no signature")
                old = f"sha256-{first.hex}.sig"
                del registry.content.repository("acme/lamp").tags[old]
                hook(running, action="delete", tag=old)  # some registries name the tag alone
                while running.get("/version?device=lamp").status != 404:
                    time.sleep(0.02)
                assert logged(running, "signature_lapsed", tag="1.0.0")

        await asyncio.to_thread(run)


async def test_identities_may_sign_in_both_layouts(tmp_path: Path) -> None:
    """A certificate of who is trusted is enough, and one of somebody else's has its reason."""
    sigstore, root = SmallSigstore(), tmp_path / "root.json"
    root.write_bytes(sigstore.trusted_root)
    ours, theirs = "https://ci.example/lamp@refs/tags/v1", "https://ci.example/evil"
    async with FakeRegistry() as registry:
        for device, by, is_old in (
            ("new", ours, False),
            ("old", ours, True),
            ("new-theirs", theirs, False),
            ("old-theirs", theirs, True),
        ):
            shop = Shop(f"acme/{device}", registry.content)
            digest = shop.push("1.0.0", device.encode())
            if is_old:
                shop.attach_old(digest, sigstore.old(digest, identity=by))
            else:
                shop.attach(digest, sigstore.bundle(statement(digest), identity=by))
        settings = {
            "REGISTRY_URL": registry.url,
            "REPOSITORY_PREFIX": "acme",
            "COSIGN_IDENTITY": "/https://ci\\.example/lamp@refs/tags/.*/",
            "COSIGN_ISSUER": "https://ci.example",
            "SIGSTORE_TRUSTED_ROOT_PATH": str(root),
        }

        def run() -> None:
            with server(tmp_path, **settings) as running:
                for device in ("new", "old"):
                    running.told(device, "1.0.0")
                published = logged(running, "release_published", number=2)
                assert {line["signed_by"] for line in published} == {
                    f"{ours} (issuer https://ci.example)"
                }
                refused = logged(running, "release_refused", number=2)
                assert {line["device"] for line in refused} == {"new-theirs", "old-theirs"}
                assert all("evil', who is not trusted" in line["reason"] for line in refused)

        await asyncio.to_thread(run)


async def test_after_a_restart_only_what_the_keys_of_now_proved_is_told(tmp_path: Path) -> None:
    """With the registry away: nothing from before there were keys, nor what others signed."""
    keys = tmp_path / "keys.pem"
    async with FakeRegistry() as registry:
        shop = Shop("acme/lamp", registry.content)
        shop.sign(shop.push("1.0.0", b"one"))
        settings = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}
        signed = {**settings, "COSIGN_PUB_KEY_PATH": str(keys)}

        def status(of: dict[str, str]) -> int:
            with server(tmp_path, **of) as running:
                return running.get("/version?device=lamp").status

        def run(of: dict[str, str]) -> None:
            with server(tmp_path, **of) as running:
                running.told("lamp", "1.0.0")

        await asyncio.to_thread(run, settings)
        await registry.stop()
        keys.write_text(public("a"))
        assert await asyncio.to_thread(status, signed) == 503
        await registry.start()
        await asyncio.to_thread(run, signed)
        await registry.stop()
        assert await asyncio.to_thread(status, signed) == 200
        keys.write_text(public("b"))
        assert await asyncio.to_thread(status, signed) == 503
        keys.write_text(public("b", "a"))
        assert await asyncio.to_thread(status, signed) == 200
