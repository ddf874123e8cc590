"""Writes OCI image layouts by hand, as the specification has them, for tests of who reads them.

    folder = LayoutFiles(tmp_path / "registry" / "lamp")
    digest = folder.artifact([b"firmware"], tag="1.0.0")

It shares no code with the program's own writing, and checks with `whole` what that wrote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def sha256(content: bytes) -> str:
    """`sha256:HEX` of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class LayoutFiles:
    """One layout on disk; `entries` is the index's list, for meddling, written by `write`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[dict[str, Any]] = []
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.write()

    def write(self) -> None:
        """Write the index as `entries` has it."""
        document = {"schemaVersion": 2, "manifests": self.entries}
        (self.folder / "index.json").write_text(json.dumps(document))

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies."""
        return self.folder / "blobs" / Path(*digest.split(":"))

    def blob(self, content: bytes, media_type: str = "application/octet-stream") -> dict[str, Any]:
        """Store a blob; answers its descriptor."""
        digest = sha256(content)
        self.blob_path(digest).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def document(self, document: dict[str, Any], *, tag: str | None = None) -> dict[str, Any]:
        """Store a manifest or an index and name it in `index.json`; answers its descriptor."""
        body = json.dumps({"schemaVersion": 2, **document}).encode()
        descriptor = self.blob(body, document["mediaType"])
        entry = {**descriptor, "annotations": {REF_NAME: tag}} if tag else descriptor
        self.entries.append(entry)
        self.write()
        return descriptor

    def artifact(
        self,
        contents: Sequence[bytes] = (b"firmware",),
        *,
        tag: str | None = None,
        **more: Any,
    ) -> str:
        """Store a manifest with a layer for each content; answers its digest."""
        document = {
            "mediaType": MANIFEST,
            "config": self.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [self.blob(content) for content in contents],
            **more,
        }
        return str(self.document(document, tag=tag)["digest"])


def whole(folder: Path) -> dict[str, str]:
    """The tags of a layout and their digests, after every blob that they name was checked."""
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((folder / "index.json").read_text())
    assert index["schemaVersion"] == 2
    tags = {}
    for entry in index["manifests"] or ():
        manifest = json.loads(_checked(folder, entry))
        for descriptor in (manifest["config"], *manifest["layers"]):
            _checked(folder, descriptor)
        tag = entry.get("annotations", {}).get(REF_NAME)
        if tag is not None:
            assert tag not in tags
            tags[tag] = entry["digest"]
    return tags


def _checked(folder: Path, descriptor: dict[str, Any]) -> bytes:
    content = (folder / "blobs" / Path(*descriptor["digest"].split(":"))).read_bytes()
    assert len(content) == descriptor["size"]
    assert sha256(content) == descriptor["digest"]
    return content
