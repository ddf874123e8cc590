"""What was found beside a release: signatures in either layout, not believed yet."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from otaflux.model.artifact import BUNDLE_TYPE, Digest

# Bytes of a simple signing payload. Real ones have some 250, and besides what `cosign sign -a`
# adds.
MAX_PAYLOAD = 64 * 1024
# Bytes of a bundle. A signature by a key has some 700, by a certificate some 12,000; attestations
# with an SBOM in them may have megabytes, and are no signatures.
MAX_BUNDLE = 128 * 1024
MAX_SIGNATURE = 16 * 1024  # characters of a signature in base64; RSA with 16,384 bits has 2,732

SIMPLE_SIGNING_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"


@dataclass(frozen=True, slots=True)
class SimpleSigning:
    """A layer of the tag `sha256-….sig`: cosign 2's layout.

    `payload` is the layer's blob, `payload_digest` the digest that the layer gives for it, and
    `signature` the layer's annotation in base64, empty where there is none. So are `certificate`
    (PEM) and `log_entry` (JSON), which only signatures by a certificate have.
    """

    payload: bytes
    signature: str
    payload_digest: Digest
    certificate: str = ""
    log_entry: str = ""


class BundleBytes(msgspec.Struct, frozen=True):
    """The blob of a referrer whose type begins with `BUNDLE_TYPE`: cosign 3's layout."""

    data: bytes


FoundSignature = SimpleSigning | BundleBytes


def is_bundle_type(media_type: str) -> bool:
    """Whether a media type is a bundle's, of whatever version and in whichever spelling."""
    return media_type.lower().startswith(BUNDLE_TYPE)
