"""`otaflux push`: what it publishes, refuses, and warns of."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import pty
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from fake_registry import FakeRegistry
from private_keys import EC, cosigns
from private_keys import PASSWORD as OPENS
from programs import PROGRAM, environment, otaflux
from real_registry import PASSWORD, USER, docker_registry
from signed_content import public

from otaflux.model.artifact import DEVICE, OCI_INDEX, VERSION

FIRMWARE = b"firmware " * 2000
BUNDLES = Path(__file__).parent.parent / "unpack" / "bundles"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A file to push."""
    path = tmp_path / "build.bin"
    path.write_bytes(FIRMWARE)
    return path


def tarred(files: dict[str, bytes]) -> bytes:
    """A tar of these."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return into.getvalue()


def push(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Push into the embedded folder."""
    return otaflux("push", *arguments, cwd=folder)


def manifest(folder: Path, device: str, digest: str) -> dict[str, Any]:
    """A manifest of the embedded folder, as any other tool reads it."""
    blobs = folder / "otaflux-data" / "registry" / device / "blobs" / "sha256"
    return dict(json.loads((blobs / digest.strip().removeprefix("sha256:")).read_text()))


def esp_image(version: str, chip: int = 0) -> bytes:
    """The head of an ESP32 application image (ESP-IDF, esp_app_format.h), and some content."""
    header = bytes([0xE9, 1, 2, 0x20]) + bytes(8) + chip.to_bytes(2, "little") + bytes(10)
    segment = bytes(8)
    description = (0xABCD5432).to_bytes(4, "little") + bytes(12)
    description += version.encode().ljust(32, b"\0") + b"lamp".ljust(32, b"\0")
    return header + segment + description.ljust(256, b"\0") + bytes(4096)


