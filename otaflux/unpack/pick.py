"""Which file of a tar is the firmware, decided while its entries go by. Pure: it sees names only.

The rule: the annotated path, where there is one; else the shallowest regular file named
`firmware.bin`; else the only regular file; else the only `*.bin`. Two that are equal are an error,
never a guess. A tar comes once, so the best candidate so far is kept and given up for a better one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from otaflux.errors import Unusable
from otaflux.model.artifact import FIRMWARE_PATH
from otaflux.unpack.choose import FIRMWARE_NAME
from otaflux.unpack.tar import Entry, Kind
from otaflux.wording import MAX_NAMES, quoted, quoted_names

_FIRMWARE = FIRMWARE_NAME.encode()


class _Names:
    """How many there were, and the first few of their names for a message."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[bytes] = []

    def add(self, name: bytes) -> None:
        self.count += 1
        if self.count <= MAX_NAMES:
            self._first.append(name)

    def __str__(self) -> str:
        more = f" and {self.count - MAX_NAMES} more" if self.count > MAX_NAMES else ""
        return f"{quoted_names(self._first)}{more}"


class Pick:
    """The choice inside one tar.

    `path` is the annotated one, empty where there is none. With `by_name_only` nothing but that
    path or a `firmware.bin` counts, as in one layer among several. `hides` tells of a path whether
    a layer above took it away; it is asked about those only.
    """

    def __init__(
        self,
        path: str = "",
        *,
        by_name_only: bool = False,
        hides: Callable[[Sequence[bytes]], bool] | None = None,
    ) -> None:
        self._path = tuple(path.encode().split(b"/")) if path else ()
        self._by_name_only = by_name_only
        self._hides = hides
        self._depth: int | None = None  # of the shallowest file so far that has the name meant
        self._equal = _Names()  # the files of that name and depth
        self._files = _Names()
        self._bins = _Names()
        self._outside = _Names()  # names that lead out of the tar
        self._links = _Names()
        self._hidden = _Names()

    def offer(self, entry: Entry) -> bool:
        """Hear of the next entry; true where it is the best candidate so far, and so is wanted.

        Whatever was wanted before is not wanted any more then.
        """
        if entry.kind is Kind.LINK:
            self._links.add(entry.name)
        if entry.kind is not Kind.FILE:
            return False
        if not entry.path:
            self._outside.add(entry.name)
            return False
        is_meant = entry.path == self._path if self._path else entry.path[-1] == _FIRMWARE
        if is_meant and self._hides is not None and self._hides(entry.path):
            self._hidden.add(entry.name)
            return False
        self._files.add(entry.name)
        is_bin = entry.path[-1].endswith(b".bin")
        if is_bin:
            self._bins.add(entry.name)
        if is_meant:
            return self._offer_meant(entry, 1 if self._path else len(entry.path))
        if self._path or self._by_name_only or self._depth is not None:
            return False
        # The first file may be the only one, the first `*.bin` the only one of its kind.
        return self._files.count == 1 or (is_bin and self._bins.count == 1)

    def _offer_meant(self, entry: Entry, depth: int) -> bool:
        if self._depth is None or depth < self._depth:
            self._depth = depth
            self._equal = _Names()
        if depth > self._depth:
            return False
        self._equal.add(entry.name)
        return self._equal.count == 1

    @property
    def is_settled(self) -> bool:
        """Whether nothing that may still come is better than what was wanted last."""
        return self._depth == 1

    @property
    def hidden(self) -> str:
        """The names that a layer above took away; empty where there are none."""
        return str(self._hidden)

    def found(self) -> bool:
        """Whether what was wanted last is the firmware, now that all entries went by.

        Raises `Unusable` where several are equal. False where there is none: see `refusal`.
        """
        if self._equal.count > 1:
            what = "files are named by the annotation" if self._path else "files are equally near"
            raise Unusable(f"{self._equal.count} {what}: {self._equal}. Leave one in the tar")
        if self._equal.count == 1:
            return True
        if self._path or self._by_name_only:
            return False
        return self._files.count == 1 or self._bins.count == 1

    def refusal(self) -> Unusable:
        """Why there is none, for a person."""
        if self._path:
            looked_for = quoted(b"/".join(self._path))
            return Unusable(
                f"The tar holds no regular file {looked_for}, which {FIRMWARE_PATH} names;"
                f" {self._what_it_holds()}"
            )
        several = self._bins if self._bins.count > 1 else self._files
        if several.count > 1 and not self._by_name_only:
            return Unusable(
                f"The tar holds {several.count} files that could be the firmware: {several}. Name"
                f" one {FIRMWARE_NAME}, or set {FIRMWARE_PATH}"
            )
        return Unusable(f"The tar holds no file that could be firmware; {self._what_it_holds()}")

    def _what_it_holds(self) -> str:
        parts = [
            f"{several.count} {words}: {several}"
            for several, words in (
                (self._files, "regular files"),
                (self._links, "links, which are never followed"),
                (self._outside, "files whose names lead out of it, which are never taken"),
            )
            if several.count
        ]
        return "it holds " + ("; ".join(parts) or "no file at all")
