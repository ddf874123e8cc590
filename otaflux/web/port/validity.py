"""When a certificate counts, and for which names: read from its file, for people and warnings.

Pure, but for `read`. Only what is asked for is looked at in the DER, and nothing of it is trusted:
OpenSSL has judged the pair before, or will. Source: RFC 5280, 4.1 and 4.2.1.6.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import msgspec

SOON = 14 * 24 * 3600.0  # seconds before its end from which on people are told

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _UTC_TIME, _OCTETS = 0x30, 0x17, 0x04
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS, _ADDRESS = 0x82, 0x87
_LONG = 0x80  # a length that has bytes of its own
_CENTURY = 50  # of two digits: those below are of this century (RFC 5280, 4.1.2.5.1)
_ALTERNATIVE_NAMES = bytes.fromhex("0603551d11")  # 2.5.29.17


class Validity(msgspec.Struct, frozen=True):
    """From when to when a certificate counts (seconds since the epoch), and for whom."""

    begins: float
    ends: float
    names: tuple[str, ...]

    def covers(self, host: str) -> bool:
        """Whether clients that reach the server by this name or address would take it."""
        wanted = host.lower().rstrip(".")
        _, dot, parent = wanted.partition(".")
        return wanted in self.names or (bool(dot) and f"*.{parent}" in self.names)


def read(path: Path) -> Validity:
    """Of the first certificate of a PEM file; raises `OSError` or `ValueError`. Blocks."""
    return of_chain(path.read_bytes())


def of_chain(pem: bytes) -> Validity:
    """Of the first certificate in PEM; raises `ValueError` where there is none."""
    text = pem.decode("ascii", errors="replace")
    begin = text.index(_BEGIN)
    return parse(ssl.PEM_cert_to_DER_cert(text[begin : text.index(_END, begin) + len(_END)]))


def parse(der: bytes) -> Validity:
    """Of a certificate's bytes; raises `ValueError` where they are none."""
    fields = [field for field in _values(_first(_first(der))) if field[0] != _VERSION]
    try:
        times = [_time(tag, value) for tag, value in _values(fields[3][1])]
        names = [name for tag, value in fields if tag == _EXTENSIONS for name in _names(value)]
        return Validity(times[0], times[1], tuple(names))
    except IndexError:
        raise ValueError("this is no certificate") from None


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and content of each value in a row of them (X.690, 8.1)."""
    at = 0
    while at + 2 <= len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size & _LONG:
            more = size & ~_LONG
            size = int.from_bytes(der[at : at + more], "big")
            at += more
        if at + size > len(der):
            raise ValueError("a value of the certificate is longer than the certificate")
        yield tag, der[at : at + size]
        at += size


def _first(der: bytes) -> bytes:
    """The content of the first value in a row."""
    for _, value in _values(der):
        return value
    raise ValueError("a value of the certificate is missing")


def _time(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = f"{20 if int(text[:2]) < _CENTURY else 19}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _names(extensions: bytes) -> Iterator[str]:
    """The alternative names, which are the only ones that clients look at."""
    for _, each in _values(_first(extensions)):
        if not each.startswith(_ALTERNATIVE_NAMES):
            continue
        octets = b"".join(value for tag, value in _values(each) if tag == _OCTETS)
        for kind, name in _values(_first(octets)):
            if kind == _DNS:
                yield name.decode("ascii", errors="replace").lower()
            elif kind == _ADDRESS:
                yield str(ip_address(name))
