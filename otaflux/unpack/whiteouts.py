"""What the upper layers of a container image take away from the lower ones.

Source: the OCI image specification 1.1, `layer.md`, "Whiteouts": `.wh.NAME` removes NAME, and
`.wh..wh..opq` removes all that lower layers have in its folder; both leave their own layer alone.
A name that an upper layer gives to something else is taken away as well.

Paths are kept as their hashes, for an image may hold a great many: 64 bits, salted for each run of
the program, so nobody can make two meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice

from otaflux.unpack.tar import Entry, Kind

_PREFIX = b".wh."
_META = b".wh..wh."  # what AUFS kept for itself
_OPAQUE = b".wh..wh..opq"


class _Marks:
    """Paths that are away: `gone` with all below them, `folders` as files, `opaque` inside."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.folders: set[int] = set()
        self.opaque: set[int] = set()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is away."""
        return not (self.gone or self.folders or self.opaque)

    def merge(self, other: _Marks) -> None:
        self.gone |= other.gone
        self.folders |= other.folders
        self.opaque |= other.opaque


class Whiteouts:
    """Hears of every entry, layer by layer from the top, and says what the layers above hide."""

    def __init__(self) -> None:
        self._above = _Marks()
        self._here = _Marks()

    def hear(self, entry: Entry) -> bool:
        """Note what an entry takes away from the layers below its own.

        Returns whether the entry is a mark only, and no file of the image.
        """
        path = entry.path
        if not path:
            return False
        *folders, name = path
        if entry.kind is Kind.DIRECTORY:
            self._here.folders.add(_key(path))
        elif not name.startswith(_PREFIX):
            self._here.gone.add(_key(path))
        elif name == _OPAQUE:
            self._here.opaque.add(_key(folders))
        elif not name.startswith(_META):
            self._here.gone.add(_key((*folders, name.removeprefix(_PREFIX))))
        return name.startswith(_PREFIX) and entry.kind is not Kind.DIRECTORY

    def hides(self, path: Sequence[bytes]) -> bool:
        """Whether the layers above took a file of this layer away."""
        if self._above.is_empty:
            return False
        keys = [_ROOT, *_keys(path)]
        return (
            keys[-1] in self._above.folders
            or not self._above.gone.isdisjoint(keys)
            or not self._above.opaque.isdisjoint(keys[:-1])
        )

    def descend(self) -> None:
        """The layer was read whole: from here on its marks hold for those below."""
        self._above.merge(self._here)
        self._here = _Marks()


_ROOT = 0


def _keys(path: Iterable[bytes]) -> Iterator[int]:
    """A key for the path of each length, one hash a part."""
    return islice(accumulate(path, lambda key, part: hash((key, part)), initial=_ROOT), 1, None)


def _key(path: Iterable[bytes]) -> int:
    key = _ROOT
    for part in path:
        key = hash((key, part))
    return key
