"""The repositories that cosign signed, as a source would give what is found in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from otaflux.model.artifact import SIGNATURE, Digest
from otaflux.signature.found import (
    BundleBytes,
    FoundSignature,
    SimpleSigning,
    is_bundle_type,
)
from otaflux.signature.keys import parse_keys
from otaflux.signature.trust import Trust

ASSETS = Path(__file__).resolve().parent.parent / "signature" / "assets"
CASES = sorted(path.stem for path in (ASSETS / "cases").glob("*.json"))


@dataclass(frozen=True)
class SignedCase:
    """One repository of the assets."""

    name: str

    @cached_property
    def told(self) -> dict[str, Any]:
        """The whole file of the case."""
        return json.loads((ASSETS / "cases" / f"{self.name}.json").read_text())

    @property
    def trust(self) -> Trust:
        """The key that the case is asked with."""
        return trust_in(self.told["key"].removeprefix("keys/").removesuffix(".pub"))

    def digest(self, tag: str) -> Digest | None:
        """What a tag stands for."""
        text = self.told["tags"].get(tag)
        return Digest.parse(text) if text else None

    def content(self, digest: str) -> bytes:
        """A manifest or a blob by its digest."""
        return (ASSETS / "content" / digest.removeprefix("sha256:")).read_bytes()

    def json(self, digest: str) -> dict[str, Any]:
        """A manifest or an index by its digest."""
        return json.loads(self.content(digest))

    def found(self, subject: Digest) -> list[FoundSignature]:
        """All that lies beside a manifest, in either layout."""
        name = f"sha256-{subject.hex}"
        found: list[FoundSignature] = []
        if fallback := self.digest(name):
            for child in self.json(str(fallback))["manifests"]:
                layers = self.json(child["digest"])["layers"]
                found.extend(
                    BundleBytes(self.content(layer["digest"]))
                    for layer in layers
                    if is_bundle_type(layer["mediaType"])
                )
        if signed := self.digest(f"{name}.sig"):
            for layer in self.json(str(signed))["layers"]:
                text = layer.get("annotations", {}).get(SIGNATURE, "")
                digest = Digest.parse(layer["digest"])
                found.append(SimpleSigning(self.content(layer["digest"]), text, digest))
        return found


def trust_in(*names: str) -> Trust:
    """Trust in keys of the assets, by their names."""
    pem = b"".join((ASSETS / "keys" / f"{name}.pub").read_bytes() for name in names)
    return Trust(parse_keys(pem))
