"""The one table from errors to what a client is answered: status and a short plain text.

Refusals speak for themselves: their texts are for whoever sent the request. Of what was not decided
the client hears that it may ask again, and the log hears why, for that is the operator's. Anything
else is a bug of ours.
"""

from __future__ import annotations

from http import HTTPStatus

from otaflux.errors import (
    Busy,
    HooksClosed,
    NotFound,
    OtaFluxError,
    Refused,
    Superseded,
    TimedOut,
    TooLarge,
    Undecided,
    Unproven,
    WrongMethod,
)
from otaflux.log import Event, log
from otaflux.web.answers import Answer, failed

RETRY_AFTER = 5.0  # seconds, where the other side did not say
MAX_RETRY_AFTER = 120.0  # seconds

# The first that fits: leaves before their branch.
STATUS: tuple[tuple[type[OtaFluxError], int], ...] = (
    (Unproven, HTTPStatus.UNAUTHORIZED),
    (HooksClosed, HTTPStatus.FORBIDDEN),
    (NotFound, HTTPStatus.NOT_FOUND),
    (WrongMethod, HTTPStatus.METHOD_NOT_ALLOWED),
    (TimedOut, HTTPStatus.REQUEST_TIMEOUT),
    (Superseded, HTTPStatus.CONFLICT),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Refused, HTTPStatus.BAD_REQUEST),
    (Undecided, HTTPStatus.SERVICE_UNAVAILABLE),
)


def refuse(error: Exception) -> Answer:
    """The answer that an error makes, kept short; logs what the client is not told."""
    bug = HTTPStatus.INTERNAL_SERVER_ERROR
    status = next((status for kind, status in STATUS if isinstance(error, kind)), bug)
    match error:
        case Busy():
            return failed(status, str(error), retry_after=_retry_after(error))
        case Undecided():
            log.warning(Event.REQUEST_FAILED, reason=str(error), hint=error.hint)
            return failed(status, "Not now, ask again", retry_after=_retry_after(error))
        case WrongMethod(allowed=allowed):
            return failed(status, str(error)).with_headers(("Allow", ", ".join(allowed)))
        case Unproven():  # RFC 9110 section 11.6.1 wants a challenge
            return failed(status, str(error)).with_headers(
                ("WWW-Authenticate", 'Basic realm="otaflux hooks"')
            )
        case Refused():
            return failed(status, str(error))
        case _:
            log.error(Event.REQUEST_CRASHED, reason=type(error).__name__, exc_info=error)
            return failed(status, "This is a bug of OtaFlux; its log says more")


def _retry_after(error: Undecided) -> float:
    return min(RETRY_AFTER if error.retry_after is None else error.retry_after, MAX_RETRY_AFTER)
