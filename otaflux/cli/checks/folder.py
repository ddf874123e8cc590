"""DATA_DIR: whether it can be written, has room, and who has it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from otaflux.cli.checks.finding import Finding, fails, note, works
from otaflux.registry.layout.places import misnamed
from otaflux.settings import Settings
from otaflux.state.datafolder import DataFolder
from otaflux.wording import MAX_NAMES, plain


def folder(settings: Settings) -> Iterator[Finding]:
    """The folder, its disk, and its lock. Blocks, shortly."""
    root = settings.data_dir
    where = root
    while not where.exists():
        where = where.absolute().parent
    what = f"data folder {root}"
    try:
        with tempfile.TemporaryFile(dir=where) as file:
            file.write(b"otaflux")
            file.flush()
    except OSError as error:
        yield fails(what, f"cannot be written: {error.strerror or error}", _advice(error, where))
        return
    made = "" if root.exists() else "; it is made at the first start"
    yield works(what, f"can be written{made}")
    free, needed = shutil.disk_usage(where).free, settings.max_firmware_size
    says = f"{free >> 20} MiB free, the largest firmware may take {needed >> 20} MiB"
    if free > needed:
        yield works("room on its disk", says)
    else:
        yield fails("room on its disk", says, "Free space, or lower MAX_FIRMWARE_SIZE")
    if settings.registry_url is None:
        yield from _misnamed(DataFolder(root).registry)
    if (root / "lock").exists():
        yield note("server on this folder", _lock(root))


def _misnamed(folder: Path) -> Iterator[Finding]:
    """The first layouts in the embedded folder that are no device's."""
    found = misnamed(folder)
    for name, reason in islice(found.items(), MAX_NAMES):
        yield note(f"folder {folder.name}/{plain(name)}", f"is not served: {reason}", "Rename it")
    if len(found) > MAX_NAMES:
        yield note(f"folder {folder}", f"has {len(found) - MAX_NAMES} more that are not served")


def _advice(error: OSError, where: Path) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "Free space there, or set DATA_DIR to another disk"
        case errno.EROFS:
            return "It is mounted read-only: mount it to be written, or set DATA_DIR elsewhere"
        case _:
            return f"Give user {os.getuid()} the right to write {where}, or set DATA_DIR"


def _lock(root: Path) -> str:
    try:
        descriptor = os.open(root / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return f"cannot be told: {error.strerror or error}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return "runs"
    finally:
        os.close(descriptor)
    return "does not run"
