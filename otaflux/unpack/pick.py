"""Which file of a tar is the firmware, decided while its entries go by. Pure: it sees names only.

The rule: the annotated path, where there is one; else the shallowest regular file named
`firmware.bin`; else the only regular file; else the only `*.bin`. Two that are equal are an error,
never a guess. A tar comes once, so the best candidate so far is kept and given up for a better one.

What tools add for themselves counts for nothing (`toolfiles.py`), unless the annotation names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from otaflux.errors import Unusable
from otaflux.model.artifact import FIRMWARE_PATH
from otaflux.unpack.choose import FIRMWARE_NAME
from otaflux.unpack.tar import Entry, Kind
from otaflux.unpack.toolfiles import ToolFiles
from otaflux.wording import MAX_NAMES, quoted, quoted_names

_FIRMWARE = FIRMWARE_NAME.encode()


class _Names:
    """How many there were, and the first few of their names for a message."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[bytes] = []

    def add(self, name: bytes) -> None:
        self.count += 1
        if len(self._first) < MAX_NAMES:
            self._first.append(name)

    def take_back(self, name: bytes) -> None:
        self.count -= 1
        if name in self._first:
            self._first.remove(name)

    def __str__(self) -> str:
        left = self.count - len(self._first)
        more = f" and {left} more" if left > 0 else ""
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
        self._tools = ToolFiles()
        self._wanted: bytes | None = None  # the file that was wanted last

    def offer(self, entry: Entry) -> bool:
        """Hear of the next entry; true where it is the best candidate so far, and so is wanted.

        Whatever was wanted before is not wanted any more then.
        """
        if self._counts_for_nothing(entry):
            return False
        path = entry.path
        if not path:
            self._outside.add(entry.name)
            return False
        is_meant = path == self._path if self._path else path[-1] == _FIRMWARE
        if is_meant and self._hides is not None and self._hides(path):
            self._hidden.add(entry.name)
            return False
        self._files.add(entry.name)
        is_bin = path[-1].endswith(b".bin")
        if is_bin:
            self._bins.add(entry.name)
        if is_meant:
            return self._offer_meant(entry, 1 if self._path else len(path))
        if self._path or self._by_name_only or self._depth is not None:
            return False
        # The first file may be the only one, the first `*.bin` the only one of its kind.
        is_wanted = self._files.count == 1 or (is_bin and self._bins.count == 1)
        if is_wanted:
            self._wanted = entry.name
        return is_wanted

    def _counts_for_nothing(self, entry: Entry) -> bool:
        """Whether an entry is no file, or one that a tool added for itself."""
        if not self._path and entry.path:
            double = self._tools.hear(entry)
            if double is not None:
                self._take_back(double)
            if self._tools.is_one(entry):
                return True
        if entry.kind is Kind.LINK:
            self._links.add(entry.name)
        return entry.kind is not Kind.FILE

    def _take_back(self, double: bytes) -> None:
        """What was taken for a file proved to be a tool's."""
        self._files.take_back(double)
        if double.endswith(b".bin"):
            self._bins.take_back(double)
        if self._wanted == double:
            self._wanted = None

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
        is_one = self._files.count == 1 or self._bins.count == 1
        if is_one and self._wanted is None:  # it was passed over for what proved to be a `._X`
            raise Unusable(
                f"The tar has a Mac's ._ files far from what they belong to, and {self._files}"
                f" could be the firmware. Name it {FIRMWARE_NAME}, or set {FIRMWARE_PATH}"
            )
        return is_one

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
