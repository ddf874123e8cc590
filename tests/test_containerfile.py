"""What the Containerfile copies is there, the wheel that it builds is whole, the image is sound."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from otaflux.settings import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "Containerfile").read_text()
# A line for each instruction: comments gone, continued lines joined.
LINES = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
STAGES = "\n".join(LINES).split("\nFROM ")  # what stands above the first, then each
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(kind: str, lines: str = STAGES[-1]) -> list[str]:
    """What the instructions of a kind say, in the last stage if no other is given."""
    return [line.split(" ", 1)[1].strip() for line in lines.splitlines() if line.startswith(kind)]


def pairs(kind: str) -> dict[str, str]:
    """The NAME=VALUE words of all instructions of a kind."""
    words = [word for line in instructions(kind) for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def copied() -> list[str]:
    """What of this folder the build copies."""
    lines = [line for line in LINES if line.startswith("COPY ") and "--from" not in line]
    return [path for line in lines for path in shlex.split(line)[1:-1]]


def test_what_is_copied_is_there_and_let_through() -> None:
    """Each path of a COPY exists, and .containerignore lets it through, and nothing besides."""
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".containerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert {*copied()} == let_through
    for path in copied():
        assert (ROOT / path).exists(), path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the build copies, and the wheel that its own step made of that."""
    folder = tmp_path_factory.mktemp("image")
    for path in copied():
        source = ROOT / path
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / path, ignore=ignored)
        else:
            shutil.copy(source, folder / path)
    step = re.search(r'bin/python -c "(from hatchling[^"]*)"', TEXT)
    assert step is not None
    subprocess.run([sys.executable, "-c", step[1]], cwd=folder, check=True, timeout=60)
    return folder


def test_the_wheel_holds_the_program_and_what_goes_with_it(built: Path) -> None:
    """The command, each module, man pages, completion, licence and bill of materials."""
    (wheel,) = (built / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "otaflux = otaflux.__main__:main" in archive.read(entry).decode()
    source = {str(path.relative_to(ROOT)) for path in (ROOT / "otaflux").rglob("*.py")}
    assert source <= names
    about = f"otaflux-{PROJECT['version']}"
    assert f"{about}.dist-info/sboms/otaflux.cdx.json" in names
    assert f"{about}.dist-info/licenses/LICENSE" in names
    shared = {
        f"{about}.data/data/{path.relative_to(ROOT)}"
        for path in (ROOT / "share").rglob("*")
        if path.is_file() and "sbom" not in path.parts
    }
    assert len(shared) > 12
    assert shared <= names
    others = [name for name in names - source - shared if ".dist-info/" not in name]
    assert all(name.startswith("otaflux/") for name in others), others


def test_the_wheel_runs_where_it_is_installed(built: Path, tmp_path: Path) -> None:
    """From its own files, not from this checkout; with what it needs beside it."""
    (wheel,) = (built / "dist").glob("*.whl")
    place = tmp_path / "place"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", place, wheel], check=True, timeout=60)
    says = "import otaflux, otaflux.cli.main as m; print(otaflux.__file__); m.main(['--version'])"
    done = subprocess.run(
        [sys.executable, "-c", says],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, version = done.stdout.splitlines()
    assert Path(where).is_relative_to(place)
    assert version == f"otaflux {PROJECT['version']}"


def test_the_source_archive_makes_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """What is in the sdist is enough to build and to test."""
    made = "from hatchling.build import build_sdist; build_sdist('dist')"
    copy = tmp_path / "project"
    left_out = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "captures")
    shutil.copytree(ROOT, copy, ignore=left_out)
    subprocess.run([sys.executable, "-c", made], cwd=copy, check=True, timeout=60)
    (sdist,) = (copy / "dist").glob("*.tar.gz")
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xzf", sdist], cwd=tmp_path / "out", check=True, timeout=60)
    (unpacked,) = (tmp_path / "out").iterdir()
    for path in (*copied(), "Makefile", "setup/venv", "tests", "docs/install.md", "deploy"):
        assert (unpacked / path).exists(), path
    step = "from hatchling.build import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", step], cwd=unpacked, check=True, timeout=60)
    (one,), (other,) = (unpacked / "dist").glob("*.whl"), (built / "dist").glob("*.whl")
    with zipfile.ZipFile(one) as left, zipfile.ZipFile(other) as right:
        contents = [{name: each.read(name) for name in each.namelist()} for each in (left, right)]
    assert contents[0] == contents[1]


def test_the_image_is_run_by_nobody_special() -> None:
    """A user of its own, who owns its data alone with the group that users without a name have."""
    assert instructions("USER") == ["10001:10001"]
    assert instructions("VOLUME") == ["/data"]
    (made,) = instructions("RUN")
    assert "chown otaflux:root /data && chmod 770 /data" in made
    assert "--uid 10001" in made
    assert "--gid 10001" in made
    environment = pairs("ENV")
    assert environment["HOME"] == environment["DATA_DIR"] == "/data"
    settings = {setting.name for setting in SETTINGS}
    assert {*environment} - settings == {"PATH", "HOME", "PYTHONDONTWRITEBYTECODE"}


def test_it_ends_and_is_asked_after_as_the_program_wants() -> None:
    """The program is process 1 itself, without a shell, and answers its own health check."""
    assert [json.loads(each) for each in instructions("ENTRYPOINT")] == [["otaflux"]]
    assert [json.loads(each) for each in instructions("CMD")] == [["serve"]]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    (check,) = instructions("HEALTHCHECK")
    assert json.loads(check.split(" CMD ")[1]) == ["otaflux", "get", "/health"]
    ports = {setting.default.rpartition(":")[2] for setting in SETTINGS if ":" in setting.default}
    assert {*instructions("EXPOSE")[0].split()} <= ports


def test_its_labels_say_what_it_is() -> None:
    """Title, version, licence and description are those of the project; the base is named."""
    labels = {
        name.removeprefix("org.opencontainers.image."): v for name, v in pairs("LABEL").items()
    }
    assert labels["title"] == PROJECT["name"]
    assert labels["version"] == PROJECT["version"]
    assert labels["licenses"] == PROJECT["license"]
    assert PROJECT["description"].startswith(labels["description"])
    assert labels["base.name"] == "${PYTHON}"
    assert {"PYTHON", "REVISION="} <= {*instructions("ARG")}


def test_nothing_is_installed_that_no_lock_names() -> None:
    """Both locks by their hashes, the wheel from no index, and no package of the system."""
    assert len(STAGES) == 3
    assert TEXT.count("--require-hashes") == 2
    every = re.findall(r"pip install ([^&\n]*)", TEXT)
    assert len(every) == 3
    assert all("--require-hashes" in each or "--no-index" in each for each in every)
    assert not re.search(r"apt|curl|wget|\bADD\b", "\n".join(LINES))


def test_what_is_built_on_top_for_identities_is_the_extra() -> None:
    """docs/install.md shows an image with exactly what the extra `keyless` brings."""
    page = (ROOT / "docs/install.md").read_text()
    assert f"pip install --no-cache-dir '{PROJECT['optional-dependencies']['keyless'][0]}'" in page
