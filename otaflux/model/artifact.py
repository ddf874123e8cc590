"""What a registry holds: digests, descriptors, manifests, indexes, listings.

Source of the formats: the OCI image specification 1.1 (`descriptor.md`, `manifest.md`,
`image-index.md`) and Docker's schema 2, which differs in media types only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from otaflux.errors import BadName
from otaflux.model.names import Tag
from otaflux.model.taglist import TagList

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
# What the media types of Sigstore's bundles begin with, whatever their version.
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
CREATED = "org.opencontainers.image.created"
REVISION = "org.opencontainers.image.revision"
SOURCE = "org.opencontainers.image.source"
DESCRIPTION = "org.opencontainers.image.description"
URL = "org.opencontainers.image.url"
DEVICE = "io.otaflux.device"
FIRMWARE_PATH = "io.otaflux.firmware.path"
UNPACK = "io.otaflux.unpack"
CHIP = "io.otaflux.chip"
REFERENCE_TYPE = "vnd.docker.reference.type"
SIGNATURE = "dev.cosignproject.cosign/signature"
# Of a signature by a certificate, in the old layout.
CERTIFICATE = "dev.sigstore.cosign/certificate"
LOG_ENTRY = "dev.sigstore.cosign/bundle"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
SIGNS = "https://sigstore.dev/cosign/sign/v1"  # the predicate's type of what approves a release
# Those that count for OtaFlux; a manifest may have any number of others, which are not kept.
KEPT_ANNOTATIONS = frozenset(
    {
        *(TITLE, VERSION, CREATED, REVISION, SOURCE, DESCRIPTION, URL),
        *(DEVICE, FIRMWARE_PATH, UNPACK, CHIP, REFERENCE_TYPE, SIGNATURE, PREDICATE_TYPE),
        *(CERTIFICATE, LOG_ENTRY),
    }
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PREFIX = len("sha256:")

NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})


class Digest(msgspec.Struct, frozen=True, order=True, gc=False):
    """`algorithm:hex` of bytes; sha256 or sha512, lower-case, of the right length."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…`; raises `BadName` where it is no digest that OtaFlux can check."""
        if not _DIGEST.fullmatch(text):
            raise BadName("this is no sha256 or sha512 digest")
        # One string for all of an algorithm: there are very many digests.
        return cls("sha256" if text.startswith("sha256") else "sha512", text[_PREFIX:])

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


class Platform(msgspec.Struct, frozen=True):
    """For whom a child of an index is; empty strings where it does not say."""

    architecture: str = ""
    os: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True):
    """Points at bytes: what they are, their digest, their size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = NO_ANNOTATIONS
    platform: Platform | None = None
    artifact_type: str = ""

    def __hash__(self) -> int:
        return hash((self.digest, self.media_type, self.size))

    @property
    def title(self) -> str:
        """The file's name as its pusher wrote it: untrusted, never a path of ours."""
        return self.annotations.get(TITLE, "")


class Manifest(msgspec.Struct, frozen=True):
    """One artifact: its layers, in the order of the manifest.

    `digest` is computed over the bytes that were read, `size` is their number. `artifact_type` is
    the manifest's, else the config's media type.
    """

    digest: Digest
    size: int
    media_type: str
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = NO_ANNOTATIONS
    subject: Descriptor | None = None

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def is_container_image(self) -> bool:
        """A container image by the contract: such a config, and no layer with a title."""
        return self.config.media_type in {OCI_CONFIG, DOCKER_CONFIG} and not any(
            layer.title for layer in self.layers
        )


class Index(msgspec.Struct, frozen=True):
    """Several manifests under one digest, usually one a platform."""

    digest: Digest
    size: int
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = NO_ANNOTATIONS
    subject: Descriptor | None = None
    artifact_type: str = ""

    def __hash__(self) -> int:
        return hash(self.digest)


Artifact = Manifest | Index


class Listing(msgspec.Struct, frozen=True):
    """The tags of a repository.

    `tags` are those that the OCI grammar allows, in no order; very many are a `TagList`.
    `repository_known` is False where the source said that it does not know the repository; `tags`
    is empty then. `is_cache` is True where the source says that it only caches what another
    registry has: what it lacks may be there.
    """

    tags: tuple[Tag, ...] | TagList
    repository_known: bool = True
    is_cache: bool = False

    def texts(self) -> Iterator[str]:
        """Each tag's text; of very many some may be there twice."""
        if isinstance(self.tags, TagList):
            return self.tags.texts()
        return (tag.text for tag in self.tags)


class Gone(msgspec.Struct, frozen=True):
    """The answer that a tag is not there: a 404 whose OCI error body says so, nothing less."""
