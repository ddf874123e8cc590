"""However the firmware was packed, by whichever program: the same bytes come out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from extracting import OCTETS, TAR_LAYER, Pushed, artifact, unpack
from installed import find_program
from packings.files import PACKINGS, Packing
from packings.firmware import FAMILY, FIRMWARE, PROJECT, VERSION
from packings.images import IMAGES, Image
from packings.pushes import PUSHES, Push, docker_registry

from otaflux.model.release import Chip


def _rows(rows: list[Packing] | list[Image]) -> list[object]:
    """One row each, with the programs that it needs."""
    return [
        pytest.param(row, id=row.name, marks=[pytest.mark.real(name) for name in row.programs])
        for row in rows
    ]


def _expect_firmware(pushed: Pushed) -> None:
    data, firmware = unpack(pushed)
    assert data == FIRMWARE
    assert firmware.chip == Chip(FAMILY, VERSION, PROJECT)


@pytest.mark.parametrize("packing", _rows(PACKINGS))
@pytest.mark.parametrize("media_type", [OCTETS, TAR_LAYER], ids=["octets", "as-oras-says"])
def test_a_packed_file_gives_its_bytes(packing: Packing, media_type: str, tmp_path: Path) -> None:
    """Each packing of a file gives the file, also under the type that oras gives every file."""
    _expect_firmware(artifact(packing.build(tmp_path), packing.title, media_type))


@pytest.mark.parametrize("image", _rows(IMAGES))
def test_a_container_image_gives_its_firmware(image: Image, tmp_path: Path) -> None:
    """Each image gives the firmware that a container made from it would see."""
    _expect_firmware(image.build(tmp_path))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry for oras to push to."""
    program = find_program("docker-registry")
    assert program
    with docker_registry(program, tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.mark.real("docker-registry")
@pytest.mark.parametrize("push", [pytest.param(push, id=push.name) for push in PUSHES])
def test_what_oras_pushes_gives_its_bytes(
    push: Push, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What python oras makes of a file or a folder gives the firmware."""
    _expect_firmware(push.build(tmp_path, registry, monkeypatch.chdir))
