"""From the bytes of a hook to its parts: what every source's parser stands on.

Pure, and for hostile bytes: `BadHook` is all that leaves it. Fields that no parser asks for are
skipped, never built, and so is what a list holds beyond its first `MAX_PARTS`, so that a body of
8 MiB costs little more than its own size. Parts are made one by one as they are asked for, and
`bounded` is where that ends, however deep a source nests its lists. A part that makes no sense
raises `Malformed`, and `each` turns that into `Noise` beside its good siblings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice, takewhile
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from otaflux.errors import BadHook
from otaflux.model.event import Action, HookEvent, Noise

MAX_PARTS = 1000  # of one hook that are read; registries send one, and the re-check sees the rest
_FORM = "application/x-www-form-urlencoded"
_BOM = b"\xef\xbb\xbf"

Part = HookEvent | Noise
Headers = Mapping[str, str]  # with lower-case names
T = TypeVar("T")
ABSENT = msgspec.Raw()


class Malformed(BadHook):
    """A part of a known envelope that makes no sense; the message says which field."""


class Lenient(msgspec.Struct, frozen=True):
    """A JSON object of which only the declared fields are read, whatever else is in it."""


class Example(msgspec.Struct, frozen=True):
    """The request that a registry would send: what `otaflux hook-example` prints."""

    headers: Mapping[str, str]
    body: bytes


class Pushed(msgspec.Struct, frozen=True):
    """What an example tells of: a tag of a repository, its manifest's digest, and when."""

    repository: str
    tag: str
    digest: str
    at: datetime


def form_json(headers: Headers, body: bytes) -> bytes | None:
    """The JSON in a form's `payload=`, as GitHub and Gitea send it; None where it is no such form.

    curl names JSON a form when nobody says otherwise, so the content type alone proves nothing.
    """
    if not headers.get("content-type", "").lower().startswith(_FORM):
        return None
    for field in body.split(b"&", MAX_PARTS):
        name, found, value = field.partition(b"=")
        if found and name == b"payload":
            return unquote_to_bytes(value.replace(b"+", b" "))
    return None


def payload_of(headers: Headers, body: bytes) -> bytes:
    """The JSON of a hook: its body, or what a form holds of it; without a byte order mark."""
    held = form_json(headers, body)
    return (body if held is None else held).removeprefix(_BOM)


def read(decoder: msgspec.json.Decoder[T], payload: bytes | msgspec.Raw) -> T:
    """The declared fields of some JSON; raises `Malformed` where they are of another type."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Malformed(f"malformed event: {error}") from None
    except UnicodeDecodeError:
        raise Malformed("malformed event: a text is not UTF-8") from None
    except RecursionError:
        raise BadHook("The body is JSON that is nested too deep to be read") from None
    except msgspec.DecodeError as error:
        raise BadHook(f"The body is no JSON that can be read: {error}") from None


# An array read by position: elements beyond the last position are skipped, never built. There is
# one more than are read, so that `bounded` sees that there were more.
_FIRST = msgspec.json.Decoder(
    msgspec.defstruct(
        "_First",
        [(f"element_{number}", msgspec.Raw, ABSENT) for number in range(MAX_PARTS + 1)],
        array_like=True,
        frozen=True,
    )
)


def items(array: msgspec.Raw) -> tuple[msgspec.Raw, ...]:
    """The first elements of a JSON array, not yet read; none where it is null or absent.

    Raises `Malformed` where it is something else.
    """
    if array is ABSENT or bytes(memoryview(array)[:1]) == b"n":
        return ()
    found = msgspec.structs.astuple(read(_FIRST, array))
    return tuple(takewhile(lambda element: element is not ABSENT, found))


def each(
    parts: Iterable[T], one: Callable[[T], Iterable[Part]], repository: str = ""
) -> Iterator[Part]:
    """What every part says; a bad one becomes `Noise` with its reason, the others stand.

    `repository` is the one that they are all about, empty where each names its own.
    """
    for part in parts:
        try:
            yield from one(part)
        except BadHook as error:
            yield malformed(repository, str(error))


def bounded(parts: Iterable[Part]) -> tuple[Part, ...]:
    """What the first `MAX_PARTS` parts of a hook say, each once, and whether there were more."""
    coming = iter(parts)
    said = dict.fromkeys(islice(coming, MAX_PARTS))
    if next(coming, None) is not None:
        reason = f"only the first {MAX_PARTS} events of a hook are read; the re-check sees the rest"
        said[Noise("", reason)] = None
    return tuple(said)


def malformed(repository: str, reason: str) -> Noise:
    """A part that makes no sense; `repository` is empty where it is not known."""
    return Noise(repository, reason, is_malformed=True)


def event(action: Action, repository: str, *, tag: str | None, digest: str | None = None) -> Part:
    """One event, its repository lower-cased: owners keep their capitals, repositories have none.

    Registries write "" for what is absent as often as they leave it out.
    """
    if not repository:
        return malformed("", "malformed event: it names no repository")
    return HookEvent(action, repository.lower(), tag or "", digest or "")


def joined(*names: str | None) -> str:
    """The parts of a repository's name that there are, joined by `/`."""
    return "/".join(name for name in names if name)


def is_text(value: msgspec.Raw) -> bool:
    """Whether some JSON is a string."""
    return bytes(memoryview(value)[:1]) == b'"'


def is_object(value: msgspec.Raw) -> bool:
    """Whether some JSON is an object."""
    return bytes(memoryview(value)[:1]) == b"{"


_TEXT = msgspec.json.Decoder(str)


def text(value: msgspec.Raw) -> str:
    """A JSON string's text; empty for anything else."""
    try:
        return read(_TEXT, value) if is_text(value) else ""
    except BadHook:
        return ""


def as_json(value: object) -> bytes:
    """An example's body, compact as registries send it."""
    return json.dumps(value, separators=(",", ":")).encode()
