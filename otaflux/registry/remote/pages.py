"""What registries list, page by page, and what their error bodies say: pure.

Sources: distribution specification ("Listing Tags", "Listing Referrers", "Error Codes"),
docker-registry's `/v2/_catalog`, Harbor's API 2.0. Registries differ: `tags` may be null, hold
nulls, digests and names twice, in no order, and a page may be any page at all, such as a log-in
form with status 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sized

import msgspec

from otaflux.errors import Undecided
from otaflux.model.names import can_be_tag
from otaflux.model.taglist import TagList
from otaflux.wording import MAX_SENTENCE, quoted

PAGE_SIZE = 1000  # names asked for at once; the most that ECR and distribution 3 give
MAX_PAGES = 1000  # of one listing
MAX_NAMES = 200_000  # tags or repositories of one listing
MAX_TAGS = 4 * 1024 * 1024  # bytes of all pages of tags, which a look holds: 100,000 of 40 bytes
MAX_CATALOG = 16 * 1024 * 1024  # bytes of all pages of repositories, which are read one at a time

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r""";\s*rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\b)""", re.IGNORECASE)
MAX_LINK = 32 * 1024  # characters of `Link` headers that are read


DECODED = 128 * 1024  # bytes of a page that become names at once, in half a millisecond or so
_BETWEEN = re.compile(rb'"[ \t\r\n]*,[ \t\r\n]*"')  # two names of an array


class _Tags(msgspec.Struct):
    tags: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET


_NAMES = msgspec.json.Decoder(list[str | None] | None)


class _Catalog(msgspec.Struct):
    repositories: list[str | None] | None


class _HarborRepository(msgspec.Struct):
    name: str


class _Error(msgspec.Struct):
    code: str = ""
    message: str | None = None


class _Errors(msgspec.Struct):
    errors: list[_Error]


def next_link(headers: Iterable[str]) -> str | None:
    """The address of the next page in `Link` headers (RFC 8288), as it is written there."""
    for target, params in _LINK.findall(", ".join(headers)[:MAX_LINK]):
        if _NEXT.search(params):
            return str(target)
    return None


def read_tags(body: bytes) -> TagList:
    """The tags on a page of them; raises `Undecided` where it is none.

    Digests and what else cannot be a tag are dropped. A page of megabytes is read in pieces, so
    that no step keeps other threads waiting.
    """
    try:
        page = msgspec.json.decode(body, type=_Tags)
        if page.tags is msgspec.UNSET and page.name is msgspec.UNSET:
            raise _no_list("tags", ValueError("it names neither 'tags' nor a repository"))
        names = b"null" if page.tags is msgspec.UNSET else memoryview(page.tags)
        return TagList(_possible(_NAMES.decode(piece) or ()) for piece in _pieces(names))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _no_list("tags", error) from None


def _pieces(array: bytes | memoryview) -> Iterator[bytes]:
    """An array of names as several arrays; what is no such array is given in pieces that break.

    It is cut where one name ends and the next begins. Inside a name that could only stand if the
    name were a comma, and then the pieces break too.
    """
    start, more = 0, b""
    while (at := start + DECODED) < len(array):
        cut = _BETWEEN.search(array, at)
        if cut is None:
            break
        yield more + bytes(array[start : cut.start() + 1]) + b"]"
        start, more = cut.end() - 1, b"["
    yield more + bytes(array[start:])


def read_catalog(body: bytes) -> list[str]:
    """The repositories on a page of the catalog; raises `Undecided` where it is none."""
    try:
        page = msgspec.json.decode(body, type=_Catalog)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _no_list("repositories", error) from None
    return [name for name in page.repositories or () if name is not None]


def read_harbor(body: bytes) -> list[str]:
    """The repositories on a page of a Harbor project; raises `Undecided` where it is none."""
    try:
        page = msgspec.json.decode(body, type=list[_HarborRepository])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _no_list("repositories", error) from None
    return [repository.name for repository in page]


def _no_list(what: str, error: Exception) -> Undecided:
    return Undecided(
        f"the registry sent something that is no list of {what}, or half of one"
        f" ({quoted(str(error))})",
        hint="Is REGISTRY_URL a registry, and not a web page or a log-in portal?",
    )


def _possible(names: Iterable[str | None]) -> Iterator[str]:
    """The names that can be tags."""
    return (name for name in names if name is not None and can_be_tag(name))


def _errors(body: bytes) -> list[_Error]:
    try:
        return msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return []


def failed(status: int, body: bytes, what: str) -> Undecided:
    """The error for a page that is an error; `what` is listed there."""
    return Undecided(f"the registry answers {status}{oci_reason(body)} for a list of {what}")


def check_number(names: Sized) -> None:
    """Raises `Undecided` where a listing has more names than anybody needs."""
    if len(names) > MAX_NAMES:
        raise Undecided(f"the registry lists more than {MAX_NAMES} names")


def oci_codes(body: bytes) -> frozenset[str]:
    """The codes of an OCI error body; empty where it is none."""
    return frozenset(error.code for error in _errors(body) if error.code)


def oci_reason(body: bytes) -> str:
    """What an OCI error body says, for a message: empty, or `, CODE: text`."""
    for error in _errors(body):
        text = f": {quoted(error.message, MAX_SENTENCE)}" if error.message else ""
        return f", {quoted(error.code)}{text}"
    return ""
