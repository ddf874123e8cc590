"""OpenSSL's word for what went wrong, by which it can be told in ours."""

from __future__ import annotations

import ssl


def word_of(error: OSError) -> str:
    """Such as `WRONG_VERSION_NUMBER`; empty where it is no error of OpenSSL's.

    Python has a list of them, which may be older than the OpenSSL that it runs with: of a new one
    only its text is there, as in `[SSL] record layer failure (_ssl.c:1000)`.
    """
    if not isinstance(error, ssl.SSLError):
        return ""
    known: str | None = getattr(error, "reason", None)
    if known:
        return known
    text = str(error.strerror or "").removeprefix("[SSL] ").partition(" (")[0]
    return text.strip().upper().replace(" ", "_")
