"""The lock files anew from pyproject.toml, and what that changes, in words: `make lock`.

    make lock                    keeps what is locked, adds and removes what pyproject.toml asks for
    make lock LOCK=--upgrade     takes the newest releases that pyproject.toml allows

uv resolves for every system and every Python from 3.11 on, writes a hash for each file of each
release, and takes no release that its authors took back ("yanked") where there is another; what it
warns of is shown. It is installed into a folder of its own, which is removed again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lockfile import pins

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.9"

# Each lock: what it is for, and what uv makes it from.
LOCKS = {
    "requirements.lock": ("to run", "pyproject.toml"),
    "requirements-dev.lock": ("to test", "--group dev --extra keyless pyproject.toml"),
    "requirements-build.lock": ("to install OtaFlux itself", "--group build"),
}


@dataclass(frozen=True)
class Pinned:
    """A package in a lock: its releases, each with the systems that it is for, and their files."""

    releases: tuple[str, ...]
    files: frozenset[str] = field(repr=False)

    def __str__(self) -> str:
        return ", ".join(self.releases)


def packages(text: str) -> dict[str, Pinned]:
    """What a lock names, by the names of packages."""
    found: dict[str, Pinned] = {}
    for pin in pins(text):
        release = pin.version + (f" (where {pin.marker})" if pin.marker else "")
        before = found.get(pin.name, Pinned((), frozenset()))
        found[pin.name] = Pinned((*before.releases, release), before.files | pin.files)
    return found


def changes(before: Mapping[str, Pinned], after: Mapping[str, Pinned]) -> Iterator[str]:
    """What changed between two locks, a line a package, in the order of names."""
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            yield f"added    {name} {new}"
        elif new is None:
            yield f"removed  {name} {old}"
        elif old.releases != new.releases:
            yield f"changed  {name} {old} -> {new}"
        elif gone := len(old.files - new.files):
            yield f"files    {name} {new}: {gone} that were there are not any more"
        elif more := len(new.files - old.files):
            yield f"files    {name} {new}: {more} more, as for another system"


def compiled(uv: Path, name: str, options: Sequence[str]) -> str:
    """Write one lock anew; returns what uv warned of, and ends the command where it failed."""
    fixed = ("--universal", "--python-version", "3.11", "--generate-hashes", "--no-progress")
    command = (uv, "pip", "compile", *fixed, *options, *LOCKS[name][1].split(), "-o", name)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"lock: {name} stays as it was:\n{done.stderr.strip()}")
    return "\n".join(line for line in done.stderr.splitlines() if line.startswith("warning"))


def main(options: Sequence[str]) -> int:
    """Write all locks, and say what that changed."""
    with tempfile.TemporaryDirectory(prefix="otaflux-lock-") as made:
        folder = Path(made)
        subprocess.run((sys.executable, "-m", "venv", folder), check=True)
        subprocess.run((folder / "bin/pip", "install", "--quiet", UV), check=True)
        for name, (purpose, _) in LOCKS.items():
            path = ROOT / name
            before = packages(path.read_text()) if path.exists() else {}
            warned = compiled(folder / "bin/uv", name, options)
            told = list(changes(before, packages(path.read_text())))
            print(f"{name} ({purpose}): {'' if told else 'nothing changed'}".rstrip())
            for line in told:
                print(f"  {line}")
            if warned:
                print(warned)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
