"""`otaflux verify`: who signed what, by the keys and identities that are set now."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from fake_faults import Status
from fake_registry import FakeRegistry
from layout_files import REF_NAME, LayoutFiles
from programs import otaflux
from signature_cases import ASSETS, CASES, SignedCase, trust_in
from signed_content import Shop, fingerprint, public, put_case
from small_sigstore import ISSUER, SmallSigstore, statement

from otaflux.model.artifact import DEVICE, VERSION

REFUSED = {
    "v2-wrong-key": "is by a key that is not trusted here",
    "v3-attestation-only": "a trusted key signed it as an attestation only",
    "v3-copied-device": "it was signed for another device",
    "v3-removed": "it has no signature",
    "v3-signed-child": "and not the index itself",
}


async def verify(
    registry: FakeRegistry, folder: Path, *arguments: str, **settings: str
) -> CompletedProcess[str]:
    """`otaflux verify` of the fake, which goes on meanwhile."""
    mine = {"REGISTRY_URL": registry.url, "REPOSITORY_PREFIX": "fw", **settings}
    return await asyncio.to_thread(otaflux, "verify", *arguments, cwd=folder, **mine)


def release(done: CompletedProcess[str]) -> dict[str, Any]:
    """The one release of an answer in JSON."""
    (only,) = json.loads(done.stdout)["releases"]
    return dict(only)


async def test_real_signatures_are_judged_at_a_registry(tmp_path: Path) -> None:
    """Each case of cosign's: the key's fingerprint and exit 0, or the reason and exit 1."""
    async with FakeRegistry(referrers=False) as registry:
        for name in CASES:
            put_case(registry.content, SignedCase(name))

        async def judged(name: str) -> None:
            case = SignedCase(name)
            (tag,) = case.told["expected"]
            key = str(ASSETS / case.told["key"])
            asked = (f"{name}:{tag}", "--json")
            done = await verify(registry, tmp_path, *asked, COSIGN_PUB_KEY_PATH=key)
            found = release(done)
            assert found["digest"] == str(case.digest(tag))
            if name in REFUSED:
                assert done.returncode == 1
                assert REFUSED[name] in found["reason"]
                assert found["signed_by"] is None
                assert found["signers"] == []
            else:
                assert done.returncode == 0, done.stderr
                assert found["signed_by"] == case.trust.keys[0].fingerprint
                assert found["signers"] == [{"key": found["signed_by"]}]
                assert found["reason"] is None

        for at in range(0, len(CASES), 3):
            await asyncio.gather(*map(judged, CASES[at : at + 3]))


@pytest.mark.parametrize("name", ["v2-valid", "v3-valid", "v2-signed-index", "v3-attestation-only"])
def test_signatures_in_the_embedded_folder_count(tmp_path: Path, name: str) -> None:
    """The same bytes as an image layout, tags as names there: as cosign and oras leave them."""
    case = SignedCase(name)
    layout = LayoutFiles(tmp_path / "otaflux-data" / "registry" / name)
    names = {digest: tag for tag, digest in case.told["tags"].items()}
    for digest, said in case.told["manifests"].items():
        entry = layout.blob(case.content(digest), said["mediaType"])
        if digest in names:
            entry["annotations"] = {REF_NAME: names[digest]}
        layout.entries.append(entry)
    for digest in case.told["blobs"]:
        layout.blob(case.content(digest))
    layout.write()
    (tag,) = case.told["expected"]
    done = otaflux("verify", f"{name}:{tag}", cwd=tmp_path, COSIGN_PUB_KEY_PATH=_key("a"))
    assert done.returncode == (1 if name in REFUSED else 0)
    says = REFUSED.get(name, trust_in("a").keys[0].fingerprint)
    assert says in done.stdout


def _key(name: str) -> str:
    return str(ASSETS / "keys" / f"{name}.pub")


async def test_what_a_device_has_is_one_table(tmp_path: Path) -> None:
    """The highest first; exit 0 where something holds, with all who signed it."""
    (tmp_path / "keys.pem").write_text(public("a", "b"))
    settings = {"COSIGN_PUB_KEY_PATH": str(tmp_path / "keys.pem")}
    async with FakeRegistry() as registry:
        shop = Shop("fw/lamp", registry.content)
        shop.push("3.0.0", b"three")
        both = shop.push("2.0.0", b"two")
        shop.sign(both, "a")
        shop.sign_old(both, "b")
        theirs = shop.push("1.0.0", b"one")
        shop.sign(theirs, "x")
        shop.push("latest", b"no version")
        done = await verify(registry, tmp_path, "lamp", **settings)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["TAG", "SIGNED"],
            ["3.0.0", "no"],
            ["2.0.0", "yes"],
            ["1.0.0", "no"],
        ]
        assert fingerprint("a") in lines[2]
        assert fingerprint("b") in lines[2]
        done = await verify(registry, tmp_path, "lamp:v1.0.0", **settings)
        assert done.returncode == 1
        done = await verify(registry, tmp_path, "lamp:9.0.0", **settings)
        assert done.returncode == 1
        assert "No releases of device 'lamp' with version 9.0.0" in done.stderr
        assert registry.seen("storage") == []


async def test_a_registry_that_errs_is_unknown_and_not_unsigned(tmp_path: Path) -> None:
    """Nothing was learnt, and that is what is said."""
    (tmp_path / "keys.pem").write_text(public("a"))
    async with FakeRegistry() as registry:
        shop = Shop("fw/lamp", registry.content)
        shop.sign(shop.push("1.0.0", b"one"))
        registry.fail("referrers", Status(403), times=None)
        done = await verify(
            registry, tmp_path, "lamp", COSIGN_PUB_KEY_PATH=str(tmp_path / "keys.pem")
        )
        assert done.returncode == 1
        assert done.stdout.splitlines()[1].split()[:2] == ["1.0.0", "unknown"]


async def test_a_bound_tag_has_to_be_named(tmp_path: Path) -> None:
    """With REQUIRE_BOUND_TAG, and in the words of the annotation where it is another."""
    (tmp_path / "keys.pem").write_text(public("a"))
    settings = {"COSIGN_PUB_KEY_PATH": str(tmp_path / "keys.pem")}
    async with FakeRegistry() as registry:
        shop = Shop("fw/lamp", registry.content)
        named = {DEVICE: "lamp", VERSION: "2.0.0+b"}
        shop.sign(shop.push("2.0.0_b", b"two", named))
        shop.sign(shop.push("3.0.0", b"three", named))
        shop.sign(shop.push("1.0.0", b"one"))
        for bound, signed in ((False, ["no", "yes", "yes"]), (True, ["no", "yes", "no"])):
            more = {"REQUIRE_BOUND_TAG": str(bound).lower()}
            done = await verify(registry, tmp_path, "lamp", **settings, **more)
            rows = done.stdout.splitlines()[1:]
            assert [row.split()[1] for row in rows] == signed
            assert "signed for another version" in rows[0]


async def test_an_identity_is_named_with_its_issuer(tmp_path: Path) -> None:
    """Of a bundle with a certificate, accepted for its identity and refused for another."""
    sigstore = SmallSigstore()
    who = "https://ci.example/acme/lamp@refs/tags/v1.0.0"
    (tmp_path / "root.json").write_bytes(sigstore.trusted_root)
    settings = {
        "COSIGN_ISSUER": ISSUER,
        "SIGSTORE_TRUSTED_ROOT_PATH": str(tmp_path / "root.json"),
    }
    async with FakeRegistry() as registry:
        shop = Shop("fw/lamp", registry.content)
        digest = shop.push("1.0.0", b"one")
        shop.attach(digest, sigstore.bundle(statement(digest), identity=who))
        pattern = r"/https://ci\.example/acme/lamp@refs/tags/.*/"
        asked = ("lamp", "--json")
        done = await verify(registry, tmp_path, *asked, COSIGN_IDENTITY=pattern, **settings)
        assert done.returncode == 0, done.stdout
        assert release(done)["signers"] == [{"identity": who, "issuer": ISSUER}]
        assert release(done)["signed_by"] == f"{who} (issuer {ISSUER})"
        other = "https://ci.example/acme/lamp"
        done = await verify(registry, tmp_path, *asked, COSIGN_IDENTITY=other, **settings)
        assert done.returncode == 1
        assert f"it was signed by '{who}', who is not trusted" in release(done)["reason"]


def test_without_keys_there_is_nothing_to_verify(tmp_path: Path) -> None:
    """Exit 2, with the settings that would say who may sign."""
    done = otaflux("verify", "lamp", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("otaflux: COSIGN_PUB_KEY_PATH: found none, expected")
