"""Whatever lies beside a release, what comes of it is a signer or one printable reason."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signature_cases import ASSETS, trust_in

from otaflux.errors import Refused, Unsigned
from otaflux.model.artifact import Digest
from otaflux.signature.found import BundleBytes, FoundSignature, SimpleSigning
from otaflux.signature.identity import Identities, Name, Vouched, check_root
from otaflux.signature.keys import parse_keys
from otaflux.signature.privatekey import read_private_key
from otaflux.signature.trust import Trust

TRUST = trust_in("a", "p384", "rsa")
SUBJECT = Digest("sha256", "0" * 64)
REAL = [
    content.decode()
    for path in (ASSETS / "content").iterdir()
    if (content := path.read_bytes()).startswith(b"{")
]
WORDS = sorted({word for text in REAL for word in text.split('"') if len(word) < 80})
PAYLOADS = [
    base64.b64encode(json.dumps({"_type": word, "subject": [], "predicateType": word}).encode())
    for word in ("https://in-toto.io/Statement/v1", "https://sigstore.dev/cosign/sign/v1")
]
# Half of a pair of surrogates, which JSON can escape and no encoding can write.
halves = st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2)
words = halves | st.sampled_from(WORDS) | st.sampled_from([each.decode() for each in PAYLOADS])
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=20,
)


def beside(data: bytes, signature: str) -> list[FoundSignature]:
    """The bytes, in each layout."""
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    return [BundleBytes(data), SimpleSigning(data, signature, digest)]


def refused(data: bytes, signature: str) -> None:
    """Nothing of it holds, and the reason can be shown."""
    for found in beside(data, signature):
        with pytest.raises(Unsigned) as unsigned:
            TRUST.judge([found], SUBJECT)
        assert str(unsigned.value).isprintable()
        assert len(str(unsigned.value)) < 600


@given(st.binary(max_size=300), st.text(max_size=40))
def test_any_bytes_have_a_reason(data: bytes, signature: str) -> None:
    """Bytes that are nothing."""
    refused(data, signature)


@given(words, words, words, words)
def test_any_words_in_an_envelope_have_a_reason(
    kind: str, payload: str, sig: str, key: str
) -> None:
    """A bundle, and whatever stands in its members."""
    document = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {key: {}},
        "dsseEnvelope": {"payload": payload, "payloadType": kind, "signatures": [{"sig": sig}]},
    }
    refused(json.dumps(document).encode(), sig)
    plain = json.dumps({"critical": {"image": {"docker-manifest-digest": kind}, "type": payload}})
    refused(plain.encode(), base64.b64encode(sig.encode(errors="replace")).decode())


PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
PEMS = [PEM, PEM[:30]]
ENTRY_WORDS = ["Payload", "SignedEntryTimestamp", "body", "logID", "logIndex", "integratedTime"]
entries = st.dictionaries(st.sampled_from(ENTRY_WORDS), trees | st.sampled_from(["00", "AAAA", 1]))
wrapped = st.fixed_dictionaries({"Payload": entries, "SignedEntryTimestamp": trees})


class Nobody:
    """A notary who has read what he was asked about, and vouches for nobody."""

    def vouch(self, bundle: bytes, identities: Identities, payload: bytes | None = None) -> Vouched:
        """Refuse it."""
        assert json.loads(bundle)["messageSignature"]["signature"] is not None
        assert payload
        raise Unsigned("it was signed by somebody else")


@given(
    st.text(max_size=40) | halves | st.sampled_from(PEMS),
    (entries | wrapped | trees).map(json.dumps) | halves | st.text(max_size=40),
    words,
)
def test_any_certificate_and_log_entry_have_a_reason(
    certificate: str, entry: str, signature: str
) -> None:
    """In the annotations of the old layout, with a payload that is right."""
    image = {"docker-manifest-digest": str(SUBJECT)}
    critical = {"image": image, "type": "cosign container image signature"}
    payload = json.dumps({"critical": critical}).encode()
    digest = Digest("sha256", hashlib.sha256(payload).hexdigest())
    identities = Identities((Name("/.*/"),), Name("/.*/"))
    found = SimpleSigning(payload, signature, digest, certificate, entry)
    for trust in (TRUST, Trust(TRUST.keys, identities, notary=Nobody())):
        with pytest.raises(Unsigned) as unsigned:
            trust.judge([found], SUBJECT)
        assert str(unsigned.value).isprintable()
        assert len(str(unsigned.value)) < 600


@given(trees, st.sampled_from([each.decode() for each in PAYLOADS]))
def test_any_json_has_a_reason(tree: Any, signature: str) -> None:
    """JSON of the words that are looked for."""
    refused(json.dumps(tree).encode(), signature)


@given(st.sampled_from(REAL), st.integers(0, 2000), st.text(max_size=6))
def test_any_change_of_a_real_one_has_a_reason(text: str, at: int, put: str) -> None:
    """Something put into what cosign wrote; it was never about this digest anyhow."""
    at %= len(text)
    refused((text[:at] + put + text[at:]).encode(), "")


@given(st.binary(max_size=400), st.sampled_from(["PUBLIC KEY", "PRIVATE KEY", "X", ""]))
def test_any_file_of_keys_is_read_or_refused(body: bytes, label: str) -> None:
    """With reasons that can be shown."""
    wrapped = b"-----BEGIN %b-----\n%b\n-----END %b-----" % (
        label.encode(),
        base64.encodebytes(body),
        label.encode(),
    )
    for content in (body, wrapped):
        for read in (parse_keys, check_root, lambda data: read_private_key(data, str)):
            with pytest.raises(Refused) as error:
                read(content)
            assert str(error.value).isprintable()
