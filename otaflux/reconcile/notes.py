"""What a release carries along for people: what its pusher wrote, and what is odd. Pure."""

from __future__ import annotations

from otaflux.model.artifact import DESCRIPTION, URL, Artifact, Manifest
from otaflux.model.notes import page_of, summary_of
from otaflux.model.record import Record
from otaflux.model.release import Firmware
from otaflux.model.version import Version
from otaflux.unpack.chip import changed_family
from otaflux.unpack.images import disagreements, not_above


def notes_of(artifact: Artifact, manifest: Manifest) -> tuple[str, str]:
    """What a release carries along of the annotations, for people: its summary and page."""
    notes = {**artifact.annotations, **manifest.annotations}
    return summary_of(notes.get(DESCRIPTION, "")), page_of(notes.get(URL, ""))


def warnings_about(version: Version, firmware: Firmware, record: Record) -> tuple[str, ...]:
    """What a person should know: another version inside, another chip than the release before.

    A Zigbee file has to be above the release before by a number of its own.
    """
    lower = [release for release in record.served() if release.version.key < version.key]
    below = max(lower, key=lambda release: release.order, default=None)
    before = below or record.current()
    return (
        *disagreements(firmware.image, version),
        *changed_family(firmware.chip, before.firmware.chip if before else None),
        *not_above(firmware.image, below.firmware.image if below else None),
    )
