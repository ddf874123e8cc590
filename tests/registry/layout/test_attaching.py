"""A signature in the embedded folder: beside what it signs, in one write with the tag."""

from __future__ import annotations

import json
from pathlib import Path

from attaching import BUNDLE, signed

from otaflux.model.artifact import Digest
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.source import File

LAMP = Device("lamp")


async def test_a_signature_lies_beside_what_it_signs(tmp_path: Path, firmware: File) -> None:
    """No tag names it, its subject says what it is about; the same again changes no byte."""
    layout, index = Layout(tmp_path / "registry"), tmp_path / "registry" / "lamp" / "index.json"

    async def push(*, by: str = "", tag: str = "1.0.0") -> Digest:
        attach = signed(by) if by else None
        digest = await layout.push(
            LAMP, Tag(tag), [firmware], annotations={}, force=False, attach=attach
        )
        (found,) = (await layout.attached(LAMP, digest))[:1] or [None]
        assert (found is not None) == bool(by)
        return digest

    await push()
    unsigned = json.loads(index.read_bytes())["manifests"]
    digest = await push(by="a")
    signature, once = json.loads(index.read_bytes())["manifests"][-1], index.read_bytes()
    assert signature["artifactType"] == BUNDLE
    assert json.loads(once)["manifests"] == [*unsigned, signature]
    await push(by="a")
    assert index.read_bytes() == once
    await push(by="b")
    assert len(await layout.attached(LAMP, digest)) == 2
    await push(by="a", tag="1.1.0")
    assert len(json.loads(index.read_bytes())["manifests"]) == 5
