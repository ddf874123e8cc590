"""Taking a tag out of the embedded folder: one index written, blobs and other tags left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from layout_files import whole

from otaflux.errors import NotFound, Undecided
from otaflux.model.artifact import Gone
from otaflux.model.names import Device, Tag
from otaflux.registry.layout import Layout
from otaflux.registry.source import File

LAMP = Device("lamp")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the embedded folder is."""
    return tmp_path / "registry"


async def push(root: Path, tag: str) -> str:
    """One release of the lamp; answers its digest."""
    path = root.parent / "build.bin"
    path.write_bytes(tag.encode())
    files = [File(path, "firmware.bin", "application/octet-stream")]
    return str(await Layout(root).push(LAMP, Tag(tag), files, annotations={}, force=False))


async def test_a_tag_is_taken_back(root: Path) -> None:
    """The tag is gone, the other one is whole, and the last one leaves an empty index behind."""
    first, second = await push(root, "1.0.0"), await push(root, "2.0.0")
    layout = Layout(root)
    assert await layout.delete(LAMP, Tag("2.0.0")) == second
    assert whole(root / "lamp") == {"1.0.0": first}
    assert isinstance(await layout.resolve(LAMP, Tag("2.0.0")), Gone)
    await layout.delete(LAMP, Tag("1.0.0"))
    listing = await layout.tags(LAMP)
    assert (listing.tags, listing.repository_known) == ((), True)
    assert await push(root, "2.0.0") == second


async def test_what_is_not_there_is_told(root: Path) -> None:
    """A missing tag and a missing device raise, and nothing is made for them."""
    await push(root, "1.0.0")
    for device, tag in ((LAMP, "9.9.9"), (Device("nobody"), "1.0.0")):
        with pytest.raises(NotFound, match=f"no tag {tag}"):
            await Layout(root).delete(device, Tag(tag))
    assert not (root / "nobody").exists()


async def test_an_index_that_does_not_parse_is_left_alone(root: Path) -> None:
    """What cannot be read is not written over."""
    await push(root, "1.0.0")
    index = root / "lamp" / "index.json"
    index.write_text("{")
    with pytest.raises(Undecided, match="cannot change"):
        await Layout(root).delete(LAMP, Tag("1.0.0"))
    assert index.read_text() == "{"


async def test_deletions_and_pushes_at_once_lose_nothing(root: Path) -> None:
    """Each waits for the device's lock, so every tag that stays is there afterwards."""
    for number in range(4):
        await push(root, f"1.0.{number}")
    layout = Layout(root)
    await asyncio.gather(
        *(layout.delete(LAMP, Tag(f"1.0.{number}")) for number in range(4)),
        push(root, "2.0.0"),
    )
    assert whole(root / "lamp").keys() == {"2.0.0"}
