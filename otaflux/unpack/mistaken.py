"""What was pushed in the place of firmware by mistake, by its first bytes. Pure.

Builds leave several files, and the one that a person takes first is often another than boards take
over the air. Sources of the formats: the ELF and Intel HEX specifications, Microsoft's UF2,
Motorola's S-records, git-lfs's `docs/spec.md`, ESP-IDF's `esp_partition_info_t`.
"""

from __future__ import annotations

import re

HEAD = 0x2_1000  # bytes that are enough: a partition table may begin at 0x20000

_APP_ALONE = "Push the application alone, such as build/NAME.bin or .pio/build/ENV/firmware.bin"
_BINARY = "Push the .bin that is made from it"

_BEGINNINGS = (
    (re.compile(rb"\x7fELF"), f"an ELF file, for debuggers and flashing by cable. {_BINARY}"),
    (re.compile(rb":[0-9A-Fa-f]{10,}\r?\n"), f"Intel HEX, which is text for flashing. {_BINARY}"),
    (re.compile(rb"S[0-3][0-9A-Fa-f]{8,}\r?\n"), f"S-records, text for flashing. {_BINARY}"),
    (re.compile(rb"UF2\n"), f"UF2, for copying onto a board's USB drive. {_BINARY}"),
    (re.compile(rb"PK(?:\x03\x04|\x05\x06)"), "zip, which is not unpacked. Push the file in it"),
    (
        re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|\?xml)", re.IGNORECASE),
        "a web page, such as a log-in's or an error's. Download the file itself, and push that",
    ),
    (
        re.compile(rb"version https://git-lfs\.github\.com/"),
        "a pointer of Git LFS and not the file. Run `git lfs pull`, and push that",
    ),
)

_IMAGE_MAGIC = 0xE9
_BOOTLOADERS = (0x0, 0x1000, 0x2000)  # where the chip families have theirs
_TABLES = range(0x8000, HEAD, 0x1000)  # where a partition table may begin; 0x8000 if not set
_ENTRY = re.compile(rb"\xaa\x50[\x00\x01].{9}[\x20-\x7e]{1,16}\x00*", re.DOTALL)
_ENTRY_SIZE = 32


def mistaken_for(head: bytes) -> str:
    """What a file is that no board takes over the air, and what to push instead; empty for others.

    `head` are its first `HEAD` bytes.
    """
    for beginning, words in _BEGINNINGS:
        if beginning.match(head):
            return f"it is {words}"
    if _is_merged(head):
        return (
            "it is an ESP flash image with bootloader, partition table and application in one, for"
            f" flashing by cable. {_APP_ALONE}"
        )
    return ""


def _is_merged(head: bytes) -> bool:
    boots = any(head[at : at + 1] == bytes([_IMAGE_MAGIC]) for at in _BOOTLOADERS)
    return boots and any(_ENTRY.match(head[at : at + _ENTRY_SIZE]) for at in _TABLES)
