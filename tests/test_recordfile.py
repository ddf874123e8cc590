"""A record's file is read back as it was, or not believed at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from held_releases import record, release
from hypothesis import example, given
from hypothesis import strategies as st

from otaflux.model.artifact import Digest
from otaflux.model.names import Tag
from otaflux.model.record import Leaving, Record, Verdict
from otaflux.model.release import Chip
from otaflux.recordfile import BadRecord, read_record, write_record

WHOLE = record(
    release("v1.2.0_b.7", b"new", chip=Chip("ESP32-S3", "1.2.0", "lamp")),
    kept=(release("1.1.0", b"kept"),),
    leaving=(Leaving(release("1.0.0", b"old"), 1_790_000_001.25, withdrawn=True),),
    verdicts=(Verdict(Tag("1.3.0"), Digest("sha256", "0" * 64), "it is empty", "otaflux 0"),),
    found_by_poll=True,
)


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_written_is_read_back(reason: str, at: float) -> None:
    """Every field comes back equal, whatever a registry wrote into texts."""
    (old,) = WHOLE.leaving
    (verdict,) = WHOLE.verdicts
    whole = Record(
        WHOLE.device,
        WHOLE.source,
        WHOLE.prefix,
        WHOLE.channels,
        WHOLE.kept,
        (Leaving(old.release, at, withdrawn=True),),
        (Verdict(verdict.tag, verdict.manifest_digest, reason, verdict.judged_by),),
        looked=True,
        found_by_poll=True,
    )
    assert read_record(write_record(whole)) == whole


def test_a_file_that_ends_early_is_not_believed() -> None:
    """Cut anywhere, a record is damaged; never a smaller record."""
    data = write_record(WHOLE).rstrip()
    for end in range(len(data)):
        with pytest.raises(BadRecord):
            read_record(data[:end])


@given(st.binary(max_size=50))
@example(b"[" * 100_000)
@example(b"\xff")
def test_garbage_raises_nothing_else(data: bytes) -> None:
    """Whatever lies in a file, the answer is `BadRecord`."""
    with pytest.raises(BadRecord):
        read_record(data)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"device": "../etc"},
        {"unknown": 1},
        {"looked": None},
        {"channels": {"stable": {"release": {}, "since": 1.0, "replaced_another": True}}},
    ],
)
def test_a_field_that_is_wrong_makes_all_of_it_wrong(change: dict[str, Any]) -> None:
    """A later format, a device that cannot be, a field too many or of another kind."""
    with pytest.raises(BadRecord):
        read_record(json.dumps(json.loads(write_record(WHOLE)) | change).encode())


@pytest.mark.parametrize("sha256", ["", "../../../etc/passwd", "0" * 63, "G" * 64])
def test_a_digest_that_is_none_never_becomes_a_path(sha256: str) -> None:
    """The file's name comes from the record, so it has to be a digest."""
    document = json.loads(write_record(WHOLE))
    document["channels"]["stable"]["release"]["sha256"] = sha256
    with pytest.raises(BadRecord):
        read_record(json.dumps(document).encode())
