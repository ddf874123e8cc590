"""Archives that unpack to gigabytes, at the limits that people have, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

TESTS = Path(__file__).parent.parent

_BOMBS = """
    import resource, sys
    sys.path[:0] = sys.argv[1:]
    from extracting import MIB, Blob, Limits, Extraction, artifact, plan
    from test_hostile import zeros_in_gzip, zeros_in_zstd, header, link, gzip
    from otaflux.errors import Unusable

    class Nowhere:
        def write(self, data): pass
        def restart(self): pass

    class Repeated:
        def __init__(self, piece, times): self.piece, self.left = piece, times
        def read(self):
            self.left -= 1
            return self.piece if self.left >= 0 else b""

    def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    entries = gzip.compress(link(b"x") * 400, 9)
    bombs = [
        (zeros_in_gzip(2048 * MIB), 1, ""),
        (zeros_in_gzip(2048 * MIB, inside=header(b"a", 2**31)), 1, "firmware.tar.gz"),
        (zeros_in_zstd(2048 * MIB), 1, ""),
        (entries, 2500, "firmware.tar.gz"),
    ]
    before = peak()
    for piece, times, title in bombs:
        planned = plan(artifact(piece, title).manifest)
        try:
            Extraction(planned, Nowhere(), Limits(256 * MIB, 1024 * MIB)).layer(
                planned.layers[0], Repeated(piece, times)
            )
        except Unusable:
            continue
        raise SystemExit("unpacked")
    print(peak() - before)
"""


def test_bombs_take_no_memory_at_the_limits_that_people_have() -> None:
    """Gigabytes of zeros and a million entries, at 256 MiB: some MiB of memory, measured."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(_BOMBS),
            str(TESTS / "unpack"),
            str(TESTS / "support"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 24
