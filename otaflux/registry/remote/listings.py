"""Listings of a registry, read whole: tags of a repository, repositories under a prefix.

A listing that breaks off, turns into something else or grows without end is `Undecided`, never a
short one. What a page links to is asked for at the registry itself, wherever the link points.

Pages are read on the event loop while that takes a millisecond or two, and in a thread else: some
registries put all tags on one page, and polls are answered meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import TypeVar

from msgspec.structs import replace

from otaflux.errors import Undecided
from otaflux.model.artifact import Listing
from otaflux.model.taglist import TagList
from otaflux.registry.remote import harbor, pages
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.requests import MAX_BODY, Call, RegistryAnswer, Requests
from otaflux.registry.remote.ways import CATALOG, Scope
from otaflux.threads import InThread

LARGE_PAGE = 32 * 1024  # bytes, from which on a page is for a thread
LARGE_LISTING = 2000  # names, from which on sorting out devices is, and tags lie closer together

T = TypeVar("T")

_UNKNOWN = frozenset({"NAME_UNKNOWN", "NOT_FOUND"})  # the second is Harbor's
# Of a name that it cannot have: Harbor's for one without a project, and the specification's.
_IMPOSSIBLE = frozenset({"BAD_REQUEST", "NAME_INVALID"})
# What a registry with a lower limit for `n` says, or one that knows no `n`.
_OTHER_SIZE = frozenset({HTTPStatus.BAD_REQUEST, 405, 422})


async def tags(requests: Requests, name: str, scope: Scope, in_thread: InThread) -> Listing:
    """All tags of a repository; raises `Undecided` where they were not read whole.

    `in_thread` runs blocking work.
    """
    url = requests.endpoint.api(f"{name}/tags/list", {"n": str(pages.PAGE_SIZE)})
    call = Call("tags", "GET", url, scope)
    most = pages.MAX_TAGS
    first = await requests.ask(call, max_bytes=most)
    if first.status in _OTHER_SIZE:
        call = replace(call, url=requests.endpoint.api(f"{name}/tags/list"))
        first = await requests.ask(call, max_bytes=most)
    codes = (
        pages.oci_codes(first.body)
        if first.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}
        else set()
    )
    if codes and codes <= (_UNKNOWN if first.status == HTTPStatus.NOT_FOUND else _IMPOSSIBLE):
        return Listing((), repository_known=False)
    found = TagList()
    bodies = _bodies(requests, call, first, most=most)
    del first  # or it would be held until the last page
    async for body in bodies:
        found.extend(await _read(pages.read_tags, body, in_thread))
        pages.check_number(found)
    return Listing(found if len(found) >= LARGE_LISTING else tuple(dict.fromkeys(found)))


async def repositories(requests: Requests, prefix: str, in_thread: InThread) -> list[str] | None:
    """The repositories that the registry lists, a prefix's among them; None where it refuses.

    `/v2/_catalog` is for administrators in many registries; Harbor lists a project's repositories
    to those who may read it. Raises `Undecided` where a listing was not read whole.
    """
    url = requests.endpoint.api("_catalog", {"n": str(pages.PAGE_SIZE)})
    call = Call("catalog", "GET", url, CATALOG)
    try:
        first = await requests.ask(call)
        if first.status in _OTHER_SIZE:
            call = replace(call, url=requests.endpoint.api("_catalog"))
            first = await requests.ask(call)
    except Denied:
        return await harbor.repositories(requests, prefix)
    if HTTPStatus.BAD_REQUEST <= first.status < HTTPStatus.NOT_IMPLEMENTED + 1:
        return await harbor.repositories(requests, prefix)
    names: list[str] = []
    async for body in _bodies(requests, call, first, most=pages.MAX_CATALOG):
        names += await _read(pages.read_catalog, body, in_thread)
        pages.check_number(names)
    return names


async def _bodies(
    requests: Requests, call: Call, answer: RegistryAnswer, *, most: int
) -> AsyncIterator[bytes]:
    """A page's body and those of all that it links to; a link seen before ends it.

    `most` is the bytes that all pages may have together.
    """
    seen = {str(call.url)}
    size = 0
    for _ in range(pages.MAX_PAGES):
        if answer.status != HTTPStatus.OK:
            raise pages.failed(answer.status, answer.body, call.kind)
        yield answer.body
        size += len(answer.body)
        if size > most:
            raise Undecided(
                f"the registry lists more than {most} bytes of {call.kind}",
                hint="Remove tags that nobody needs, such as those of old signatures",
            )
        link = pages.next_link(answer.headers.getall("Link", []))
        if link is None:
            return
        url = requests.endpoint.page(answer.url, link)
        if str(url) in seen:
            return
        seen.add(str(url))
        answer = await requests.ask(replace(call, url=url), max_bytes=min(most, MAX_BODY))
    raise Undecided(f"the registry lists more than {pages.MAX_PAGES} pages")


async def _read(read: Callable[[bytes], T], body: bytes, in_thread: InThread) -> T:
    """What is on a page, read in a thread where that takes long."""
    if len(body) < LARGE_PAGE:
        return read(body)
    return await in_thread(read, body)
