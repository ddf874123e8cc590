"""Every head and body that devices get.

Pure. An `Answer` is a value: status, headers in their order and capitals, and a body or a span of
a firmware file. What differs from one sending of it to the next (the protocol's version, `Date`,
`Connection`) is put in when it is rendered, so that whoever sends it sends the same bytes.

Boards read with small buffers: a plain `/version` answer with its body fits 256 bytes and a plain
`/firmware` head 252, so nothing adds a header to an answer that did not ask for it.
"""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http import HTTPStatus

import msgspec

from otaflux.model.release import Firmware, Release

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"
MUTABLE = "no-cache, no-transform"  # proxies that compress took Content-Length away from boards
IMMUTABLE = "public, max-age=31536000, immutable"
# Where clients prove themselves: a shared cache would give the bytes to anybody.
PRIVATE = "private, max-age=31536000, immutable"
BUSY_RETRY_AFTER = 10  # seconds after which a board may ask again while no download place is free

# As RFC 9110 has them, which Python's own have from 3.13 on.
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Range Not Satisfiable",
}
# What a 304 repeats of the 200 (RFC 9110 section 15.4.5).
_OF_A_304 = frozenset({"ETag", "Cache-Control", "Vary"})

Header = tuple[str, str]


class Span(msgspec.Struct, frozen=True):
    """Part of a file: `length` bytes, at least one, from `start`."""

    start: int
    length: int

    @property
    def last(self) -> int:
        """The last byte's offset, as `Content-Range` has it."""
        return self.start + self.length - 1


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, but for what `render` puts in.

    `headers` have their order, and `Content-Length` where it has one. Either `body` follows, or
    the bytes `span` of a firmware file, which `render` does not hold; nothing follows for HEAD.
    In a `small` one, for boards with little memory, `Connection` takes the place of
    `Cache-Control`.
    """

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""
    span: Span | None = None
    small: bool = False
    # What was cut of it before, by version and whether the connection stays open.
    _cuts: dict[tuple[bool, bool], Ready] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def etag(self) -> str:
        """Its ETag with its quotes, or nothing."""
        return next((value for name, value in self.headers if name == "ETag"), "")

    def with_headers(self, *more: Header) -> Answer:
        """The same with more headers, after its own."""
        return replace(self, headers=self.headers + more)

    def without_body(self) -> Answer:
        """The answer to HEAD: the same headers (RFC 9110 section 9.3.2)."""
        return replace(self, body=b"", span=None)

    def render(
        self, date: bytes, *, version: tuple[int, int] = (1, 1), keep_alive: bool = True
    ) -> bytes:
        """Head and body in one piece; of an answer with a `span`, the head.

        `date` is the value of `Date`, `version` that of the request, `keep_alive` whether the
        connection stays open after it.
        """
        return self._cut(version, keep_alive=keep_alive).at(date)

    def ready(self, *, keep_alive: bool = True) -> Ready:
        """The same bytes as `render` gives over HTTP/1.1, cut where the date goes."""
        return self._cut((1, 1), keep_alive=keep_alive)

    def _cut(self, version: tuple[int, int], *, keep_alive: bool) -> Ready:
        current = version >= (1, 1)
        known = self._cuts.get((current, keep_alive))
        if known is not None:
            return known
        # Over HTTP/1.1 staying open is the rule that goes without saying, over 1.0 closing is
        # (RFC 9112 section 9.3).
        said = "" if current is keep_alive else "keep-alive" if keep_alive else "close"
        drops = {"Cache-Control"} if self.small and said else set()
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers if name not in drops)
        protocol = "HTTP/1.1" if current else "HTTP/1.0"
        before = f"{protocol} {self.status} {_PHRASES[self.status]}\r\n{lines}Date: "
        connection = f"\r\nConnection: {said}" if said else ""
        cut = Ready(before.encode(), f"{connection}\r\n\r\n".encode() + self.body)
        self._cuts[current, keep_alive] = cut
        return cut


class Ready(msgspec.Struct, frozen=True):
    """An answer as bytes, with a hole for the date's value."""

    before: bytes
    after: bytes

    def at(self, date: bytes) -> bytes:
        """The whole answer."""
        return b"".join((self.before, date, self.after))


