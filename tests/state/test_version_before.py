"""A data folder that the version before wrote: this one starts on it and tells the same."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from pathlib import Path

import pytest
from programs import Server, server

WRITTEN = Path(__file__).parent / "data_dir"
TOLD = json.loads((WRITTEN / "told.json").read_text())
SETTINGS = {"CHANNELS": "beta", "KEEP_VERSIONS": "2", "LOG_LEVEL": "debug"}
DEVICES = {"lamp", "kitchen/pump", "packed"}


def check(running: Server) -> None:
    """Every answer is that of the version before, byte for byte."""
    for target, expected in TOLD.items():
        answer = running.get(target)
        assert answer.status == expected["status"], (target, answer)
        if expected["status"] == 200:
            if expected["text"] is not None:
                assert answer.body.decode() == expected["text"], target
            assert hashlib.sha256(answer.body).hexdigest() == expected["sha256"], target


def looked_at(running: Server, event: str) -> None:
    """Wait until each device had its run, which ended so."""
    deadline = time.monotonic() + 20
    while {line.get("device") for line in running.log() if line["event"] == event} < DEVICES:
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.05)


@pytest.mark.parametrize("registry", ["there", "away"])
def test_a_data_folder_of_the_version_before_tells_the_same(tmp_path: Path, registry: str) -> None:
    """At once, and after each device was looked at; nothing is published, damaged or left out."""
    shutil.copytree(WRITTEN, tmp_path / "data")
    if registry == "away":
        shutil.rmtree(tmp_path / "data" / "registry")
    with server(tmp_path, **SETTINGS) as running:
        check(running)
        looked_at(running, "reconciled" if registry == "there" else "registry_failed")
        check(running)
        events = {line["event"] for line in running.log()}
        odd = {"record_damaged", "record_left_out", "firmware_missing", "release_withdrawn"}
        assert not events & {*odd, "release_published", "run_crashed"}
