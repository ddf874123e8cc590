"""What a firmware file is, is read from it where the record does not say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import images
import pytest
from held_releases import firmware, record, release, stored

from otaflux.errors import DiskFailed
from otaflux.model.image import Image, ImageKind
from otaflux.model.record import Retired
from otaflux.reconcile.described import described, described_record
from otaflux.state.store import Store

BUNDLE = Path(__file__).parent.parent / "unpack" / "bundles" / "verity.raucb"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    store = Store(tmp_path)
    store.prepare()
    return store


def test_an_old_record_is_completed_from_its_files(store: Store) -> None:
    """Each release of it, whatever it is told for; one whose file is missing says nothing."""
    bundle, archive, board = (
        BUNDLE.read_bytes(),
        images.swu('software = { version = "1.0.0"; };'),
        images.mcuboot("1.1.0"),
    )
    for content in (bundle, archive, board):
        stored(store, content)
    old = record(
        release("2.3.1", bundle),
        kept=(release("1.0.0", archive), release("0.9.0", b"lost")),
        retired=(Retired(release("1.1.0", board), 1.0),),
    )
    new = described_record(store, old)
    assert [held.firmware.image for held in new.held()] == [
        Image(ImageKind.RAUC, "2.3.1"),
        Image(ImageKind.SWU, "1.0.0"),
        None,
        Image(ImageKind.MCUBOOT, "1.1.0"),
    ]
    assert [replace(held.firmware, image=None) for held in new.held()] == [
        held.firmware for held in old.held()
    ]
    assert replace(new, channels=old.channels, kept=old.kept, retired=old.retired) == old


def test_a_file_that_cannot_be_read_is_the_disks_fault(store: Store) -> None:
    """Nothing is said of it."""
    with pytest.raises(DiskFailed):
        described(store, firmware(b"never there"))
