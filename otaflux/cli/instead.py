"""What devices will be told once a tag is gone, as far as it is known without pulling. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from otaflux.model.names import STABLE, Channel, Tag
from otaflux.model.record import Record
from otaflux.reconcile import choice
from otaflux.reconcile.choice import Candidate

# docs/rollback.md has the same as a table, with what to do.
BOARDS = (
    "Boards go back to a lower version only if their program does so. ESPHome, Arduino and Tasmota"
    " do. esp32-home-sensor does not, nor do boards with ESP-IDF's or MCUboot's anti-rollback,"
    " RAUC's higher-semver or SWUpdate's no-downgrading: for these push the old firmware under a"
    " higher version"
)


def told_instead(
    record: Record,
    tags: Iterable[Tag],
    tag: Tag,
    channels: Sequence[Channel],
    judged_by: str,
    *,
    never_fall: bool = False,
) -> Iterator[str]:
    """A sentence for each channel that tells the tag, or one that says that none does.

    `record` is what DATA_DIR knows, empty where it knows nothing; `tags` are all that there are.
    Where channels `never_fall`, a channel that was told the tag is told it on. A higher release
    that is not told now, such as an unsigned one, is named: it may be usable by then.
    """
    found = choice.candidates(tags)
    changes = False
    for channel in (STABLE, *channels):
        able = [
            each
            for each in choice.of_channel(found, channel)
            if not _is_unusable(record, each, channel, judged_by)
        ]
        current = record.current(channel)
        told = current.tag if current is not None else None
        place = next((n for n, each in enumerate(able) if each.tag == tag), None)
        if place is None or (place > 0 and told != tag):
            continue
        changes = True
        unless = f", unless {able[0].tag} can be used by then" if place else ""
        name = "Devices" if channel == STABLE else f"Devices of channel {channel}"
        if never_fall and _was_told(record, channel, able[place]):
            yield (
                f"{name} are told {tag} on, from the server's own file, until a higher release can"
                " be used: DOWNGRADES=never. To have them told less, stop the server and"
                f" `otaflux forget {record.device}`"
            )
        elif place + 1 == len(able):
            nothing = "there is no lower release, so /version is 404"
            yield f"{name} will be told nothing{unless}: {nothing}"
        else:
            yield f"{name} will be told {_described(record, able[place + 1])} in its place{unless}"
    if not changes:
        stable = record.current(STABLE)
        now = f"; devices are told {stable.tag}" if stable else ""
        yield f"It is not what devices are told now{now}, so nothing changes for those that poll"


def _was_told(record: Record, channel: Channel, candidate: Candidate) -> bool:
    """Whether a channel was told so much, as far as DATA_DIR knows; where it does not, maybe."""
    told = record.current(channel) or record.current(STABLE)
    floor = record.floor(channel) or (told.order if told else None)
    return floor is None or floor >= candidate.order


def _is_unusable(record: Record, candidate: Candidate, channel: Channel, judged_by: str) -> bool:
    current = record.current(channel)
    if current is not None and current.tag == candidate.tag:
        return False  # its bytes of before are told, should it have moved to unusable ones
    return any(
        verdict.tag == candidate.tag and verdict.judged_by == judged_by
        for verdict in record.verdicts
    )


def _described(record: Record, candidate: Candidate) -> str:
    known = any(release.tag == candidate.tag for release in record.served())
    return f"{candidate.tag}" if known else f"{candidate.tag} (not tried here, if it is usable)"
