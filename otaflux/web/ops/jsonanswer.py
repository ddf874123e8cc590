"""What operators' programs ask and get: queries, and JSON that nobody keeps."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

import msgspec

from otaflux.errors import Refused
from otaflux.web.answers import JSON, Answer

MOST_ASKED = 20  # parameters of a query


def asked_in(query: str) -> dict[str, list[str]]:
    """What a query asks; raises `Refused` for one that nobody writes."""
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=MOST_ASKED)
    except ValueError:
        raise Refused(f"A query has at most {MOST_ASKED} parameters") from None


def json_answer(value: object, status: int = HTTPStatus.OK) -> Answer:
    """A JSON document that nobody keeps."""
    body = msgspec.json.encode(value) + b"\n"
    return Answer(
        status,
        (
            ("Content-Type", JSON),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ),
        body,
    )
