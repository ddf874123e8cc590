"""Each repository that cosign itself signed is judged as it should be."""

from __future__ import annotations

import pytest
from signature_cases import CASES, SignedCase, trust_in

from otaflux.errors import Unsigned
from otaflux.model.names import Device
from otaflux.model.signer import KeySigner
from otaflux.model.version import Version
from otaflux.signature.binding import check_bound

# What each version that a case expects something of comes to; the others hold.
UNSIGNED = {
    "v2-wrong-key": "by a key that is not trusted here",
    "v3-attestation-only": "as an attestation",
    "v3-removed": "it has no signature",
    "v3-signed-child": "it has no signature",
}


@pytest.mark.parametrize("name", CASES)
def test_what_cosign_signed_is_judged_as_expected(name: str) -> None:
    """Valid ones name the key that signed, the others say why they do not hold."""
    case = SignedCase(name)
    for tag in case.told["expected"]:
        subject = case.digest(tag)
        assert subject is not None
        if name in UNSIGNED:
            with pytest.raises(Unsigned, match=UNSIGNED[name]):
                case.trust.judge(case.found(subject), subject)
        else:
            signer = case.trust.judge(case.found(subject), subject)
            assert signer == KeySigner(case.trust.keys[0].fingerprint)


def test_the_child_of_an_unsigned_index_is_signed_by_itself() -> None:
    """The signature below is the child's: it is the index that has none."""
    case = SignedCase("v3-signed-child")
    child = case.digest("0.0.1-child")
    assert child is not None
    case.trust.judge(case.found(child), child)


def test_either_layout_is_enough() -> None:
    """Where both are there and one key made each, trust in either key holds."""
    case = SignedCase("both-layouts")
    subject = case.digest("1.0.0")
    assert subject is not None
    found = case.found(subject)
    for names in (("a",), ("b",), ("a", "b"), ("rsa", "b")):
        assert trust_in(*names).judge(found, subject)
    with pytest.raises(Unsigned):
        trust_in("rsa", "p384").judge(found, subject)


def test_a_release_that_was_copied_to_another_device_is_bound_to_the_first() -> None:
    """What was signed names the device, so the copy's own name does not agree."""
    case = SignedCase("v3-copied-device")
    subject = case.digest("1.0.0")
    assert subject is not None
    annotations = case.json(str(subject))["annotations"]
    check_bound(Device("v3-copied-from"), Version.parse("1.0.0"), [annotations], required=True)
    with pytest.raises(Unsigned, match=r"another device: .* 'v3-copied-from'"):
        check_bound(Device("v3-copied-device"), Version.parse("1.0.0"), [annotations])
