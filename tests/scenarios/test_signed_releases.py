"""What becomes of signed releases in a whole server: kept, bound, withdrawn, and in the folder."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_content import Layer
from fake_registry import FakeRegistry
from layout_files import INDEX, MANIFEST, LayoutFiles
from live_log import logged
from programs import PATIENCE, Server, free_port, server
from real_registry import Notify, RealRegistry, docker_registry
from signed_content import BUNDLE, SIMPLE, Shop, bundle, public, simple

from otaflux.model.artifact import Digest

SECRET = "s3cret-of-the-hooks"
VERSION = "org.opencontainers.image.version"


def bound(device: str, version: str) -> dict[str, str]:
    """The annotations of a manifest that says for what it is, as `otaflux push` writes them."""
    return {"io.otaflux.device": device, VERSION: version}


def until(what: Callable[[], bool], *, within: float = PATIENCE) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pinned(running: Server, device: str, version: str) -> int:
    """The status of a poll for one version."""
    return running.get(f"/version?device={device}&version={version}").status


class Folder:
    """One device of the embedded folder, and who signs there by hand."""

    def __init__(self, folder: Path) -> None:
        self.files = LayoutFiles(folder)

    def attach(self, subject: str, by: str, *, in_list: bool = False) -> None:
        """A bundle with a subject; or one that only the fallback tag's list names."""
        digest = subject.partition(":")[2]
        layer = self.files.blob(bundle(digest, by), BUNDLE)
        about = {"mediaType": MANIFEST, "digest": subject, "size": 1}
        document = {
            "mediaType": MANIFEST,
            "config": self.files.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [layer],
            "subject": about,
        }
        attached = self.files.document(document)
        if in_list:
            self.files.entries.pop()
            listed = {"mediaType": INDEX, "manifests": [attached]}
            self.files.document(listed, tag=f"sha256-{digest}")

    def sign_old(self, subject: str, by: str) -> None:
        """The tag of the old layout."""
        layer = simple(subject, by)
        stored = {**self.files.blob(layer.content, SIMPLE), "annotations": dict(layer.annotations)}
        config = self.files.blob(b"{}", "application/vnd.oci.image.config.v1+json")
        document = {"mediaType": MANIFEST, "config": config, "layers": [stored]}
        self.files.document(document, tag=f"{subject.replace(':', '-')}.sig")


def test_signatures_in_the_embedded_folder_count(tmp_path: Path) -> None:
    """In both layouts, by subject and by list, as others write them; and no more once they go."""
    keys, folders, digests = tmp_path / "keys.pem", {}, {}
    keys.write_text(public("a"))
    for name in ("subject", "listed", "old", "theirs"):
        folders[name] = Folder(tmp_path / "data" / "registry" / name)
        digests[name] = folders[name].files.artifact([name.encode()], tag="1.0.0")
    folders["subject"].attach(digests["subject"], "a")
    folders["listed"].attach(digests["listed"], "a", in_list=True)
    folders["theirs"].attach(digests["theirs"], "b")
    with server(tmp_path, COSIGN_PUB_KEY_PATH=str(keys)) as running:
        for name in ("subject", "listed"):
            running.told(name, "1.0.0")
        refused = logged(running, "release_refused", number=2)
        assert {line["device"] for line in refused} == {"old", "theirs"}
        folders["old"].sign_old(digests["old"], "a")
        files = folders["subject"].files
        files.entries = [x for x in files.entries if x["digest"] == digests["subject"]]
        files.write()
        running.told("old", "1.0.0")
        until(lambda: running.get("/version?device=subject").status == 404)
        assert logged(running, "signature_lapsed", device="subject")


def hook(running: Server, device: str, **said: str) -> None:
    """Tell of something in a repository below `acme`."""
    body = json.dumps({"repository": f"acme/{device}", **said}).encode()
    assert running.hook(body, secret=SECRET).status == 202


def settings(registry: FakeRegistry | RealRegistry, keys: Path, **more: str) -> dict[str, str]:
    """Of a server that asks for signatures and looks when a hook says so."""
    return {
        "REGISTRY_URL": registry.url,
        "REPOSITORY_PREFIX": "acme",
        "COSIGN_PUB_KEY_PATH": str(keys),
        "WEBHOOK_SECRET": SECRET,
        "RECHECK_INTERVAL": "3600",
        **more,
    }


