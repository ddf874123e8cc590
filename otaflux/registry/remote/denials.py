"""401 and 403 in a person's words: who was refused, what the registry says, and what to look at."""

from __future__ import annotations

import re

from otaflux.errors import Undecided
from otaflux.registry.remote.credentials import Login

_UNKNOWN_NAME = re.compile(
    r"NAME_UNKNOWN|\b(?:project|repository|namespace|organi[sz]ation)\b.*"
    r"\b(?:not found|not exist|unknown)",
    re.IGNORECASE,
)
_NAMES = "the name of the registry, the REPOSITORY_PREFIX or the device"


class Denied(Undecided):
    """401 or 403: rights or credentials. The caller keeps what it has; `hint` says what to set."""


def is_about_a_name(said: str) -> bool:
    """Whether the registry's sentence says that it does not know what was asked for.

    Harbor answers 401 so for a project that it does not have: no password would mend it.
    """
    return _UNKNOWN_NAME.search(said) is not None


def denial(
    login: Login | None,
    what: str,
    *,
    said: str = "",
    is_known: bool = False,
    actions: str = "pull",
    retry_after: float = 0.0,
) -> Denied:
    """The error for a refusal.

    `what` is the status and where it was, `said` the registry's own sentence as `oci_reason` gives
    it. `is_known` says that the login itself was taken (403), so that it lacks rights alone.
    """
    who = "those credentials" if login else "a request without credentials"
    told = f"({what}{said})" if what or said else ""
    return Denied(
        f"the registry refuses {who} {told}".rstrip(),
        hint=_hint(login, said, is_known=is_known, right=_right(actions)),
        retry_after=retry_after or None,
    )


def _right(actions: str) -> str:
    return "push to it" if "push" in actions else "read it"


def _hint(login: Login | None, said: str, *, is_known: bool, right: str) -> str:
    if is_about_a_name(said):
        return f"The registry does not know what was asked for: look at {_NAMES}"
    if login is None:
        return f"Set REGISTRY_USERNAME and REGISTRY_PASSWORD, or is {_NAMES} wrong?"
    if is_known:
        return (
            f"Give the account of {login.look_at} the right to {right}; where it has that, a quota"
            " or a rule of the registry forbids it, as the registry's own words say"
        )
    return f"Look at {login.look_at}: wrong, expired, or without the right to {right}"
