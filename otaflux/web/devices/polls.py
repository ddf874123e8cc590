"""What a poll for a version is answered with, given what is known of its device.

Pure. The handlers use this, and so does the shortcut before them: whichever answers, these are the
bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from multidict import MultiMapping

from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.ask import Ask
from otaflux.web.devices.conditions import weigh
from otaflux.web.devices.continuity import standing_for
from otaflux.web.devices.firstlooks import nothing_for


def release_for(record: Record, ask: Ask) -> Release:
    """The pinned release, or the channel's; raises `NotFound` where there is none."""
    if ask.version is not None:
        release = record.pinned(ask.version)
    else:
        standing = standing_for(record, ask.channel)
        release = standing.release if standing else None
    if release is None:
        raise nothing_for(record.device)
    return release


def version_answer(
    release: Release, ask: Ask, headers: MultiMapping[str], origin: Callable[[], str]
) -> Answer:
    """`/version` of a release; `origin` is asked for what links begin with, where there is one."""
    text = answers.version_text
    whole = answers.version_json(release, origin()) if ask.json else text(release)
    return weigh(headers, digested(ask, whole), head=ask.head)


def gives_way(ask: Ask, answer: Answer) -> bool:
    """Whether the answer is 503 instead while no download place is free.

    Boards take that more calmly there than at the download that would follow.
    """
    return not ask.json and answer.status == 200  # noqa: PLR2004 - HTTP's OK


def digested(ask: Ask, whole: Answer) -> Answer:
    """The answer with a digest of its content, if one is wanted."""
    if not ask.wants_digest:
        return whole
    return whole.with_headers(answers.repr_digest(hashlib.sha256(whole.body).hexdigest()))
