"""Any bytes as a manifest: a plan, or one of this project's errors with a printable reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["otaflux"]):
    from otaflux.errors import Undecided, Unusable
    from otaflux.model.artifact import (
        DOCKER_LIST,
        DOCKER_MANIFEST,
        FIRMWARE_PATH,
        OCI_CONFIG,
        OCI_EMPTY,
        OCI_INDEX,
        OCI_MANIFEST,
        REFERENCE_TYPE,
        TITLE,
        UNPACK,
        Index,
    )
    from otaflux.registry.manifest import parse_artifact
    from otaflux.unpack.choose import child, plan, promise, suspects

TYPES = (None, OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "text/html")
DIGEST = "sha256:" + "0" * 64


def test_one_input(data: bytes) -> None:
    """Parse it, and plan what a pull would do."""
    media_type = TYPES[data[0] % len(TYPES)] if data else None
    try:
        artifact = parse_artifact(data[1:], media_type=media_type)
        if isinstance(artifact, Index):
            children = [(each, artifact) for each in suspects(artifact)]
            artifact = child(artifact, children)[1]
        planned = plan(artifact)
        for layer in planned.layers:
            promise(layer, is_image=planned.is_image)
    except (Undecided, Unusable) as refused:
        assert str(refused).isprintable()
        assert len(str(refused)) < 3000


def seeds() -> list[bytes]:
    """Whole documents of each kind, with every annotation that means something."""
    notes = {TITLE: "firmware.bin", FIRMWARE_PATH: "a/b", UNPACK: "false", REFERENCE_TYPE: "x"}
    described = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 9}
    layer = {**described, "annotations": notes, "data": "e30=", "urls": []}
    whole = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": [layer]}
    artifact = {**whole, "artifactType": "a/b", "subject": described, "annotations": notes}
    artifact["config"] = {**described, "mediaType": OCI_EMPTY}
    platform = {"architecture": "unknown", "os": "linux", "variant": "v8"}
    listed = [{**described, "mediaType": OCI_MANIFEST, "platform": platform}, layer]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed, "annotations": notes}
    documents = (whole, artifact, index, {**whole, "layers": [described] * 3}, {"schemaVersion": 1})
    return [bytes([kind]) + json.dumps(each).encode() for kind in range(3) for each in documents]


def main() -> None:
    """Begin with the seeds, then let the fuzzer work."""
    for argument in sys.argv[1:]:
        if Path(argument).is_dir():
            for number, seed in enumerate(seeds()):
                (Path(argument) / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
