"""Packings of a file: each is a shell script whose output is the blob.

It runs in a folder that holds `firmware.bin` and `other.txt`.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from packings.firmware import FIRMWARE, OTHER


@dataclass(frozen=True)
class Packing:
    """How to pack, under which title it is pushed, and which programs it needs besides tar."""

    name: str
    script: str
    title: str = "firmware.bin"
    programs: tuple[str, ...] = ()

    def build(self, folder: Path) -> bytes:
        """The packed bytes."""
        (folder / "firmware.bin").write_bytes(FIRMWARE)
        (folder / "other.txt").write_bytes(OTHER)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.script],
            cwd=folder,
            capture_output=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


ZSTD = ("zstd",)
_SKIPPABLE = r"printf '\x5a\x2a\x4d\x18\x05\0\0\0hello'"
_LONG_NAME = "/".join(["a-folder-whose-name-is-rather-long"] * 8)

PACKINGS = [
    Packing("plain", "cat firmware.bin"),
    Packing("plain, titled otherwise", "cat firmware.bin", "sensor-1.4.0.img"),
    # gzip
    Packing("gzip -1", "gzip -1 < firmware.bin", "firmware.bin.gz"),
    Packing("gzip -9 with its name", "gzip -9Nc firmware.bin", "firmware.bin.gz"),
    Packing("gzip titled as if it were not", "gzip -c firmware.bin"),
    Packing(
        "gzip of several members",
        "split -b 100k firmware.bin part. && for part in part.*; do gzip -c $part; done",
        "firmware.bin.gz",
    ),
    Packing("gzip behind an empty member", "gzip < /dev/null; gzip -c firmware.bin"),
    Packing("gzip with zeros behind", "gzip -c firmware.bin; head -c 1536 /dev/zero"),
    Packing("gzip in gzip in gzip", "gzip < firmware.bin | gzip | gzip", "firmware.bin.gz"),
    # zstd
    Packing("zstd -1", "zstd -qc -1 firmware.bin", "firmware.bin.zst", ZSTD),
    Packing("zstd --ultra -22", "zstd -qc --ultra -22 firmware.bin", "firmware.bin.zst", ZSTD),
    Packing("zstd of unknown size", "zstd -q < firmware.bin", "firmware.bin.zst", ZSTD),
    Packing("zstd without a checksum", "zstd -qc --no-check firmware.bin", programs=ZSTD),
    Packing("zstd --long=27", "zstd -q --long=27 < firmware.bin", "firmware.bin.zst", ZSTD),
    Packing("zstd --fast", "zstd -qc --fast=9 firmware.bin", "firmware.bin.zstd", ZSTD),
    Packing(
        "zstd of several frames",
        "split -b 100k firmware.bin part. && for part in part.*; do zstd -qc $part; done",
        "firmware.bin.zst",
        ZSTD,
    ),
    Packing(
        "zstd of long frames, one after the other",
        "split -b 300k firmware.bin p. && for part in p.*; do zstd -q --long=27 < $part; done",
        programs=ZSTD,
    ),
    Packing("pzstd", "pzstd -q -c -p 2 firmware.bin", "firmware.bin.zst", ("pzstd",)),
    Packing(
        "zstd between skippable frames",
        f"{_SKIPPABLE}; zstd -q < /dev/null; {_SKIPPABLE}; zstd -qc firmware.bin; {_SKIPPABLE}",
        "firmware.bin.zst",
        ZSTD,
    ),
    # tar
    Packing("tar, v7", "tar --format=v7 -c firmware.bin", "firmware.tar"),
    Packing("tar, oldgnu", "tar --format=oldgnu -c firmware.bin", "firmware.tar"),
    Packing("tar, gnu", "tar --format=gnu -c firmware.bin", "firmware.tar"),
    Packing("tar, ustar", "tar --format=ustar -c firmware.bin", "firmware.tar"),
    Packing("tar, pax", "tar --format=pax -c firmware.bin", "firmware.tar"),
    Packing("tar, titled as if it were none", "tar -c firmware.bin", "sensor.img"),
    Packing("tar of a folder", "mkdir out && mv firmware.bin out && tar -c out", "out.tar"),
    Packing("tar with ./", "rm other.txt && tar -c .", "firmware.tar"),
    Packing("tar in blocks of 512", "tar -b 1 -c firmware.bin", "firmware.tar"),
    Packing(
        "tar, pax with a global header",
        "tar --format=pax --pax-option=comment=hello -c firmware.bin",
        "firmware.tar",
    ),
    Packing(
        "tar, gnu with an owner in base 256",
        "tar --format=gnu --owner=builder:4000000000 -c firmware.bin",
        "firmware.tar",
    ),
    *(
        Packing(
            f"tar, {form} with a long name",
            f"mkdir -p {_LONG_NAME[:180]} && mv firmware.bin {_LONG_NAME[:180]}"
            f" && tar --format={form} -c {_LONG_NAME[:20]}*",
            "firmware.tar",
        )
        for form in ("gnu", "ustar", "pax")
    ),
    Packing(
        "tar, gnu with a very long name",
        f"mkdir -p {_LONG_NAME} && mv firmware.bin {_LONG_NAME} && tar --format=gnu -c a-folder*",
        "firmware.tar",
    ),
    Packing(
        "tar, pax with a name that is no ASCII",
        "mkdir größe && mv firmware.bin größe && tar --format=pax -c größe",
        "firmware.tar",
    ),
    Packing("tar, the firmware among others", "tar -c other.txt firmware.bin other.txt"),
    Packing(
        "tar, the nearest of two",
        "mkdir -p a/b && cp other.txt a/b/firmware.bin && mv firmware.bin a && tar -c a/b a",
        "firmware.tar",
    ),
    Packing("tar, the only file", "mv firmware.bin image && tar -c image", "release.tar"),
    Packing(
        "tar, the only *.bin",
        "mv firmware.bin sensor.bin && cp other.txt b.txt && tar -c b.txt sensor.bin other.txt",
        "release.tar",
    ),
    Packing(
        "tar with links and a pipe",
        "ln -s /etc/passwd link.bin && ln other.txt hard.bin && mkfifo pipe.bin"
        " && tar -c link.bin other.txt hard.bin pipe.bin firmware.bin",
        "firmware.tar",
    ),
    Packing("tar, appended to", "tar -cf t other.txt && tar -rf t firmware.bin && cat t"),
    Packing(
        "tar by python",
        'python3 -c \'import tarfile as t; x = t.open("t", "w"); x.add("firmware.bin"); x.close()\''
        " && cat t && head -c 1024 /dev/zero",
        "firmware.tar",
        ("python3",),
    ),
    # several
    Packing("tar.gz", "tar -cz firmware.bin", "firmware.tar.gz"),
    Packing("tgz", "tar -cz firmware.bin", "sensor.tgz"),
    Packing("tar.zst", "tar -c firmware.bin | zstd -q", "firmware.tar.zst", ZSTD),
    Packing("tar.zst in gzip", "tar -c firmware.bin | zstd -q | gzip", "firmware.bin.gz", ZSTD),
    Packing("a gzip in a tar", "gzip firmware.bin && tar -c firmware.bin.gz", "firmware.tar"),
    Packing(
        "a zstd in a tar.gz",
        "zstd -q firmware.bin -o fw && tar -cz fw",
        "firmware.tar.gz",
        ZSTD,
    ),
    Packing("a tar in a tar", "tar -cf inner.bin firmware.bin && tar -c inner.bin other.txt"),
    Packing("a tar.gz in a tar", "tar -czf inner firmware.bin && tar -c inner", "release.tar"),
]
