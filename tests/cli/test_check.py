"""`otaflux check`: each thing that it tries, where it works and where it does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import trustme
from fake_content import Child
from fake_faults import Status
from fake_registry import FakeRegistry
from programs import free_port, otaflux
from signature_cases import ASSETS
from signed_content import Shop, fingerprint, public

from otaflux.app.parts import Assembly
from otaflux.cli.checks.folder import folder
from otaflux.cli.checks.listening import certificate
from otaflux.cli.checks.release import MOST_LOOKED, release
from otaflux.cli.checks.signers import signers
from otaflux.model.names import Device, Tag
from otaflux.reconcile.choice import candidates
from otaflux.settings import Settings
from otaflux.signature.identity import Name

DAY = 24 * 3600


def run(folder: Path, *arguments: str, **settings: str) -> CompletedProcess[str]:
    """`otaflux check`, with nothing else on this machine in its way."""
    mine = {"LISTEN_ADDR": f"127.0.0.1:{free_port()}", "DATA_DIR": str(folder / "data"), **settings}
    return otaflux("check", *arguments, cwd=folder, **mine)


async def check(
    registry: FakeRegistry, folder: Path, *arguments: str, **settings: str
) -> CompletedProcess[str]:
    """The same, for a registry of the test that goes on meanwhile."""
    mine = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "acme", **settings}
    return await asyncio.to_thread(run, folder, *arguments, **mine)


async def test_a_manifest_and_the_beginning_of_a_blob_are_read(tmp_path: Path) -> None:
    """Of the first device that has a release, whose blob is judged; the others are not asked."""
    async with FakeRegistry(redirect_blobs=True) as registry:
        for device in ("a", "b", "c"):
            registry.content.put(f"acme/{device}", "1.0.0", layers=[device.encode()])
        registry.content.delete_tag("acme/a", "1.0.0")
        done = await check(registry, tmp_path)
        assert done.returncode == 0, done.stdout
        assert "ok    firmware of b:1.0.0: its manifest came" in done.stdout
        assert {seen.repository for seen in registry.seen("tags")} == {"acme/a", "acme/b"}
        assert "ok    release b:1.0.0: can be served" in done.stdout
        assert len(registry.seen("storage")) == 2
        await registry.stop("storage")
        blocked = await check(registry, tmp_path)
        assert blocked.returncode == 1
        assert "FAIL  firmware of b:1.0.0: " in blocked.stdout
        assert registry.storage_url.removeprefix("http://") in blocked.stdout


async def test_a_device_can_be_named(tmp_path: Path) -> None:
    """Then it is that one's release that has to come, and what stands in the way is told."""
    async with FakeRegistry() as registry:
        child = registry.content.put("acme/lamp", None, layers=[b"lamp"])
        registry.content.put_index("acme/lamp", "1.0.0", [Child(child)])
        registry.content.put("acme/odd", "latest", layers=[b"odd"])
        named, missing, odd = await asyncio.gather(
            check(registry, tmp_path, "lamp"),
            check(registry, tmp_path, "nobody"),
            check(registry, tmp_path, "odd"),
        )
    assert "ok    firmware of lamp:1.0.0" in named.stdout
    assert missing.returncode == odd.returncode == 1
    assert "FAIL  device nobody: no release in acme/nobody" in missing.stdout
    assert "FAIL  device odd: none of its 1 tags is a version" in odd.stdout
    assert run(tmp_path, "Not A Name").returncode == 2


async def test_the_release_looked_at_is_one_that_a_channel_tells(tmp_path: Path) -> None:
    """A pre-release of no channel is passed over, and where there is no other that is told."""
    async with FakeRegistry() as registry:
        registry.content.put("acme/lamp", "9.0.0-beta.1", layers=[b"beta"])
        alone = await check(registry, tmp_path, "lamp")
        registry.content.put("acme/lamp", "1.0.0", layers=[b"lamp"])
        stable, beta = await asyncio.gather(
            check(registry, tmp_path, "lamp"), check(registry, tmp_path, "lamp", CHANNELS="beta")
        )
    assert alone.returncode == 1
    assert "FAIL  device lamp: none of its releases is told" in alone.stdout
    assert "9.0.0-beta.1, is of the channel 'beta', which is not in CHANNELS" in alone.stdout
    assert "can be served" not in alone.stdout
    assert "ok    release lamp:1.0.0: can be served" in stable.stdout
    assert "9.0.0" not in stable.stdout
    assert "ok    release lamp:9.0.0-beta.1: can be served" in beta.stdout