@lru_cache(maxsize=2)
def http_date(second: int) -> bytes:
    """A second since the epoch as `Date` has it (RFC 9110 section 5.6.7), in any locale."""
    at = time.gmtime(second)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.tm_wday]
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return (
        f"{day}, {at.tm_mday:02} {month[at.tm_mon - 1]} {at.tm_year:04}"
        f" {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    ).encode()


def content_path(firmware: Firmware) -> str:
    """The address of those bytes that never changes meaning."""
    return f"/firmware/sha256/{firmware.sums.sha256}"


def health() -> Answer:
    """The process can answer."""
    return plain_text("ok")


def plain_text(text: str) -> Answer:
    """A short text on a mutable address."""
    return _whole(text.encode(), TEXT)


def page(html: str) -> Answer:
    """A page for people on a mutable address."""
    return _whole(html.encode(), HTML)


def version_text(release: Release) -> Answer:
    """Three lines without a newline at the end: version, CRC-32 in decimal, size in bytes."""
    sums = release.firmware.sums
    told = f"{release.version.text}\n{sums.crc32}\n{sums.size}"
    return _whole(told.encode(), TEXT, small=True)


def version_json(release: Release, origin: str, path: str = "") -> Answer:
    """The same and more for programs; `origin` is the scheme and host that its link carries.

    `path` is the link's, where it is not the plain one. The release's sums are complete.
    """
    sums = release.firmware.sums
    md5, sha1 = sums.slow()
    told = {
        "device": release.device.name,
        "version": release.version.text,
        "tag": release.tag.text,
        "crc32": sums.crc32,
        "size": sums.size,
        "md5": md5,
        "sha1": sha1,
        "sha256": sums.sha256,
        "manifest_digest": str(release.manifest_digest),
        "url": origin + (path or content_path(release.firmware)),
    }
    return json_body(told).with_headers(("Vary", "Accept"))


def json_body(told: object) -> Answer:
    """A JSON document on a mutable address."""
    return _whole(msgspec.json.encode(told), JSON)


def firmware(held: Firmware, *, immutable: bool = False, private: bool = False) -> Answer:
    """All bytes of a firmware; `immutable` on the address that names its content.

    `private` keeps those out of caches that others share.
    """
    caching = MUTABLE if not immutable else PRIVATE if private else IMMUTABLE
    return _firmware(held.sums.sha256, held.sums.size, caching)


@lru_cache(maxsize=256)
def _firmware(sha256: str, size: int, caching: str) -> Answer:
    return Answer(
        HTTPStatus.OK,
        (
            ("Content-Type", BYTES),
            ("Content-Length", str(size)),
            ("ETag", f'"{sha256[:32]}"'),
            ("Accept-Ranges", "bytes"),
            ("Cache-Control", caching),
        ),
        span=Span(0, size),
    )


def part(whole: Answer, span: Span) -> Answer:
    """206 with `span` of a whole firmware."""
    size = whole.span.length if whole.span else 0
    headers = tuple(
        (name, str(span.length) if name == "Content-Length" else value)
        for name, value in whole.headers
    )
    content_range = ("Content-Range", f"bytes {span.start}-{span.last}/{size}")
    return Answer(HTTPStatus.PARTIAL_CONTENT, (*headers, content_range), span=span)


def no_content() -> Answer:
    """204: there is nothing for who asked. No body, and no length of one."""
    return Answer(HTTPStatus.NO_CONTENT, (("Cache-Control", MUTABLE),))


def redirect(url: str, status: int) -> Answer:
    """An empty answer that leads to `url`, which holds no byte that ends a line."""
    headers = (("Location", url), ("Content-Length", "0"), ("Cache-Control", MUTABLE))
    return Answer(status, headers)


def not_modified(whole: Answer) -> Answer:
    """304: the client has it already. No body, so no length of one."""
    return Answer(
        HTTPStatus.NOT_MODIFIED, tuple(line for line in whole.headers if line[0] in _OF_A_304)
    )


def unsatisfiable(whole: Answer) -> Answer:
    """416: the file is shorter than that; says how long it is (RFC 9110 section 15.5.17)."""
    size = whole.span.length if whole.span else 0
    return failed(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "The range lies outside of the firmware"
    ).with_headers(("Content-Range", f"bytes */{size}"))


def repr_digest(sha256: str) -> Header:
    """`Repr-Digest` of the whole, whatever part of it is sent (RFC 9530 section 3)."""
    return ("Repr-Digest", f"sha-256=:{b64encode(bytes.fromhex(sha256)).decode()}:")


def failed(status: int, text: str, *, retry_after: float | None = None) -> Answer:
    """A short plain text for what went wrong; `retry_after` is in seconds."""
    body = text.encode()
    headers: tuple[Header, ...] = (
        ("Content-Type", TEXT),
        ("Content-Length", str(len(body))),
        ("Cache-Control", MUTABLE),
    )
    if retry_after is not None:
        headers += (("Retry-After", str(max(1, round(retry_after)))),)
    return Answer(status, headers, body)


def busy() -> Answer:
    """503 while no download place is free: boards take that more calmly than a broken download."""
    return failed(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "All download places are taken",
        retry_after=BUSY_RETRY_AFTER,
    )


def _whole(body: bytes, content_type: str, *, small: bool = False) -> Answer:
    etag = hashlib.sha256(body).hexdigest()[:32]
    return Answer(
        HTTPStatus.OK,
        (
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("ETag", f'"{etag}"'),
            ("Cache-Control", MUTABLE),
        ),
        body,
        small=small,
    )
