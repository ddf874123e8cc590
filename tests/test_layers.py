"""The walls between rooms stand, and each of them is noticed when it is broken.

A wall is broken in a copy of the package, by one import more, and import-linter has to fail and
name the contract.
"""

from __future__ import annotations

import ast
import itertools
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from otaflux import hooks

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {each["id"]: each for each in PROJECT["tool"]["importlinter"]["contracts"]}
LAYERS = CONTRACTS["layers"]
WEB = CONTRACTS["devices-are-served-while-the-registry-is-down"]
HOOKS, SOURCES, PORT, PURE = (CONTRACTS[name] for name in ("hooks", "sources", "port", "pure"))
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
    one, other = SOURCES["modules"]
    return [
        *((*pair, LAYERS["name"]) for pair in upward + sideways),
        *((*pair, WEB["name"]) for pair in seam),
        (_room(one), _room(other), SOURCES["name"]),
        (_room(other), _room(one), SOURCES["name"]),
        ("web/devices", "web.port", PORT["name"]),
        ("web/devices", "web.hooks", PORT["name"]),
        ("web/hooks", "web.devices", PORT["name"]),
        ("web/ops", "web.devices", PORT["name"]),
        ("web/ops", "web.port", PORT["name"]),
        ("web/hooks", "web.port", PORT["name"]),
        ("web/answers", "web.devices", PORT["name"]),
    ]


def _room(module: str) -> str:
    """Where a module lies below the package; imported, it is named with dots."""
    return module.removeprefix("otaflux.").replace(".", "/")


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
    assert f"{len(CONTRACTS)} kept, 0 broken" in words


@pytest.mark.parametrize(("room", "imported", "contract"), walls())
def test_a_broken_wall_is_named(tmp_path: Path, room: str, imported: str, contract: str) -> None:
    """One import through a wall fails the check, which names the contract in words."""
    _break(copied(tmp_path), room, f"otaflux.{imported.replace('/', '.')}")
    code, words = lint(tmp_path)
    assert code == 1
    assert f"{contract} BROKEN" in words


def _break(package: Path, room: str, imported: str) -> None:
    """Have a room import what it must not."""
    place = package / room / "__init__.py" if (package / room).is_dir() else package / f"{room}.py"
    place.write_text(f"{place.read_text()}\nimport {imported}\n")


def test_each_source_of_hooks_is_kept_from_each_other(tmp_path: Path) -> None:
    """All that the table names are, and one that looks into its neighbour is named."""
    listed = {module.removeprefix("otaflux.hooks.") for module in HOOKS["modules"]}
    assert listed == {each.parse.__module__.rpartition(".")[2] for each in hooks.SOURCES.values()}
    package = copied(tmp_path)
    ring = HOOKS["modules"]
    for module, neighbour in zip(ring, ring[1:] + ring[:1], strict=True):
        _break(package, _room(module), neighbour)
    code, words = lint(tmp_path)
    assert code == 1
    assert f"{HOOKS['name']} BROKEN" in words
    for module, neighbour in zip(ring, ring[1:] + ring[:1], strict=True):
        assert f"{module} -> {neighbour} " in words


def test_each_pure_room_is_kept_from_each_thing_that_is_not(tmp_path: Path) -> None:
    """Every room, and every package that it must not know, is named once broken."""
    package = copied(tmp_path)
    rooms, outside = PURE["source_modules"], PURE["forbidden_modules"]
    broken = [(rooms[n % len(rooms)], outside[n % len(outside)]) for n in range(len(outside))]
    for room, name in broken:
        _break(package, _room(room), name)
    code, words = lint(tmp_path)
    assert code == 1
    assert f"{PURE['name']} BROKEN" in words
    for room, name in broken:
        assert f"{room} is not allowed to import {name}" in words


def test_no_two_public_classes_share_a_name() -> None:
    """A name means one thing, wherever in the program it is read."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


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
