"""Unpacking alone, against the pipe that does the same by hand: 192 MiB, blob on the disk, synced.

All five sums and the blob's digest are computed on our side, one digest on the other.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parts.programs import need
from parts.table import Most, alternate

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SIZE = 192 << 20
HERE = Path(__file__).parent

PACKINGS = (  # blob, how it is made, how it is unpacked by hand, how much longer we may take
    ("fw.tar.zst", "tar -c firmware.bin | zstd -q", "zstd -dc | tar -xO", 1.25),
    ("fw.tar.gz", "tar -c firmware.bin | gzip -1", "gzip -dc | tar -xO", 1.25),
    ("fw.tar", "tar -c firmware.bin", "tar -xO", 1.5),
)


def main() -> None:
    """Print the table."""
    need("zstd", "bash", "tar", "gzip")
    with tempfile.TemporaryDirectory(prefix="otaflux-bench-", dir=HERE) as name:
        folder = Path(name)
        write_firmware(folder / "firmware.bin")
        for blob, pack, by_hand, most in PACKINGS:
            shell(f"{pack} > {blob}", folder)
            grown: list[float] = []
            ours, theirs = alternate(
                RUNS,
                lambda blob=blob, grown=grown: unpack(folder / blob, grown),
                lambda blob=blob, by_hand=by_hand: pipe(folder, blob, by_hand),
            )
            what = f"unpack {blob} ({ours:.2f} s), against the pipe ({theirs:.2f} s)"
            print(Most(what, ours / theirs, most, "x").line(), flush=True)
            print(Most(f"memory meanwhile, {blob}", max(grown), 48, "MiB").line(), flush=True)


def write_firmware(path: Path) -> None:
    """Bytes that pack to about half, as firmware does."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(3, 24)) for _ in range(4000)]
    left = SIZE
    with path.open("wb") as file:
        while left:
            part = b"".join(chance.choices(words, k=20_000)) + chance.randbytes(100_000)
            left -= file.write(part[:left])


def unpack(blob: Path, grown: list[float]) -> float:
    """Seconds that OtaFlux takes; notes its memory."""
    script = HERE / "parts" / "unpack_once.py"
    done = subprocess.run(
        [sys.executable, str(script), str(blob), str(blob.parent / "ours")],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, memory = done.stdout.split()
    grown.append(float(memory))
    return float(seconds)


def pipe(folder: Path, blob: str, by_hand: str) -> float:
    """Seconds that the pipe takes."""
    begun = time.perf_counter()
    shell(f"cat {blob} | tee >(sha256sum > sum) | {by_hand} > theirs; sync theirs", folder)
    return time.perf_counter() - begun


def shell(script: str, folder: Path) -> None:
    """Run a line of shell."""
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, check=True)


if __name__ == "__main__":
    main()