async def test_no_repository_is_made_up(tmp_path: Path) -> None:
    """Where no device is known the registry is asked for an answer, and for the login's sake."""
    async with FakeRegistry(auth="bearer", catalog=False) as registry:
        login = {"REGISTRY_USERNAME": "robot", "REGISTRY_PASSWORD": "s3cret"}
        good = await check(registry, tmp_path, **login)
        assert good.returncode == 0, good.stdout
        assert "answers; no device is known" in good.stdout
        assert registry.seen("tags") == []
        wrong = await check(registry, tmp_path, **{**login, "REGISTRY_PASSWORD": "wrong"})
        assert wrong.returncode == 1
        assert "REGISTRY_PASSWORD" in wrong.stdout


async def test_what_lies_outside_of_the_prefix_is_told(tmp_path: Path) -> None:
    """A prefix under which there is nothing is probably not the one that was meant."""
    async with FakeRegistry() as registry:
        for repository in ("fw/lamp", "fw/door", "tools/oras"):
            registry.content.put(repository, "1.0.0", layers=[b"x"])
        done = await check(registry, tmp_path)
    assert "no repository under acme/; what there is begins with fw/, tools/" in done.stdout


async def test_devices_without_a_repository_are_noted(tmp_path: Path) -> None:
    """One of DEVICES may have no release yet, or be misspelt."""
    async with FakeRegistry() as registry:
        registry.content.put("acme/lamp", "1.0.0", layers=[b"x"])
        done = await check(registry, tmp_path, DEVICES="lam")
    assert done.returncode == 0
    assert "note  device lam: no release in acme/lam" in done.stdout
    assert "ok    firmware of lamp:1.0.0" in done.stdout


async def test_a_registry_that_is_none_fails(tmp_path: Path) -> None:
    """A server that knows no /v2/ is told as such, where nothing else would say so."""
    async with FakeRegistry(catalog=False) as registry:
        registry.fail("ping", Status(404), times=None)
        done = await check(registry, tmp_path)
    assert done.returncode == 1
    assert "answers 404" in done.stdout


def test_a_proxy_is_told(tmp_path: Path) -> None:
    """Whose doing it is that nothing gets through is half of the answer."""
    away = f"127.0.0.1:{free_port()}"
    done = run(
        tmp_path, REGISTRY_URL="http://registry.example", HTTP_PROXY=f"http://me:pass@{away}"
    )
    assert done.returncode == 1
    assert f"note  proxy: {away} is between here and the registry (HTTP_PROXY)" in done.stdout
    assert f"FAIL  registry http://registry.example: cannot connect to the proxy {away}" in (
        done.stdout
    )
    assert "pass" not in done.stdout


def test_what_is_set_is_told_with_its_place(tmp_path: Path) -> None:
    """Flag, environment and file; a secret is not shown; a name that is nearly one is noted."""
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "env").write_text(
        "WEBHOOK_SECRET=hunter2\nREGISTRY_USER=me\nKEEP_VERSIONS=4\nPATHS=x\nDEVICES=lamp\n"
    )
    done = run(
        tmp_path, "--env-file", "env", "--keep-versions", "5", "--registry-password-file", "secret",
        REGISTRY_USERNAME="me", OTAFLUX_CHANNELS="beta", LOG_LEVEL="debug",
    )  # fmt: skip
    for line in (
        "note  KEEP_VERSIONS: 5 (--keep-versions)",
        "note  WEBHOOK_SECRET: (hidden) (env)",
        "note  REGISTRY_PASSWORD_FILE: secret (--registry-password-file)",
        "note  REGISTRY_USERNAME: me (environment)",
        "note  REGISTRY_USER: is no setting (env), and nothing reads it",
        "-> Is REGISTRY_USERNAME meant?",
        "note  OTAFLUX_CHANNELS: is no setting (environment), and nothing reads it",
        "-> Is CHANNELS meant?",
    ):
        assert line in done.stdout
    assert "PATHS" not in done.stdout
    assert "hunter2" not in done.stdout


@pytest.mark.parametrize(
    ("left", "names", "public_url", "words"),
    [
        (100, ["ota.example"], "https://ota.example", ["ok  ", "100 days", "note  its names"]),
        (9.5, ["ota.example"], "", ["note", "ends in 9 days", "-> Renew it"]),
        (-1, ["ota.example"], "", ["FAIL", "ended on", "-> Renew it"]),
        (100, ["other.example"], "https://ota.example/x", ["FAIL  its names", "for ota.example"]),
        (100, ["*.example"], "https://ota.example:8443", ["note  its names: *.example"]),
    ],
)
def test_the_server_s_own_certificate(
    tmp_path: Path, left: float, names: list[str], public_url: str, words: list[str]
) -> None:
    """When it ends, and whether it is for the address that links carry."""
    ends = datetime.now(UTC) + timedelta(days=left, minutes=5)
    made = trustme.CA().issue_cert(*names, not_after=ends)
    path = tmp_path / "chain.pem"
    path.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    settings = Settings(tls_cert_path=path, tls_key_path=path, public_url=public_url or None)
    said = "\n".join(str(finding) for finding in certificate(settings))
    for word in words:
        assert word in said


