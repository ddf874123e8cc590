"""From the layers of one artifact to its firmware, in one pass, in a thread.

Whatever is wrong with the bytes is an `Unusable`, which is final for their digest. So it is raised
only once the reader came to its verified end: bytes that were spoilt on their way look corrupt too,
and that must stay `Undecided`. Unpacking itself stops at once; the rest is read and thrown away.

Concurrency: everything here blocks, and is for one thread at a time; the sink is written in another
one meanwhile (see `aside`), which has ended when a call returns or raises. Memory is a few pieces
of at most 1 MiB and a zstd stream's window, whatever the sizes of blob and firmware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from otaflux.errors import Undecided, Unusable
from otaflux.model.artifact import FIRMWARE_PATH, UNPACK, Descriptor
from otaflux.model.release import Firmware
from otaflux.unpack.aside import Aside
from otaflux.unpack.chip import chip_of
from otaflux.unpack.choose import FIRMWARE_NAME, Plan, promise
from otaflux.unpack.gunzip import gunzip
from otaflux.unpack.images import HEAD, image_of
from otaflux.unpack.limits import LONG_WINDOWS, Budget, Limits, LongWindows
from otaflux.unpack.packing import LOOK, Packing, other_packing, packing_of
from otaflux.unpack.pick import Pick
from otaflux.unpack.ports import Reader, Sink
from otaflux.unpack.stream import Stream
from otaflux.unpack.sums import SumsOf
from otaflux.unpack.tar import entries
from otaflux.unpack.unzstd import unzstd
from otaflux.unpack.whiteouts import Whiteouts
from otaflux.wording import quoted

MAX_PACKINGS = 3  # inside each other

_PIECE = 256 << 10  # bytes that are summed and written at once, at least
_AS_IT_IS = f"set {UNPACK}=false to serve it as it is"
_MEND = f"Push it under a name that fits, or {_AS_IT_IS}"
_BY_PATH = f"the annotation {FIRMWARE_PATH}"


class Extraction:
    """Takes the layers of a plan, in its order, until one holds the firmware.

    `on_window` hears of each zstd window's bytes before they are taken; what it raises ends it.
    """

    def __init__(
        self,
        plan: Plan,
        sink: Sink,
        limits: Limits,
        *,
        long_windows: LongWindows = LONG_WINDOWS,
        on_window: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._sink = sink
        self._limits = limits
        self._budget = Budget(limits, long_windows, on_window)
        self._whiteouts = Whiteouts()
        self._whited_out = ""  # candidates that a layer above takes away, for the message
        self._sink_is_clean = True
        self._firmware: Firmware | None = None

    def layer(self, descriptor: Descriptor, reader: Reader) -> bool:
        """Read one layer to its verified end; whether the firmware was in it.

        Blocks. False means: go on with the plan's next layer. Raises `Unusable` with the reason,
        and what reader and sink raise, unchanged.
        """
        source = Stream(reader.read)
        try:
            self._firmware = self._read(descriptor, source)
        except Unusable:
            source.drain()  # raises again what was the reader's own
            raise
        except MemoryError:
            raise Undecided("There is not enough memory to unpack it now") from None
        return self._firmware is not None

    def finish(self) -> Firmware:
        """What the sink holds now. Raises `Unusable` where no layer held the firmware."""
        if self._firmware is not None:
            return self._firmware
        hidden = f"; a layer above takes away {self._whited_out}" if self._whited_out else ""
        raise Unusable(
            f"None of the container image's {len(self._plan.layers)} layers holds a regular file"
            f" {quoted(self._plan.path or FIRMWARE_NAME)}{hidden}. Give the file that name, or name"
            f" it with {FIRMWARE_PATH}"
        )

    def _read(self, descriptor: Descriptor, source: Stream) -> Firmware | None:
        if not self._plan.unpack:
            return self._write(source, descriptor)
        said = promise(descriptor, is_image=self._plan.is_image)
        says_tar = said.tar or (_BY_PATH if self._plan.path else "")
        head = source.peek(LOOK)
        packing = packing_of(head, expect_tar=bool(says_tar))
        if said.compressed and packing not in {Packing.GZIP, Packing.ZSTD}:
            raise Unusable(
                f"The layer is no gzip or zstd{_instead(head)}, but {said.compressed} says that it"
                f" is compressed. {_MEND}"
            )
        return self._unpack(source, 0, says_tar, is_layer=True, blob=descriptor)

    def _unpack(
        self,
        source: Stream,
        depth: int,
        says_tar: str,
        *,
        is_layer: bool,
        blob: Descriptor | None = None,
    ) -> Firmware | None:
        """Unpack as long as the bytes are packed, then write them; `depth` packings are around.

        `is_layer` says that no tar is around, `blob` is what they are where nothing at all is. None
        where this layer of several lacks the file.
        """
        head = source.peek(LOOK)
        packing = packing_of(head, expect_tar=bool(says_tar))
        in_image = is_layer and self._plan.is_image
        if packing is None and not (in_image and not head):  # nothing at all is an empty layer
            if says_tar and head:
                raise self._no_tar(head, says_tar)
            return self._write(source, blob)
        if depth == MAX_PACKINGS:
            raise Unusable(
                f"It has more than {MAX_PACKINGS} packings inside each other. Pack it once, or set"
                f" {UNPACK}=false to serve it as it is"
            )
        if packing is Packing.TAR or packing is None:
            if depth == 0:
                source = Stream(partial(self._counted, source))
            return self._tar(source, depth, is_layer=is_layer)
        inner = (gunzip if packing is Packing.GZIP else unzstd)(source, self._budget)
        with closing(inner):
            inside = Stream(partial(next, inner, b""))
            return self._unpack(inside, depth + 1, says_tar, is_layer=is_layer)

    def _no_tar(self, head: bytes, says_tar: str) -> Unusable:
        if self._plan.is_image:
            mend = f"Push the file itself as an artifact, without an image's config, or {_AS_IT_IS}"
        elif says_tar == _BY_PATH:
            mend = "Take the annotation away, or push the tar that it means"
        else:
            mend = _MEND
        return Unusable(f"The layer holds no tar{_instead(head)}, but {says_tar} says so. {mend}")

    def _counted(self, source: Stream) -> memoryview:
        """A tar that is not compressed counts as it is read, others where they are unpacked."""
        piece = source.chunk()
        self._budget.spend(len(piece))
        return piece

    def _tar(self, source: Stream, depth: int, *, is_layer: bool) -> Firmware | None:
        """Write the best candidate so far, until all entries went by."""
        in_image = is_layer and self._plan.is_image
        one_of_several = in_image and len(self._plan.layers) > 1
        pick = Pick(
            self._plan.path if is_layer else "",
            by_name_only=one_of_several,
            hides=self._whiteouts.hides if in_image else None,
        )
        firmware: Firmware | None = None
        flaw: Unusable | None = None
        for entry in entries(source, self._budget, may_just_end=in_image):
            if in_image and self._whiteouts.hear(entry):
                continue
            if not pick.offer(entry):
                continue
            flaw = None
            try:
                firmware = self._unpack(entry.open(), depth + 1, "", is_layer=False)
            except Unusable as found:
                self._budget.check()
                if pick.is_settled:
                    raise
                flaw = found  # counts only if nothing better comes
        if pick.found():
            if flaw is not None:
                raise flaw
            return firmware
        if not one_of_several:
            raise pick.refusal()
        self._whiteouts.descend()
        self._whited_out = self._whited_out or pick.hidden
        return None

    def _write(self, source: Stream, blob: Descriptor | None = None) -> Firmware:
        """Sum and write what is left of `source`, instead of what was written before.

        Where that is a whole `blob` its reader has summed it already, and gives its end only if the
        sum is the blob's digest.
        """
        if not self._sink_is_clean:
            self._sink.restart()
        self._sink_is_clean = False
        most = self._limits.max_firmware
        head = b""
        known = blob.digest.hex if blob and blob.digest.algorithm == "sha256" else ""
        at_once = self._limits.summed_at_once
        if blob is not None and blob.size > at_once:
            at_once = 0  # it will be given up: do not begin
        sums, size = SumsOf(known, at_once=at_once), 0

        def take(piece: bytes | memoryview) -> None:
            sums.add(piece)
            self._sink.write(piece)

        with Aside(take) as aside:
            for piece in _pieces(source):
                size += len(piece)
                if size > most:
                    raise Unusable(
                        f"The firmware is larger than {most} bytes: make it smaller, or raise"
                        " MAX_FIRMWARE_SIZE"
                    )
                head = head or bytes(piece[:HEAD])
                aside.put(piece)
            aside.end()
        if not size:
            raise Unusable("The firmware is empty: push a file that is not")
        return Firmware(sums.sums(), chip_of(head), image_of(head, size))


def _pieces(source: Stream) -> Iterator[bytes | memoryview]:
    """The rest of a stream in pieces of at least `_PIECE` bytes, but for the last."""
    pending = bytearray()
    while chunk := source.chunk():
        if not pending and len(chunk) >= _PIECE:
            yield chunk
            continue
        pending += chunk
        if len(pending) >= _PIECE:
            yield memoryview(pending)
            pending = bytearray()
    if pending:
        yield memoryview(pending)


def _instead(head: bytes) -> str:
    """What the bytes are instead, where that is known."""
    known = other_packing(head)
    return f" (it is {known}, which is not unpacked)" if known else ""
