"""Files in a tar that a tool added for itself, which are none of its content. Pure.

A Mac keeps what its file system knows of a file X in `._X` beside it (AppleDouble, RFC 1740), and
Finder's zips keep these below `__MACOSX`. eStargz adds files by which a lazy reader finds its way
(stargz-snapshotter, `docs/estargz.md`). `._X` mostly comes before X, so whether it is one shows
later.
"""

from __future__ import annotations

from otaflux.unpack.tar import Entry

_DOUBLE = b"._"
_MAC_FOLDER = b"__MACOSX"
_ESTARGZ = frozenset({b"stargz.index.json", b".prefetch.landmark", b".no.prefetch.landmark"})


class ToolFiles:
    """Hears of every entry that has a path, in their order.

    Takes some hundred bytes for each, by the hashes of their paths.
    """

    def __init__(self) -> None:
        self._there: set[int] = set()
        self._doubles: dict[int, bytes] = {}  # by the path that they would belong to

    def hear(self, entry: Entry) -> bytes | None:
        """Note an entry; returns the name of one before it that belongs to it, if there was one."""
        key = hash(entry.path)
        self._there.add(key)
        return self._doubles.pop(key, None)

    def is_one(self, entry: Entry) -> bool:
        """Whether an entry counts for nothing, as far as is known now."""
        path = entry.path or ()
        if _MAC_FOLDER in path or (len(path) == 1 and path[0] in _ESTARGZ):
            return True
        if not path or not path[-1].startswith(_DOUBLE):
            return False
        key = hash((*path[:-1], path[-1].removeprefix(_DOUBLE)))
        if key not in self._there:
            self._doubles[key] = entry.name
        return key in self._there
