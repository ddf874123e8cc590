"""What the fake registry holds: repositories, and Python to push, move and delete in them.

`Content` is a plain value without a server, so that a test can say what is there in one line:

    content = Content()
    digest = content.put("acme/sensor", "1.4.0", layers=[b"firmware"])
    content.tag("acme/sensor", "latest", digest)
    content.delete_tag("acme/sensor", "1.4.0")
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otaflux.model.artifact import (
    OCI_EMPTY,
    OCI_INDEX,
    OCI_MANIFEST,
    TITLE,
    Digest,
)


def sha256(content: bytes) -> Digest:
    """The digest of bytes."""
    return Digest("sha256", hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer to push; an empty `title` leaves the annotation away."""

    content: bytes
    title: str = "firmware.bin"
    media_type: str = "application/octet-stream"
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Child:
    """One manifest that an index names."""

    digest: Digest
    platform: Mapping[str, str] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A manifest's bytes, and what the registry calls them."""

    body: bytes
    media_type: str


@dataclass(slots=True)
class Repository:
    """Blobs and manifests by digest, tags in the order in which they were pushed."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, Stored] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Content:
    """Every repository, and the Python side of pushing."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}

    def repository(self, name: str) -> Repository:
        """The repository, made where it is not there."""
        return self.repositories.setdefault(name, Repository())

    def put(
        self,
        repository: str,
        tag: str | None,
        *,
        layers: Sequence[bytes | Layer],
        annotations: Mapping[str, str] | None = None,
        artifact_type: str = "application/vnd.acme.firmware",
        config: tuple[str, bytes] = (OCI_EMPTY, b"{}"),
        subject: Digest | None = None,
    ) -> Digest:
        """Push an artifact as oras does; without a tag, by digest only. Answers its digest.

        Several bare byte strings are titled firmware.bin, file1, file2, …
        """
        full = [
            layer
            if isinstance(layer, Layer)
            else Layer(layer, title=f"file{at}" if at else "firmware.bin")
            for at, layer in enumerate(layers)
        ]
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": self._blob(repository, config[1], config[0]),
            "layers": [self._layer(repository, layer) for layer in full],
        }
        if annotations:
            document["annotations"] = dict(annotations)
        if subject:
            document["subject"] = self.descriptor(repository, subject)
        return self.put_raw(repository, tag, json.dumps(document).encode())

    def put_index(self, repository: str, tag: str | None, children: Sequence[Child]) -> Digest:
        """Push an index over manifests that are there."""
        manifests = [
            self.descriptor(repository, child.digest)
            | ({"platform": dict(child.platform)} if child.platform else {})
            | ({"annotations": dict(child.annotations)} if child.annotations else {})
            | ({"artifactType": child.artifact_type} if child.artifact_type else {})
            for child in children
        ]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        return self.put_raw(repository, tag, json.dumps(document).encode(), OCI_INDEX)

    def put_raw(
        self, repository: str, tag: str | None, body: bytes, media_type: str = OCI_MANIFEST
    ) -> Digest:
        """Push any bytes as a manifest, unread."""
        digest = sha256(body)
        holder = self.repository(repository)
        holder.manifests[str(digest)] = Stored(body, media_type)
        if tag is not None:
            holder.tags[tag] = str(digest)
        return digest

    def attach(
        self, repository: str, subject: Digest, artifact: Digest, *, fallback: bool = False
    ) -> None:
        """Name an artifact in the fallback tag of its subject, as clients of old registries do.

        With a registry that has the referrers API a `subject` in the manifest is enough.
        """
        if not fallback:
            return
        tag = f"sha256-{subject.hex}"
        holder = self.repository(repository)
        children: list[Child] = []
        if tag in holder.tags:
            old = json.loads(holder.manifests[holder.tags[tag]].body)
            children = [Child(Digest.parse(child["digest"])) for child in old["manifests"]]
        self.put_index(repository, tag, [*children, Child(artifact)])

    def descriptor(self, repository: str, digest: Digest) -> dict[str, Any]:
        """The descriptor of a manifest that is there."""
        stored = self.repository(repository).manifests[str(digest)]
        return {
            "mediaType": stored.media_type,
            "digest": str(digest),
            "size": len(stored.body),
        }

    def tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Make a tag, or move it."""
        self.repository(repository).tags[tag] = str(digest)

    def delete_tag(self, repository: str, tag: str) -> None:
        """Take a tag away; the manifest stays."""
        del self.repository(repository).tags[tag]

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Take a manifest away with every tag that names it."""
        holder = self.repository(repository)
        del holder.manifests[str(digest)]
        holder.tags = {tag: to for tag, to in holder.tags.items() if to != str(digest)}

    def delete_blob(self, repository: str, digest: Digest) -> None:
        """Lose a blob that manifests still name."""
        del self.repository(repository).blobs[str(digest)]

    def drop(self, repository: str) -> None:
        """Take a whole repository away."""
        del self.repositories[repository]

    def resolve(self, repository: str, reference: str) -> Stored | None:
        """The manifest under a tag or a digest; None where there is none."""
        holder = self.repositories.get(repository)
        return holder and holder.manifests.get(holder.tags.get(reference, reference))

    def digest(self, repository: str, reference: str) -> str:
        """The digest under a tag, or the digest itself."""
        return self.repositories[repository].tags.get(reference, reference)

    def referrers(self, repository: str, subject: str) -> list[dict[str, Any]]:
        """The descriptors of the manifests whose `subject` is that digest."""
        found = []
        for digest, stored in self.repository(repository).manifests.items():
            try:
                document = json.loads(stored.body)
            except ValueError:
                continue
            if (document.get("subject") or {}).get("digest") == subject:
                found.append(
                    self.descriptor(repository, Digest.parse(digest))
                    | {
                        "artifactType": document.get("artifactType", ""),
                        "annotations": document.get("annotations", {}),
                    }
                )
        return found

    def _layer(self, repository: str, layer: Layer) -> dict[str, Any]:
        descriptor = self._blob(repository, layer.content, layer.media_type)
        annotations = dict(layer.annotations)
        if layer.title:
            annotations[TITLE] = layer.title
        return descriptor | ({"annotations": annotations} if annotations else {})

    def _blob(self, repository: str, content: bytes, media_type: str) -> dict[str, Any]:
        digest = str(sha256(content))
        self.repository(repository).blobs[digest] = content
        return {"mediaType": media_type, "digest": digest, "size": len(content)}
