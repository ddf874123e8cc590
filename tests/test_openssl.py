"""OpenSSL's errors are known by their word, also those that this Python has no name for."""

from __future__ import annotations

import ssl

import pytest

from otaflux.openssl import word_of


def named(reason: str) -> ssl.SSLError:
    """An error that Python knows."""
    error = ssl.SSLError(1, f"[SSL: {reason}] in words (_ssl.c:1000)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (named("WRONG_VERSION_NUMBER"), "WRONG_VERSION_NUMBER"),
        (ssl.SSLError(1, "[SSL] record layer failure (_ssl.c:1000)"), "RECORD_LAYER_FAILURE"),
        (ssl.SSLError(1), ""),
        (ConnectionResetError(104, "Connection reset by peer"), ""),
    ],
)
def test_each_has_its_word(error: OSError, word: str) -> None:
    """From its name or from its text; what is none of OpenSSL's has none."""
    assert word_of(error) == word
