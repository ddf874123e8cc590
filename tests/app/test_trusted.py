"""Who may sign follows the settings and their files, while the server runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from signature_cases import ASSETS

from otaflux.app.trusted import trusted
from otaflux.settings import Settings
from otaflux.signature.identity import Identities, Name, Vouched

KEYS = ASSETS / "keys"
ROOT = ASSETS / "keyless" / "rekor2-dsse-happy-path" / "trusted_root.json"
WHO, ISSUER = Name("/https://ci.example/.*/"), Name("https://ci.example")


class Nobody:
    """A notary that vouches for nobody."""

    def vouch(self, bundle: bytes, identities: Identities, payload: bytes | None = None) -> Vouched:
        """Never asked here."""
        raise AssertionError


def test_without_keys_and_identities_nothing_is_asked() -> None:
    """Everything is served as it is."""
    assert trusted(Settings()) is None


def test_keys_count_as_their_file_has_them(tmp_path: Path) -> None:
    """Added, removed and replaced; a file that is gone or wrong for a while changes nothing."""
    path = tmp_path / "keys.pem"
    a, b = ((KEYS / f"{name}.pub").read_bytes() for name in "ab")

    def written(content: bytes) -> tuple[str, int]:
        new = tmp_path / "new"
        new.write_bytes(content)
        new.replace(path)
        trust = current.current()
        return trust.id, len(trust.keys)

    path.write_bytes(a)
    current = trusted(Settings(cosign_pub_key_path=path))
    assert current is not None
    first = current.current()
    assert first.keys[0].kind == "ECDSA P-256"
    both, count = written(a + b)
    assert count == 2
    assert both != first.id
    only_b, count = written(b)
    assert count == 1
    assert only_b not in {both, first.id}
    for wrong in (b"", b"garbage", (KEYS / "ed.pub").read_bytes()):
        assert written(wrong) == (only_b, 1)
    path.unlink()
    assert current.current().id == only_b
    assert written(a) == (first.id, 1)


def test_identities_have_the_root_that_is_set(tmp_path: Path) -> None:
    """With it, with keys besides, and with neither; a root that changes is another trust."""
    root = tmp_path / "root.json"
    root.write_bytes(ROOT.read_bytes())
    settings = Settings(
        cosign_identity=(WHO,),
        cosign_issuer=ISSUER,
        cosign_pub_key_path=KEYS / "rsa.pub",
        sigstore_trusted_root_path=root,
        require_bound_tag=True,
    )
    current = trusted(settings, notary=Nobody())
    assert current is not None
    trust = current.current()
    assert trust.identities == Identities((WHO,), ISSUER, ROOT.read_bytes())
    assert trust.require_bound
    assert [key.kind for key in trust.keys] == ["RSA 2048"]
    root.write_bytes(ROOT.read_bytes() + b"\n")
    os.utime(root, (1, 1))
    assert current.current().id != trust.id
    alone = trusted(Settings(cosign_identity=(WHO,), cosign_issuer=ISSUER), notary=Nobody())
    assert alone is not None
    assert alone.current().identities == Identities((WHO,), ISSUER, b"")
    assert not alone.current().keys


def test_a_notary_is_made_and_not_started() -> None:
    """No process runs before a bundle with a certificate is there."""
    current = trusted(Settings(cosign_identity=(WHO,), cosign_issuer=ISSUER))
    assert current is not None
    assert current.current().notary is not None


@pytest.mark.parametrize("name", ["a", "b", "p384", "rsa"])
def test_each_kind_of_key_is_described(name: str) -> None:
    """Its kind and its fingerprint, for the start and for `check`."""
    current = trusted(Settings(cosign_pub_key_path=KEYS / f"{name}.pub"))
    assert current is not None
    (line,) = current.current().describe()
    assert " key sha256:" in line