@pytest.mark.parametrize("secret", [None, "one", "one two"])
def test_hooks_say_that_a_secret_is_required(tmp_path: Path, secret: str | None) -> None:
    """Closed without one; else what a hook has to bring."""
    done = run(tmp_path, **({"WEBHOOK_SECRET": secret} if secret else {}))
    said: dict[str | None, str] = {
        None: "note  hooks: closed",
        "one": "ok    hooks: taken with the secret of WEBHOOK_SECRET",
        "one two": "ok    hooks: taken with one of 2 secrets of WEBHOOK_SECRET",
    }
    assert said[secret] in done.stdout


def test_a_folder_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """A read-only place is not a matter of rights."""
    done = run(tmp_path, DATA_DIR="/proc/otaflux")
    assert done.returncode == 1
    assert "FAIL  data folder /proc/otaflux: cannot be written" in done.stdout


def test_a_layout_that_no_device_can_have_is_told(tmp_path: Path) -> None:
    """Other tools write to any folder; one with capitals in its name is served to nobody."""
    for name in ("lamp", "Lamp/inner", "room/a b", "lamp/blobs/X"):
        layout = tmp_path / "registry" / name
        layout.mkdir(parents=True)
        (layout / "index.json").write_text("{}")
    said = [str(finding) for finding in folder(Settings(data_dir=tmp_path))]
    told = [each for each in said if "is not served" in each]
    assert [each.partition("registry/")[2].partition(":")[0] for each in told] == [
        "Lamp/inner", "room/a b",
    ]  # fmt: skip
    assert "lower-case letters" in told[0]
    assert not [
        each
        for each in folder(Settings(data_dir=tmp_path, registry_url="https://r.example"))
        if "is not served" in str(each)
    ]


def test_who_may_sign_is_told() -> None:
    """Each key with its kind and fingerprint; without any, that everything is served."""
    (without,) = signers(Settings())
    assert without.good is None
    assert "everything in the registry is served" in without.says
    for name, kind in (("a", "ECDSA P-256"), ("rsa", "RSA 2048")):
        (told,) = signers(Settings(cosign_pub_key_path=ASSETS / "keys" / f"{name}.pub"))
        assert told.good
        assert told.says.startswith(f"{kind} key sha256:")


def test_whether_certificates_can_be_judged_is_tried(tmp_path: Path) -> None:
    """With the root that is set; a pattern that takes everybody is worth a word."""
    root = tmp_path / "root.json"
    root.write_bytes((ASSETS / "keyless/rekor2-dsse-happy-path/trusted_root.json").read_bytes())
    settings = Settings(
        cosign_identity=(Name("/.*/"),),
        cosign_issuer=Name("https://ci.example"),
        sigstore_trusted_root_path=root,
    )
    identity, pattern, judged = signers(settings)
    assert identity.says == "identity /.*/ (issuer https://ci.example)"
    assert pattern.says == "takes every name there is"
    assert judged.good, judged.says
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    *_, judged = signers(settings)
    assert judged.good is False
    assert "the trusted root cannot be used" in judged.says


async def test_who_signed_what_is_told_whatever_the_size(tmp_path: Path) -> None:
    """An unsigned one is noted where the one below it stands; where none does, that fails."""
    keys = tmp_path / "cosign.pub"
    keys.write_text(public("a"))
    async with FakeRegistry() as registry:
        shop = Shop("acme/lamp", registry.content)
        shop.sign(shop.push("1.0.0", b"one"))
        shop.push("1.1.0", b"two")
        done = await check(registry, tmp_path, COSIGN_PUB_KEY_PATH=str(keys))
        assert done.returncode == 0, done.stdout
        assert "note  release lamp:1.1.0: unsigned, and so not served: " in done.stdout
        good = f"ok    release lamp:1.0.0: can be served, signed by {fingerprint('a')}"
        assert good in done.stdout
        settings = Settings(
            registry_url=registry.url, repository_prefix="acme", cosign_pub_key_path=keys
        )
        parts, told = Assembly(settings), []
        async with parts.open_source(patient=False) as source:
            for tag in ("1.0.0", "1.1.0"):
                found = candidates([Tag(tag)])
                looked = release(parts, source, Device("lamp"), found, MOST_LOOKED + 1)
                told.extend([str(finding) async for finding in looked])
    assert told[0].startswith(
        "ok    release lamp:1.0.0: is too large to be looked into here, signed by "
    )
    assert told[1].startswith("FAIL  release lamp:1.1.0: unsigned, and so not served: ")
    assert len(told) == 2
