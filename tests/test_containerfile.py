"""What the Containerfile copies is there, and the wheel that it builds holds OtaFlux."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "Containerfile").read_text()


def test_what_is_copied_is_there_and_let_through() -> None:
    """Each path of a COPY exists, and .containerignore lets it through."""
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".containerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = [
        path
        for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.MULTILINE)
        for path in shlex.split(line)[:-1]
    ]
    assert "otaflux" in copied
    for path in copied:
        assert (ROOT / path).exists(), path
        assert path in let_through, path


def test_the_wheel_holds_the_program(tmp_path: Path) -> None:
    """The build step, as it stands there, makes a wheel with the command in it."""
    step = re.search(r'bin/python -c "(from hatchling[^"]*)"', TEXT)
    assert step is not None
    for path in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / path, tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "otaflux", tmp_path / "otaflux", ignore=ignored)
    subprocess.run([sys.executable, "-c", step[1]], cwd=tmp_path, check=True, timeout=60)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert "otaflux = otaflux.__main__:main" in archive.read(entry).decode()
    assert "otaflux/web/port/server.py" in names


def test_the_image_is_run_by_nobody_special() -> None:
    """The last stage has a user of its own, a volume for its data, and a health check."""
    last = TEXT.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER 10001", last, re.MULTILINE)
    assert "VOLUME /data" in last
    assert '"otaflux", "get", "/health"' in last
    assert TEXT.count("--require-hashes") == 2
