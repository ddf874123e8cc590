"""Answers: exact bytes, small heads, and the same bytes whoever sends them."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from device_server import release, sums
from hypothesis import given
from hypothesis import strategies as st

from otaflux.model.release import Firmware, Release, Sums
from otaflux.web import answers
from otaflux.web.answers import Answer, Span, http_date
from otaflux.web.refusals import STATUS

DATE = b"Tue, 15 Nov 1994 08:12:31 GMT"


def heavy(version: str, size: int = 10**10) -> Release:
    """A release with the longest sums there are."""
    held = Sums(size, 2**32 - 1, "f" * 32, "f" * 40, "f" * 64)
    plain = release("lamp", version, b"x")
    return Release(
        plain.device,
        plain.tag,
        plain.version,
        plain.manifest_digest,
        plain.blob_digest,
        Firmware(held),
    )


def test_version_text_is_three_lines_without_an_end() -> None:
    """Version, CRC-32 in decimal and size, and no newline after them."""
    told = release("lamp", "1.4.0+b7", b"123456789", tag="v1.4.0_b7")
    assert answers.version_text(told).body == b"1.4.0+b7\n3421780262\n9"


def test_version_json_has_all_sums_and_a_content_address() -> None:
    """Programs get every sum, the tag as pushed, and a link that never changes meaning."""
    told = release("a/b", "1.4.0", b"123456789", tag="v1.4.0")
    whole = answers.version_json(told, "https://ota.example")
    held = sums(b"123456789")
    assert json.loads(whole.body) == {
        "device": "a/b",
        "version": "1.4.0",
        "tag": "v1.4.0",
        "crc32": 3421780262,
        "size": 9,
        "md5": held.md5,
        "sha1": held.sha1,
        "sha256": held.sha256,
        "manifest_digest": str(told.manifest_digest),
        "url": f"https://ota.example/firmware/sha256/{held.sha256}",
    }
    assert dict(whole.headers)["Content-Type"] == "application/json"


def test_a_plain_version_answer_is_small_and_bare() -> None:
    """Five headers, 256 bytes in all, for versions of up to 32 characters."""
    told = heavy("10.20.30-rc.1+" + "b" * 18)
    assert len(told.version.text) == 32
    sent = answers.version_text(told).render(DATE)
    head, body = sent.split(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert status == "HTTP/1.1 200 OK"
    assert [line.split(":")[0] for line in lines] == [
        "Content-Type",
        "Content-Length",
        "ETag",
        "Cache-Control",
        "Date",
    ]
    assert len(sent) <= 256
    assert f"Content-Length: {len(body)}" in lines


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_plain_firmware_head_is_small(keep_alive: bool) -> None:
    """At most 252 bytes with the blank line, closing or not."""
    head = answers.firmware(heavy("1.0.0").firmware).render(DATE, keep_alive=keep_alive)
    assert head.endswith(b"\r\n\r\n")
    assert len(head) <= 252
    assert b"Accept-Ranges: bytes\r\n" in head
    assert b"Cache-Control: no-cache, no-transform\r\n" in head


@given(st.binary(min_size=1, max_size=50), st.sampled_from(["1.0.0", "2.0.0-rc.1"]))
def test_etags_are_strong_and_come_from_the_content(content: bytes, version: str) -> None:
    """32 hexadecimal digits in quotes, of what is answered: other content has another."""
    told = release("lamp", version, content)
    etag = answers.firmware(told.firmware).etag
    assert etag == f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    text = answers.version_text(told)
    assert re.fullmatch(r'"[0-9a-f]{32}"', text.etag)
    assert text.etag == f'"{hashlib.sha256(text.body).hexdigest()[:32]}"'
    assert text.etag != answers.version_json(told, "http://a").etag


def test_a_content_address_may_be_cached_for_ever() -> None:
    """The one address that never changes meaning says so; the others ask to be asked."""
    held = release().firmware
    assert (
        dict(answers.firmware(held, immutable=True).headers)["Cache-Control"]
        == "public, max-age=31536000, immutable"
    )
    assert answers.content_path(held) == f"/firmware/sha256/{held.sums.sha256}"


def test_a_part_says_which() -> None:
    """206 has the part's length, its place in the whole, and the whole's ETag."""
    whole = answers.firmware(release(content=b"0123456789").firmware)
    some = answers.part(whole, Span(2, 3))
    assert some.status == 206
    assert dict(some.headers)["Content-Length"] == "3"
    assert dict(some.headers)["Content-Range"] == "bytes 2-4/10"
    assert some.etag == whole.etag
    assert dict(answers.unsatisfiable(whole).headers)["Content-Range"] == "bytes */10"


def test_not_modified_has_no_body_nor_a_length_of_one() -> None:
    """304 repeats the ETag and the caching, and nothing that speaks of a body."""
    same = answers.not_modified(answers.version_json(release(), "http://a"))
    assert [name for name, _ in same.headers] == ["ETag", "Cache-Control", "Vary"]
    assert same.body == b""


def test_connection_is_said_where_it_does_not_go_without_saying() -> None:
    """HTTP/1.1 says that it closes, HTTP/1.0 that it stays open; the others say nothing."""
    answer = answers.health()
    assert b"Connection" not in answer.render(DATE)
    assert b"\r\nConnection: close\r\n\r\nok" in answer.render(DATE, keep_alive=False)
    old = answer.render(DATE, version=(1, 0), keep_alive=True)
    assert old.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"\r\nConnection: keep-alive\r\n" in old
    assert b"Connection" not in answer.render(DATE, version=(1, 0), keep_alive=False)


@given(
    st.sampled_from(
        [
            answers.health(),
            answers.version_text(release()),
            answers.version_json(release(), "http://a"),
            answers.busy(),
            answers.failed(404, "No firmware for device 'x'"),
            answers.not_modified(answers.health()),
        ]
    ),
    st.booleans(),
)
def test_ready_bytes_are_the_rendered_ones(answer: Answer, keep_alive: bool) -> None:
    """What was built before and what is built now are the same bytes."""
    assert answer.ready(keep_alive=keep_alive).at(DATE) == answer.render(
        DATE, keep_alive=keep_alive
    )


def test_every_status_has_its_words() -> None:
    """Each status that an error can have is rendered."""
    for _, status in (*STATUS, (Exception, 500)):
        assert answers.failed(status, "why").render(DATE).startswith(f"HTTP/1.1 {status} ".encode())


def test_dates_are_those_of_http() -> None:
    """English, GMT, fixed width, whatever the locale."""
    assert http_date(784887151) == b"Tue, 15 Nov 1994 08:12:31 GMT"
    assert http_date(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"


def test_retry_after_is_in_whole_seconds_and_never_none() -> None:
    """Clients wait at least a second."""
    assert dict(answers.failed(503, "x", retry_after=0.2).headers)["Retry-After"] == "1"
    assert dict(answers.busy().headers)["Retry-After"] == "10"