async def test_releases_are_for_the_tag_and_device_that_they_name_and_kept_while_they_are_signed(
    tmp_path: Path,
) -> None:
    """With `REQUIRE_BOUND_TAG`: an old signed image does not come back under a higher tag."""
    keys = tmp_path / "keys.pem"
    keys.write_text(public("a"))
    async with FakeRegistry() as registry:
        lamp, plain = (Shop(f"acme/{name}", registry.content) for name in ("lamp", "plain"))
        plain.sign(plain.push("1.0.0", b"names nothing"))
        first = lamp.push("1.0.0", b"one", bound("lamp", "1.0.0"))
        signature = lamp.sign(first)

        def next_one(version: str) -> Digest:
            digest = lamp.push(version, version.encode(), bound("lamp", version))
            lamp.sign(digest)
            return digest

        def refused(running: Server, tag: str) -> str:
            return str(logged(running, "release_refused", device="lamp", tag=tag)[-1]["reason"])

        def run() -> None:
            more = settings(registry, keys, REQUIRE_BOUND_TAG="true", KEEP_VERSIONS="2")
            with server(tmp_path, **more) as running:
                running.told("lamp", "1.0.0")
                (line,) = logged(running, "release_refused", device="plain")
                assert "REQUIRE_BOUND_TAG" in line["reason"]
                second = next_one("2.0.0")
                hook(running, "lamp", tag="2.0.0")
                running.told("lamp", "2.0.0")
                registry.content.tag("acme/lamp", "9.0.0", first)
                hook(running, "lamp", tag="9.0.0")
                assert "signed for another version" in refused(running, "9.0.0")
                assert pinned(running, "lamp", "1.0.0") == 200
                lamp.detach(first, signature)
                hook(running, "lamp", action="delete", digest=str(signature))
                until(lambda: pinned(running, "lamp", "1.0.0") == 404)
                assert logged(running, "signature_lapsed", tag="1.0.0")
                next_one("3.0.0")
                hook(running, "lamp", tag="3.0.0")
                running.told("lamp", "3.0.0")
                assert pinned(running, "lamp", "2.0.0") == 200
                lamp.push("2.0.0", b"unsigned bytes", bound("lamp", "2.0.0"))
                hook(running, "lamp", tag="2.0.0")
                until(lambda: pinned(running, "lamp", "2.0.0") == 404)
                registry.content.tag("acme/lamp", "2.0.0", second)
                assert running.told("lamp", "3.0.0")

        await asyncio.to_thread(run)


async def _signed_late(real: RealRegistry, device: str, digest: Digest, *, old: bool) -> Digest:
    """Sign what lies in a real registry; returns the signature's manifest."""
    repository = f"acme/{device}"
    if old:
        layer, config = (
            simple(str(digest), "a"),
            ("application/vnd.oci.image.config.v1+json", b"{}"),
        )
        tag = f"sha256-{digest.hex}.sig"
        return await real.put(repository, tag, layers=[layer], config=config)
    made = Layer(bundle(digest.hex, "a"), media_type=BUNDLE)
    attached = await real.put(repository, None, layers=[made], artifact_type=BUNDLE, subject=digest)
    await real.put_index(repository, f"sha256-{digest.hex}", [attached])
    return attached


@pytest.mark.real("docker-registry")
async def test_signatures_at_a_real_registry_come_and_go_with_hooks_and_come_without(
    tmp_path: Path,
) -> None:
    """Current within a second of the signature's hook, or by itself, and gone at its deletion.

    docker-registry tells of a bundle before it moves the tag of the list that names it.
    """
    keys, free = tmp_path / "keys.pem", free_port()
    keys.write_text(public("a"))
    told = Notify(f"http://127.0.0.1:{free}/hooks/registry", {"Authorization": SECRET})
    for name in ("hooked", "alone"):
        (tmp_path / name).mkdir()
    async with docker_registry(tmp_path, notify=[told]) as real:
        digests = {
            device: await real.put(f"acme/{device}", "1.0.0", layers=[device.encode()])
            for device in ("old", "new")
        }
        names = settings(real, keys, DEVICES="old new")
        hooked = {**names, "LISTEN_ADDR": f"127.0.0.1:{free}"}
        with (
            server(tmp_path / "hooked", **hooked) as near,
            server(tmp_path / "alone", **names) as far,
        ):
            for running in (near, far):
                await asyncio.to_thread(logged, running, "release_refused", number=2)
            signatures = {}
            for device, digest in digests.items():
                signatures[device] = await _signed_late(real, device, digest, old=device == "old")
                await asyncio.to_thread(near.told, device, "1.0.0", within=1.0)
            for device in digests:
                await asyncio.to_thread(far.told, device, "1.0.0", within=8.0)
            for device in digests:
                await real.delete(f"acme/{device}", signatures[device])
                gone = f"/version?device={device}"
                await asyncio.to_thread(until, lambda gone=gone: near.get(gone).status == 404)
