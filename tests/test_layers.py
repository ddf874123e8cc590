"""The walls between rooms stand, and each of them is noticed when it is broken.

A wall is broken in a copy of the package, by one import more, and import-linter has to fail and
name the contract.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS, WEB = PROJECT["tool"]["importlinter"]["contracts"]
PACKAGE = ROOT / "otaflux"


def exists(room: str) -> bool:
    """Whether a room is built; those in brackets may not be."""
    return (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()


FLOORS = [
    [room for room in (name.strip("() ") for name in floor.split("|")) if exists(room)]
    for floor in LAYERS["layers"]
]


def walls() -> list[tuple[str, str, str]]:
    """Imports that must not be: (the room that imports, what it imports, the contract)."""
    upward = [(lower[0], upper[0]) for upper, lower in itertools.pairwise(FLOORS)]
    sideways = [(floor[0], floor[1]) for floor in FLOORS if len(floor) > 1]
    seam = [("web", name.removeprefix("otaflux.")) for name in WEB["forbidden_modules"]]
    return [
        *((*pair, LAYERS["name"]) for pair in upward + sideways),
        *((*pair, WEB["name"]) for pair in seam),
    ]


def lint(folder: Path) -> tuple[int, str]:
    """What import-linter makes of the package in `folder`: exit code and words."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("lint-imports"),
            "--config",
            ROOT / "pyproject.toml",
            "--no-cache",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, " ".join(done.stdout.split())


def copied(folder: Path) -> Path:
    """A copy of the package."""
    target = folder / "otaflux"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def test_the_walls_stand(tmp_path: Path) -> None:
    """No room uses one that it must not, and each room has its floor."""
    copied(tmp_path)
    code, words = lint(tmp_path)
    assert code == 0, words
    assert "2 kept, 0 broken" in words


@pytest.mark.parametrize(("room", "imported", "contract"), walls())
def test_a_broken_wall_is_named(tmp_path: Path, room: str, imported: str, contract: str) -> None:
    """One import through a wall fails the check, which names the contract in words."""
    package = copied(tmp_path)
    place = package / room / "__init__.py" if (package / room).is_dir() else package / f"{room}.py"
    text = place.read_text()
    place.write_text(f"{text}\nimport otaflux.{imported}\n")
    code, words = lint(tmp_path)
    assert code == 1
    assert f"{contract} BROKEN" in words


def test_a_room_without_a_floor_is_noticed(tmp_path: Path) -> None:
    """A new room has to be given its floor."""
    (copied(tmp_path) / "annex.py").write_text('"""A room that nobody planned."""\n')
    code, words = lint(tmp_path)
    assert code == 1
    assert "otaflux.annex" in words


def test_the_seam_is_the_drawn_one() -> None:
    """The web is kept from all that has to do with the registry; signatures too, once built."""
    expected = {"registry", "signature", "unpack", "reconcile"}
    named = {name.removeprefix("otaflux.") for name in WEB["forbidden_modules"]}
    assert named == {room for room in expected if exists(room)}
