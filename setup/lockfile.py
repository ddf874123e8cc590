"""What a lock file of uv's names: each release, where it is for, its files, and who wants it.

The one reader of these files, for `setup/lock.py` and `setup/sbom.py`. It needs Python alone, for
it runs before anything is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_PIN = re.compile(r"([A-Za-z0-9._-]+)==([^ \\\n]+)(?: ; ([^\\\n]+))?")
_HASH = re.compile(r"--hash=(\S+)")
_VIA = re.compile(r"^ +#(?: +via)? +([A-Za-z0-9._-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Pin:
    """One release of a package; `marker` says on which systems, and is empty where on all.

    A package for which systems need different releases has several pins.
    """

    name: str
    version: str
    marker: str
    files: frozenset[str] = field(repr=False)
    wanted_by: tuple[str, ...]


def pins(text: str) -> Iterator[Pin]:
    """The pins of a lock, in its order; `wanted_by` are the names below `# via`."""
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        if pin := _PIN.match(block):
            name, version, marker = pin.groups(default="")
            wanted_by = tuple(name for name in _VIA.findall(block) if name != "via")
            yield Pin(name, version, marker.strip(), frozenset(_HASH.findall(block)), wanted_by)
