"""`setup/venv` and the Containerfile install what the locks name, whatever else an index has.

The index is a folder of the test's own that has a newer release of what is pinned: pip before 24
looks past a lock for the newest release of what another package wants with an extra, and then
refuses it, for no hash stands there for it. That pip is the one that Python 3.11 carries along
(ensurepip's 23.2), so a virtual environment of such a Python begins with it, as on Debian 12.
"""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OLD_PIP = int(ensurepip.version().split(".")[0]) < 24

# A build backend that needs nothing: an editable wheel with a name and no content.
BACKEND = """
import zipfile

def build_editable(folder, settings=None, metadata=None):
    name = "mine-1-py3-none-any.whl"
    about = "Metadata-Version: 2.1\\nName: mine\\nVersion: 1\\n"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("mine-1.dist-info/METADATA", about)
        wheel.writestr("mine-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("mine-1.dist-info/RECORD", "")
    return name

"""


def wheel(folder: Path, name: str, version: str, *requires: str, extra: str = "") -> str:
    """A package with nothing in it; answers its line in a lock."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}"] if extra else []
    lines += [f"Requires-Dist: {each}" for each in requires]
    files = {
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for where, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=")
        record += f"{where},sha256={digest.decode()},{len(content)}\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        for each, content in files.items():
            packed.writestr(each, content)
        packed.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with locks of its own, and an index with newer releases of what they pin."""
    index = tmp_path / "index"
    index.mkdir()
    lock = wheel(index, "helper", "1.0")
    lock += wheel(index, "thing", "1.0", 'helper; extra == "more"', extra="more")
    lock += wheel(index, "user", "1.0", "thing[more]>=1.0")
    wheel(index, "helper", "2.0")
    wheel(index, "thing", "2.0", 'helper; extra == "more"', extra="more")
    project = tmp_path / "project"
    (project / "setup").mkdir(parents=True)
    shutil.copy(ROOT / "setup" / "venv", project / "setup")
    (project / "requirements.lock").write_text(lock)
    (project / "requirements-build.lock").write_text(wheel(index, "backendless", "1.0"))
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return project


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the project, that sees no index but the test's."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(project),
        "PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(project.parent / "index"),
        "PIP_CONFIG_FILE": os.devnull,
    }
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def installed(project: Path) -> set[str]:
    """What is there, as `name==version`."""
    done = run(project, ".venv/bin/pip", "freeze", "--disable-pip-version-check")
    return {line for line in done.stdout.splitlines() if "==" in line}


def test_an_index_with_newer_releases_disturbs_no_installation(project: Path) -> None:
    """What the lock names is installed, and nothing else; without --no-deps it would not be."""
    script = project / "setup" / "venv"
    right = script.read_text()
    assert "--no-deps --require-hashes" in right
    if OLD_PIP:
        script.write_text(right.replace("--no-deps --require-hashes", "--require-hashes"))
        done = run(project, "setup/venv", ".venv", "requirements.lock")
        assert done.returncode != 0
        assert "thing[more]" in done.stderr
        assert "user==1.0" not in installed(project)
    script.write_text(right)
    done = run(project, "setup/venv", ".venv", "requirements.lock")
    assert (done.returncode, done.stderr) == (0, "")
    locked = {"helper==1.0", "thing==1.0", "user==1.0", "backendless==1.0"}
    assert locked <= installed(project)
    for number, name in enumerate(("helper-1.0", "thing-1.0", "user-1.0"), 1):
        assert f"  {number} of 3 in requirements.lock: {name}" in done.stdout, "so it goes on"
    (project / "requirements.lock").write_text(f"helper==2.0 --hash=sha256:{64 * '0'}\n")
    done = run(project, "setup/venv", ".venv", "requirements.lock")
    assert done.returncode != 0, "pip's own exit code, though its lines are shortened"
    assert "hash" in done.stderr.lower()
    assert "is ready" not in done.stdout


def test_the_container_is_built_from_the_lock_alone(project: Path) -> None:
    """The Containerfile's own options, for the same lock and the same index."""
    text = (ROOT / "Containerfile").read_text()
    lines = re.findall(r"pip install ([^&\n]*?)-r requirements\.lock", text)
    assert len(lines) == 1
    every = re.findall(r"pip install ([^&\n]*?)-r ", text)
    assert all("--no-deps" in options.split() for options in every)
    assert run(project, sys.executable, "-m", "venv", ".venv").returncode == 0
    pip = [".venv/bin/pip", "install", "--disable-pip-version-check"]
    options = lines[0].split()
    if OLD_PIP:
        without = [option for option in options if option != "--no-deps"]
        assert run(project, *pip, *without, "-r", "requirements.lock").returncode != 0
    done = run(project, *pip, *options, "-r", "requirements.lock")
    assert done.returncode == 0, done.stderr
    assert {"helper==1.0", "thing==1.0", "user==1.0"} <= installed(project)