def test_a_push_prints_the_digest_and_can_be_repeated(tmp_path: Path, build: Path) -> None:
    """The same file under the same tag changes nothing and prints the same digest."""
    first, second = (push(tmp_path, "acme/lamp:v1.0.0", "build.bin") for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.startswith("sha256:")
    assert second.stdout == first.stdout
    annotations = manifest(tmp_path, "acme/lamp", first.stdout)["annotations"]
    assert annotations == {VERSION: "1.0.0", DEVICE: "acme/lamp"}
    index = tmp_path / "otaflux-data" / "registry" / "acme/lamp" / "index.json"
    document = json.loads(index.read_text())
    assert document["mediaType"] == OCI_INDEX
    assert len(document["manifests"]) == 1


@pytest.mark.parametrize("tag", ["latest", "1.2", "2025.08.01"])
def test_a_tag_that_is_no_version_is_refused(tmp_path: Path, build: Path, tag: str) -> None:
    """No device would be told it; --any-tag pushes it all the same."""
    done = push(tmp_path, f"lamp:{tag}", "build.bin")
    assert done.returncode == 2
    assert "no version" in done.stderr
    assert "meant" in done.stderr or tag == "latest"
    assert not (tmp_path / "otaflux-data").exists()
    assert push(tmp_path, f"lamp:{tag}", "build.bin", "--any-tag").returncode == 0


def test_a_taken_tag_is_refused(tmp_path: Path, build: Path) -> None:
    """Other bytes under a tag that is there need --force."""
    push(tmp_path, "lamp:1.0.0", "build.bin")
    build.write_bytes(b"other")
    done = push(tmp_path, "lamp:1.0.0", "build.bin")
    assert done.returncode == 2
    assert "taken by other bytes" in done.stderr
    assert "--force" in done.stderr
    assert push(tmp_path, "lamp:1.0.0", "build.bin", "--force").returncode == 0


async def test_a_tag_with_the_same_bytes_says_what_differs(tmp_path: Path, build: Path) -> None:
    """Another file name makes another manifest, in the folder and at a registry alike."""
    (tmp_path / "other.bin").write_bytes(FIRMWARE)
    async with FakeRegistry() as registry:
        for settings in ({}, {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme"}):
            for arguments, code, words in (
                (["build.bin"], 0, ""),
                (["other.bin"], 2, "the file is called 'build.bin' there and 'other.bin' here"),
                (["build.bin", "--revision", "a"], 2, "its annotations or media types are others"),
                (["build.bin=other.bin"], 0, ""),
            ):
                asked = ("push", "lamp:1.0.0", *arguments)
                done = await asyncio.to_thread(otaflux, *asked, cwd=tmp_path, **settings)
                assert done.returncode == code, done.stderr
                assert words in done.stderr
                assert "other bytes" not in done.stderr


def test_annotations_come_from_flags(tmp_path: Path, build: Path) -> None:
    """The annotations of the OCI image specification have flags; others are written out."""
    done = push(
        tmp_path, "lamp:1.0.0", "build.bin", "--created", "2026-01-31T12:00:00Z", "--revision",
        "abc", "--source", "https://git.example/lamp", "--description", "Brighter", "--url",
        "https://lamp.example", "--version-annotation", "v1.0.0", "--annotation", "a.b=c=d",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    prefix = "org.opencontainers.image."
    assert manifest(tmp_path, "lamp", done.stdout)["annotations"] == {
        f"{prefix}created": "2026-01-31T12:00:00Z",
        f"{prefix}revision": "abc",
        f"{prefix}source": "https://git.example/lamp",
        f"{prefix}description": "Brighter",
        f"{prefix}url": "https://lamp.example",
        VERSION: "1.0.0",
        DEVICE: "lamp",
        "a.b": "c=d",
    }
    other = push(tmp_path, "lamp:2.0.0", "build.bin", "--version-annotation", "1.0.0")
    assert other.returncode == 2


def test_files_have_titles(tmp_path: Path, build: Path) -> None:
    """A file's title is its name, TITLE=FILE gives another; firmware.bin is what devices get."""
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "a=b").write_text("a name with a sign")
    done = push(tmp_path, "lamp:1.0.0", "firmware.bin=build.bin", "notes.txt", "a=b")
    assert (done.returncode, done.stderr) == (0, "")
    layers = manifest(tmp_path, "lamp", done.stdout)["layers"]
    titles = [layer["annotations"]["org.opencontainers.image.title"] for layer in layers]
    assert titles == ["firmware.bin", "notes.txt", "a=b"]
    assert otaflux("pull", "lamp", "-o", "out", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out").read_bytes() == FIRMWARE


TAR_OF_TWO = tarred({"a.txt": b"a", "b.txt": b"b"})
HOPELESS: dict[str, tuple[dict[str, bytes], str]] = {
    "several files": ({"build.bin": FIRMWARE, "notes.txt": b"notes"}, "is titled firmware.bin"),
    "a tar of several": ({"all.tar": TAR_OF_TWO}, "2 files that could be the firmware"),
    "a tar of none": ({"all.tar": tarred({})}, "no file at all"),
    "cut off": ({"build.bin.gz": gzip.compress(FIRMWARE)[:20]}, "cut off"),
    "empty once unpacked": ({"build.bin.gz": gzip.compress(b"")}, "empty"),
    "not what its name says": ({"build.bin.gz": FIRMWARE}, "no gzip"),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_no_device_could_be_told_is_refused(tmp_path: Path, name: str) -> None:
    """Like a tag that is no version: exit 2, one line, and the tag is not taken; or --any-tag."""
    files, reason = HOPELESS[name]
    for title, content in files.items():
        (tmp_path / title).write_bytes(content)
    done = push(tmp_path, "lamp:1.0.0", *files)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("otaflux: no device would be told lamp:1.0.0")
    assert reason in done.stderr
    assert not (tmp_path / "otaflux-data" / "registry" / "lamp").exists()
    anyhow = push(tmp_path, "lamp:1.0.0", *files, "--any-tag")
    assert anyhow.returncode == 0
    assert reason in anyhow.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x7fELF" + bytes(2000), "an ELF file"),
        (gzip.compress(b"<!doctype html><title>Log in</title>"), "a web page"),
    ],
    ids=["ELF", "a packed web page"],
)
def test_what_no_board_takes_is_pushed_with_a_warning(
    tmp_path: Path, content: bytes, words: str
) -> None:
    """What it is, and what to push instead; looked at as devices would get it."""
    (tmp_path / "build.bin").write_bytes(content)
    done = push(tmp_path, "lamp:1.0.0", "build.bin")
    assert done.returncode == 0
    assert "warning: boards will not take it: it is" in done.stderr
    assert words in done.stderr


def test_a_packed_push_gives_the_same_firmware(tmp_path: Path, build: Path) -> None:
    """--compress zstd makes the blob small; devices get the file."""
    done = push(tmp_path, "lamp:1.0.0", "build.bin", "--compress", "zstd")
    assert (done.returncode, done.stderr) == (0, "")
    (layer,) = manifest(tmp_path, "lamp", done.stdout)["layers"]
    assert layer["size"] < len(FIRMWARE) / 10
    assert push(tmp_path, "lamp:1.0.0", "build.bin", "--compress", "zstd").stdout == done.stdout
    otaflux("pull", "lamp", "-o", "out", cwd=tmp_path)
    assert (tmp_path / "out").read_bytes() == FIRMWARE


def test_a_plain_name_around_packed_bytes_is_warned_of(tmp_path: Path, build: Path) -> None:
    """Who pushes gzip under a plain name hears that devices get what is inside."""
    build.write_bytes(gzip.compress(FIRMWARE))
    done = push(tmp_path, "lamp:1.0.0", "build.bin")
    assert done.returncode == 0
    assert "looks like gzip" in done.stderr
    quiet = push(tmp_path, "lamp:1.0.1", "build.bin", "--annotation", "io.otaflux.unpack=false")
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_an_image_that_says_otherwise_is_warned_of(tmp_path: Path, build: Path) -> None:
    """Another version inside than the tag, and another chip than the release before, are told."""
    build.write_bytes(esp_image("1.0.0", chip=0))
    assert push(tmp_path, "lamp:1.0.0", "build.bin").stderr == ""
    build.write_bytes(esp_image("0.9.0", chip=9))
    done = push(tmp_path, "lamp:1.1.0", "build.bin")
    assert done.returncode == 0
    assert "version 0.9.0, its tag says 1.1.0" in done.stderr
    assert "ESP32-S3, the release before is for ESP32" in done.stderr


def test_a_bundle_in_a_packing_is_looked_into(tmp_path: Path, build: Path) -> None:
    """What a bundle of RAUC says stands at its end, or within: it is unpacked for the look."""
    bundle = BUNDLES / "plain-zstd.raucb"
    build.write_bytes(gzip.compress(bundle.read_bytes()))
    done = push(tmp_path, "gateway:2.4.0", "build.bin")
    assert done.returncode == 0
    assert "version 2.3.1, its tag says 2.4.0" in done.stderr


def test_two_pushes_at_once_lose_nothing(tmp_path: Path, build: Path) -> None:
    """Pushes to one device at the same time are all there afterwards."""
    tags = [f"1.0.{number}" for number in range(6)]
    pushing = [
        subprocess.Popen(
            [PROGRAM, "push", f"lamp:{tag}", "build.bin"],
            cwd=tmp_path,
            env=environment(tmp_path, {}),
            stdout=subprocess.DEVNULL,
        )
        for tag in tags
    ]
    assert [process.wait(60) for process in pushing] == [0] * len(tags)
    listed = json.loads(otaflux("list", "--json", cwd=tmp_path).stdout)
    (device,) = listed["devices"]
    assert sorted(row["tag"] for row in device["releases"]) == tags


def test_a_terminal_sees_progress(tmp_path: Path, build: Path) -> None:
    """On a terminal a bar shows on stderr; stdout has the digest alone."""
    mine, theirs = pty.openpty()
    done = subprocess.run(
        [PROGRAM, "push", "lamp:1.0.0", "build.bin"],
        cwd=tmp_path,
        env=environment(tmp_path, {"TERM": "xterm"}),
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    seen = os.read(mine, 65536)
    os.close(mine)
    assert done.returncode == 0
    assert b"Pushing" in seen
    assert b"100%" in seen
    assert done.stdout.startswith(b"sha256:")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("nowhere.bin", "nowhere.bin: no such file"),
        ("firmware.bin=nowhere.bin", "nowhere.bin: no such file"),
        (".", ". is a folder"),
        ("/dev/null", "/dev/null is no regular file"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, argument: str, words: str) -> None:
    """What is no file is told as what it is, and nothing is made."""
    done = push(tmp_path, "lamp:1.0.0", argument)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "otaflux-data").exists()


def test_what_no_device_may_be_told_is_noted(tmp_path: Path, build: Path) -> None:
    """A pre-release of no channel, and one that nobody signed where signatures are asked for."""
    beta = ("lamp:1.0.0-beta.1", build.name)
    done = push(tmp_path, *beta)
    (note,) = done.stderr.splitlines()
    assert done.returncode == 0
    assert note.startswith("otaflux: note: 1.0.0-beta.1 is a pre-release of the channel 'beta'")
    asked = {"COSIGN_IDENTITY": "a@example.com", "COSIGN_ISSUER": "https://issuer.example"}
    done = otaflux("push", *beta, cwd=tmp_path, CHANNELS="beta", **asked)
    (note,) = done.stderr.splitlines()
    assert done.returncode == 0
    assert note.startswith("otaflux: note: 1.0.0-beta.1 was not signed here")
    assert otaflux("push", *beta, cwd=tmp_path, CHANNELS="beta").stderr == ""


def test_what_is_signed_already_is_not_noted_as_unsigned(tmp_path: Path, build: Path) -> None:
    """The same bytes pushed again without the key; where another key is trusted, it is noted."""
    (tmp_path / "cosign.key").write_bytes(cosigns(EC))
    release = ("lamp:1.0.0", build.name)
    signed = otaflux(
        "push", *release, "--sign-key", "cosign.key", cwd=tmp_path, COSIGN_PASSWORD=OPENS
    )
    assert signed.returncode == 0, signed.stderr
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "own.pem").write_bytes(EC.public_key().public_bytes(*form))
    (tmp_path / "other.pem").write_text(public("a"))
    again = otaflux("push", *release, cwd=tmp_path, COSIGN_PUB_KEY_PATH="own.pem")
    assert (again.returncode, again.stdout, again.stderr) == (0, signed.stdout, "")
    other = otaflux("push", *release, cwd=tmp_path, COSIGN_PUB_KEY_PATH="other.pem")
    assert (other.returncode, other.stdout) == (0, signed.stdout)
    assert "has no signature that the settings here trust" in other.stderr


SIGNED = "application/vnd.dev.sigstore.bundle.v0.3+json"


def test_a_key_signs_what_is_pushed(tmp_path: Path, build: Path) -> None:
    """The signature lies beside it, and its line on stderr names the key; twice is once."""
    key = tmp_path / "cosign.key"
    key.write_bytes(cosigns(EC))
    arguments = ("lamp:1.0.0", build.name, "--sign-key", key.name)
    for _ in range(2):
        done = otaflux("push", *arguments, cwd=tmp_path, COSIGN_PASSWORD=OPENS)
        assert done.returncode == 0, done.stderr
        assert "otaflux: signed by ECDSA P-256 key sha256:" in done.stderr
        assert OPENS not in done.stderr
    index = json.loads((tmp_path / "otaflux-data/registry/lamp/index.json").read_text())
    _, signature = index["manifests"]
    document = manifest(tmp_path, "lamp", signature["digest"])
    assert document["subject"]["digest"] == done.stdout.strip()
    assert document["layers"][0]["mediaType"] == document["artifactType"] == SIGNED


@pytest.mark.parametrize(
    ("password", "content", "said"),
    [
        ("wrong", cosigns(EC), "the password is wrong"),
        (None, cosigns(EC), "the key is encrypted: set COSIGN_PASSWORD"),
        (None, b"hunter2", "there is no private key in PEM in it"),
        (None, None, "cannot read cosign.key: No such file"),
    ],
)
def test_a_key_that_does_not_open_stops_before_anything_is_pushed(
    tmp_path: Path, build: Path, password: str | None, content: bytes | None, said: str
) -> None:
    """With the file's name, and nothing of what is in it."""
    if content is not None:
        (tmp_path / "cosign.key").write_bytes(content)
    variables = {} if password is None else {"COSIGN_PASSWORD": password}
    arguments = ("lamp:1.0.0", build.name, "--sign-key", "cosign.key")
    done = otaflux("push", *arguments, cwd=tmp_path, **variables)
    assert done.returncode == 2
    assert said in done.stderr
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "otaflux-data").exists()


@pytest.mark.real("docker-registry")
async def test_a_registry_takes_a_push(tmp_path: Path, build: Path) -> None:
    """With REGISTRY_URL the push goes to the registry; wrong credentials name the setting."""
    (tmp_path / "real").mkdir()
    async with docker_registry(tmp_path / "real", auth="htpasswd") as real:
        settings = {
            "REGISTRY_URL": real.url,
            "REPOSITORY_PREFIX": "acme",
            "REGISTRY_USERNAME": USER,
            "REGISTRY_PASSWORD": PASSWORD,
        }

        async def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(
                otaflux, *arguments, cwd=tmp_path, **{**settings, **more}
            )

        done = await run("push", "lamp:1.0.0", "build.bin")
        assert (done.returncode, done.stderr) == (0, "")
        again = await run("push", "lamp:1.0.0", "build.bin")
        assert again.stdout == done.stdout
        pulled = await run("pull", "lamp:1.0.0", "-o", "out")
        assert pulled.returncode == 0, pulled.stderr
        assert (tmp_path / "out").read_bytes() == FIRMWARE
        checked = await run("check", LISTEN_ADDR="127.0.0.1:0", DEVICES="lamp")
        assert checked.returncode == 0, checked.stdout
        assert "answers: 1 tags of lamp" in checked.stdout
        wrong = await run("push", "lamp:1.1.0", "build.bin", REGISTRY_PASSWORD="hunter2")
        assert wrong.returncode == 1
        assert "REGISTRY_PASSWORD" in wrong.stderr
        assert "hunter2" not in wrong.stderr
        refused = await run("check", REGISTRY_PASSWORD="hunter2", LISTEN_ADDR="127.0.0.1:0")
        assert refused.returncode == 1
        assert "REGISTRY_PASSWORD" in refused.stdout
