"""What `DATA_DIR` knows, read beside a running server: without its lock, and without writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from otaflux.errors import Undecided
from otaflux.files import durable
from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.state.datafolder import DataFolder
from otaflux.state.recordfile import MAX_RECORD, read_record


def records(data_dir: Path) -> Iterator[Record]:
    """Every record that can be read, whichever registry it is of. Blocks."""
    folder = DataFolder(data_dir).catalog
    for path in sorted(folder.glob("*.json")):
        try:
            content = durable.read(path, max_bytes=MAX_RECORD)
            if content is not None:
                yield read_record(content, path.name)
        except Undecided:
            continue  # damaged: the server says so when it starts, and builds it anew


def of_source(data_dir: Path, source: str, prefix: str) -> dict[Device, Record]:
    """The records of one registry and prefix, by device. Blocks."""
    return {
        record.device: record
        for record in records(data_dir)
        if (record.source, record.prefix) == (source, prefix) and not record.is_bare
    }
