"""Settings about who may sign: all that is wrong in their files is said at the start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from signature_cases import ASSETS

from otaflux.errors import BadSetting
from otaflux.settings import read, signers
from otaflux.settings.values import Wrong

KEYS = ASSETS / "keys"


def expected(parse: object, value: str) -> str:
    """What a wrong value is told."""
    assert callable(parse)
    with pytest.raises(Wrong) as wrong:
        parse(value)
    assert "\n" not in wrong.value.expected
    return wrong.value.expected


def test_a_file_of_keys_is_read_at_the_start(tmp_path: Path) -> None:
    """The path is the value; what cannot sign is named with its line."""
    assert signers.public_keys(str(KEYS / "a.pub")) == KEYS / "a.pub"
    path = tmp_path / "keys.pem"
    path.write_bytes((KEYS / "a.pub").read_bytes() + (KEYS / "ed.pub").read_bytes())
    assert "line 5: an Ed25519 key" in expected(signers.public_keys, str(path))
    path.write_bytes(b"")
    assert "it is empty" in expected(signers.public_keys, str(path))
    path.write_bytes(b"x" * (1 << 21))
    assert "more than 1048576 bytes" in expected(signers.public_keys, str(path))
    assert "a file that is there" in expected(signers.public_keys, str(tmp_path / "none"))
    assert "a file that is there" in expected(signers.public_keys, str(tmp_path))


def test_a_trusted_root_is_looked_at_at_the_start(tmp_path: Path) -> None:
    """Whatever is no trusted root of Sigstore's is told so; what it trusts is read when used."""
    root = ASSETS / "keyless" / "rekor2-dsse-happy-path" / "trusted_root.json"
    assert signers.trusted_root(str(root)) == root
    path = tmp_path / "root.json"
    for content, said in (
        (b"<html>", "it is no JSON"),
        (b"{}", "its mediaType is 'None'"),
        (b'{"mediaType": "application/vnd.dev.sigstore.signingconfig"}', "signingconfig"),
    ):
        path.write_bytes(content)
        assert said in expected(signers.trusted_root, str(path))


def test_identities_are_names_and_patterns() -> None:
    """White space stands between them; each counts once."""
    names = signers.identities(" a@ota.example\n/https://.*/  a@ota.example ")
    assert [name.text for name in names] == ["a@ota.example", "/https://.*/"]
    assert [name.pattern for name in names] == [None, "https://.*"]
    assert signers.identities("") == ()
    assert signers.issuer("https://ci.example").text == "https://ci.example"


@pytest.mark.parametrize("value", ["//", "/(/", "/[a/", "/(?P<a>/", "/*/", "x" * 1025])
def test_a_pattern_that_is_none_is_refused(value: str) -> None:
    """With the library's reason in brackets."""
    assert "patterns between /…/" in expected(signers.identities, value)
    assert "patterns between /…/" in expected(signers.issuer, value)


def test_there_is_one_issuer() -> None:
    """Who vouches for identities is not a list: two would each vouch for all of them."""
    assert "one issuer" in expected(signers.issuer, "https://a.example https://b.example")


def complaints(**environment: str) -> list[str]:
    """What is wrong with settings together."""
    with pytest.raises(BadSetting) as bad:
        read({}, environment)
    return list(bad.value.complaints)


WHO, ISSUER = "https://ci.example/lamp", "https://ci.example"


def test_an_identity_and_its_issuer_come_together() -> None:
    """A name without who vouches for it is anybody's."""
    settings = read({}, {"COSIGN_IDENTITY": WHO, "COSIGN_ISSUER": ISSUER})
    assert settings.cosign_issuer is not None
    assert settings.cosign_issuer.text == ISSUER
    (alone,) = complaints(COSIGN_IDENTITY=WHO)
    assert alone == "COSIGN_ISSUER: found none, expected one, for COSIGN_IDENTITY is set"
    (alone,) = complaints(COSIGN_ISSUER=ISSUER)
    assert alone == "COSIGN_IDENTITY: found none, expected one, for COSIGN_ISSUER is set"
    root = str(ASSETS / "keyless" / "rekor2-dsse-happy-path" / "trusted_root.json")
    (alone,) = complaints(SIGSTORE_TRUSTED_ROOT_PATH=root)
    assert alone.startswith("COSIGN_IDENTITY: found none")


def test_a_bound_tag_is_about_what_was_signed() -> None:
    """Without anybody who may sign it would say nothing."""
    (complaint,) = complaints(REQUIRE_BOUND_TAG="true")
    assert complaint.startswith("REQUIRE_BOUND_TAG: found true, expected COSIGN_PUB_KEY_PATH or")
    assert read({}, {"REQUIRE_BOUND_TAG": "true", "COSIGN_PUB_KEY_PATH": str(KEYS / "a.pub")})


def test_without_the_extra_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how it is installed; keys need nothing."""
    monkeypatch.setitem(sys.modules, "sigstore", None)
    (complaint,) = complaints(COSIGN_IDENTITY=WHO, COSIGN_ISSUER=ISSUER)
    assert "pip install 'otaflux[keyless]'" in complaint
    assert read({}, {"COSIGN_PUB_KEY_PATH": str(KEYS / "a.pub")}).cosign_pub_key_path
