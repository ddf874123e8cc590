"""What is attached to a manifest when it is pushed: a signature, as a referrer. Pure.

The shape is cosign 3's: a manifest whose `subject` is what it is about, with one layer and the
empty config (OCI image specification 1.1, `manifest.md`). Where a registry has no referrers API,
clients keep a list in an index under the tag `sha256-HEX` (distribution specification 1.1,
"Referrers Tag Schema"): what others wrote there is kept, field for field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from otaflux.errors import Refused
from otaflux.model.artifact import OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, Digest
from otaflux.registry.manifest import MAX_CHILDREN, MAX_MANIFEST, digest_of
from otaflux.registry.source import Attached
from otaflux.registry.upload import EMPTY_BLOB, EMPTY_DIGEST


class Attachment(msgspec.Struct, frozen=True):
    """An attached artifact, ready to be pushed: its blob, then its manifest."""

    blob: bytes
    blob_digest: Digest
    manifest: bytes
    digest: Digest
    descriptor: Mapping[str, object]


def attachment(about: bytes, subject: Digest, attached: Attached) -> Attachment:
    """The artifact that attaches something to the manifest `about`, whose digest is `subject`."""
    blob_digest = digest_of(attached.content)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": attached.media_type,
        "config": {
            "mediaType": OCI_EMPTY,
            "size": len(EMPTY_BLOB),
            "digest": str(EMPTY_DIGEST),
        },
        "layers": [
            {
                "mediaType": attached.media_type,
                "size": len(attached.content),
                "digest": str(blob_digest),
            }
        ],
        "subject": {"mediaType": OCI_MANIFEST, "size": len(about), "digest": str(subject)},
        "annotations": dict(attached.annotations),
    }
    manifest = _json(document)
    digest = digest_of(manifest)
    descriptor = {
        "mediaType": OCI_MANIFEST,
        "size": len(manifest),
        "digest": str(digest),
        "artifactType": attached.media_type,
        "annotations": dict(attached.annotations),
    }
    return Attachment(attached.content, blob_digest, manifest, digest, descriptor)


def listed(index: bytes | None, made: Attachment) -> bytes | None:
    """The list with the attachment in it; None where it is in it already.

    `index` is the list as it is, None where there is none. Raises `Refused` where the tag holds
    something else, or the list is full.
    """
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    if index is not None:
        try:
            document = json.loads(index)
            entries = document["manifests"]
            digests = [entry["digest"] for entry in entries]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Refused(
                "the tag that lists what is attached to it holds no list: take it away, and push"
                " again"
            ) from None
        if str(made.digest) in digests:
            return None
    document["manifests"] = [*document["manifests"], made.descriptor]
    body = _json(document)
    if len(document["manifests"]) > MAX_CHILDREN or len(body) > MAX_MANIFEST:
        raise Refused(f"more than {MAX_CHILDREN} artifacts are attached to it")
    return body


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
