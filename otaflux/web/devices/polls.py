"""What a poll for a version is answered with, given what is known of its device.

Pure. The handlers use this, and so does the request cache before them: whichever answers, these are
the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus

from multidict import MultiMapping

from otaflux.model.record import Record
from otaflux.model.release import Release
from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.ask import Ask, Channels, read, wants_digest
from otaflux.web.devices.conditions import weigh
from otaflux.web.devices.offer import Offer, nothing_in, offer
from otaflux.web.target import Target

VERSION = "/version"
HEALTH = "/health"


def read_poll(
    method: str, target: str, headers: MultiMapping[str], *, channels: Channels
) -> Ask | None:
    """What a `GET /version` asks for; None for any other request.

    Raises `Refused` as `ask.read` does.
    """
    asked = Target.parse(target)
    if method != "GET" or asked.path != VERSION:
        return None
    return read(asked, headers, channels=channels)


def offered(record: Record, ask: Ask, now: float) -> Offer:
    """What is told to who asks so; raises `NotFound` where there is nothing."""
    found = offer(record, ask.channel, ask.unit, now, pin=ask.version)
    if found is None:
        raise nothing_in(record, ask.version, ask.unit)
    return found


def version_answer(
    release: Release,
    ask: Ask,
    headers: MultiMapping[str],
    origin: Callable[[], str],
    *,
    link: Callable[[str], str] = str,
    head: bool = False,
) -> Answer:
    """`/version` of a release; `origin` is asked for what links begin with, where there is one.

    `link` makes a path what a link carries of it.
    """
    if ask.json:
        path = link(answers.content_path(release.firmware))
        whole = answers.version_json(release, origin(), path)
    else:
        whole = answers.version_text(release)
    return judged(headers, whole, head=head)


def gives_way(ask: Ask, answer: Answer) -> bool:
    """Whether the answer is 503 instead while no download place is free.

    Boards take that more calmly there than at the download that would follow.
    """
    return not ask.json and answer.status == HTTPStatus.OK


def closes_after(answer: Answer) -> bool:
    """Whether an answer to a poll is a refusal, which ends its connection.

    Some clients read on for 30 s where it stays open.
    """
    return answer.status >= HTTPStatus.BAD_REQUEST


def judged(headers: MultiMapping[str], whole: Answer, *, head: bool = False) -> Answer:
    """What conditions leave of an answer with a body, with a digest of it if one is wanted."""
    if wants_digest(headers):
        whole = whole.with_headers(answers.repr_digest(hashlib.sha256(whole.body).hexdigest()))
    return weigh(headers, whole, head=head)
