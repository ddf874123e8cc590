"""Listings as registries give them: in pages, with holes, or as something else altogether."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from fake_faults import Body, Cut, Fault, Headers, Page, Reply, Short, Status
from fake_registry import FakeRegistry
from hypothesis import given
from hypothesis import strategies as st
from registry_client import SENSOR, remote

from otaflux.errors import OtaFluxError, Undecided
from otaflux.model.names import Device, Namespace
from otaflux.registry.remote import harbor, pages


class Answered(Fault):
    """Another answer as a whole."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send it."""
        return self._reply.response()


def texts(listing: Any) -> list[str]:
    """The tags' names, sorted."""
    return sorted(tag.text for tag in listing.tags)


def fill(registry: FakeRegistry, number: int, repository: str = "acme/sensor") -> list[str]:
    """Many tags on one manifest."""
    digest = registry.content.put(repository, None, layers=[b"x"])
    names = [f"1.{at}.0" for at in range(number)]
    for name in names:
        registry.content.tag(repository, name, digest)
    return sorted(names)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("base_path", ["", "/behind/a/path"])
async def test_pages_are_followed_to_the_end(absolute: bool, base_path: str) -> None:
    """Relative or absolute links, with a path in front or without: each tag once."""
    async with (
        FakeRegistry(page_size=100, absolute_links=absolute, base_path=base_path) as registry,
        remote(registry) as client,
    ):
        names = fill(registry, 1050)
        assert texts(await client.tags(SENSOR)) == names
        assert len(registry.seen("tags")) == 11


async def test_ten_thousand_tags_are_read() -> None:
    """In pages of 100, with one request for each."""
    async with FakeRegistry(page_size=100) as registry, remote(registry) as client:
        names = fill(registry, 10_000)
        assert texts(await client.tags(SENSOR)) == names
        assert len(registry.seen("tags")) == math.ceil(10_000 / 100)


async def test_a_path_that_the_proxy_adds_is_added_to_links() -> None:
    """A registry that does not know of the path in front of it links without it."""
    async with FakeRegistry(base_path="/sub") as registry, remote(registry) as client:
        fill(registry, 3)
        link = '</v2/acme/sensor/tags/list?last=1.0.0>; rel="next"'
        registry.fail("tags", Headers({"Link": link}))
        await client.tags(SENSOR)
        assert registry.seen("tags")[1].query["last"] == "1.0.0"


async def test_a_link_that_repeats_ends_the_listing() -> None:
    """A registry that goes round in a circle is left after one round."""
    async with FakeRegistry() as registry, remote(registry) as client:
        names = fill(registry, 3)
        link = '</v2/acme/sensor/tags/list?last=x>; rel="next"'
        registry.fail("tags", Headers({"Link": link}), times=None)
        assert texts(await client.tags(SENSOR)) == names
        assert len(registry.seen("tags")) == 2


class Endless(Fault):
    """Each page names another."""

    async def send(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Send a page with a link that was not there before."""
        link = f'</v2/acme/sensor/tags/list?last={request.query.get("last", "")}x>; rel="next"'
        return Reply(200, reply.body, {**reply.headers, "Link": link}).response()


async def test_a_listing_without_end_is_undecided() -> None:
    """Links that never repeat stop at a number of pages, and what was read is not believed."""
    async with FakeRegistry() as registry, remote(registry) as client:
        fill(registry, 3)
        registry.fail("tags", Endless(), times=None)
        with pytest.raises(Undecided, match="pages"):
            await client.tags(SENSOR)
        assert len(registry.seen("tags")) <= pages.MAX_PAGES + 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"name":"acme/sensor","tags":null}', []),
        (b'{"name":"acme/sensor"}', []),
        (b'{"tags":[]}', []),
        (b'{"tags":["1.0.0",null,"1.0.0","2.0.0",null]}', ["1.0.0", "2.0.0"]),
        (
            b'{"tags":["sha256:' + b"a" * 64 + b'","","a/b","-x","1.0.0"],"extra":{"x":[1]}}',
            ["1.0.0"],
        ),
        (json.dumps({"tags": ["a" * 129, "v1.0.0", "ü"]}).encode(), ["v1.0.0"]),
    ],
)
async def test_odd_lists_are_read(body: bytes, expected: list[str]) -> None:
    """Null, nulls inside, doubles and digests: what can be a tag is one, once."""
    async with FakeRegistry() as registry, remote(registry) as client:
        fill(registry, 1)
        registry.fail("tags", Body(body))
        listing = await client.tags(SENSOR)
        assert texts(listing) == expected
        assert listing.repository_known


@pytest.mark.parametrize(
    "fault",
    [
        Page(),
        Cut(at=20),
        Short(at=20),
        Body(b""),
        Body(b"{}"),
        Body(b"[]"),
        Body(b'{"tags":"1.0.0"}'),
        Body(b'{"tags":[1]}'),
        Body(b'{"errors":[{"code":"DENIED"}]}'),
        Body(b"[" * 50_000),
        Status(404),
        Status(404, code="SOMETHING"),
        Status(400, code="X"),
        Status(302, headers={}),
        Headers({"Link": '<http://[/>; rel="next"'}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("page", [1, 2])
async def test_what_is_no_whole_listing_is_undecided(fault: Any, page: int) -> None:
    """An error on any page, or a page for people, never shortens what is known."""
    async with FakeRegistry(page_size=2) as registry, remote(registry) as client:
        fill(registry, 5)
        when = (lambda seen: "last" in seen.query) if page == 2 else (lambda _: True)
        registry.fail("tags", fault, times=None, when=when)
        with pytest.raises(Undecided):
            await client.tags(SENSOR)


@pytest.mark.parametrize("harbor", [False, True])
async def test_an_unknown_repository_is_an_answer(harbor: bool) -> None:
    """404 with the error code of docker-registry or of Harbor: known to have no such repository."""
    async with FakeRegistry(harbor=harbor) as registry, remote(registry) as client:
        listing = await client.tags(SENSOR)
        assert (listing.tags, listing.repository_known) == ((), False)


async def test_a_repository_that_goes_between_two_pages_is_undecided() -> None:
    """Half of a listing, and then 404, is no listing of nothing."""
    async with FakeRegistry(page_size=2) as registry, remote(registry) as client:
        fill(registry, 5)
        registry.fail(
            "tags", Status(404, code="NAME_UNKNOWN"), when=lambda seen: "last" in seen.query
        )
        with pytest.raises(Undecided):
            await client.tags(SENSOR)


@pytest.mark.parametrize("status", [400, 405, 422])
async def test_a_registry_with_smaller_pages_is_asked_without_a_size(status: int) -> None:
    """An error for `n` means another limit, not another answer, of tags and of repositories."""
    async with FakeRegistry() as registry, remote(registry) as client:
        names = fill(registry, 3)
        fault = Status(status, code="PAGINATION_NUMBER_INVALID")
        for kind in ("tags", "catalog"):
            registry.fail(kind, fault, times=None, when=lambda seen: "n" in seen.query)
        assert texts(await client.tags(SENSOR)) == names
        assert await client.devices() == {SENSOR}


async def test_a_hundred_thousand_tags_on_one_page_are_read_beside_the_loop() -> None:
    """Polls go on meanwhile: what takes long runs in a thread, what is short does not."""
    ran: list[str] = []

    async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
        ran.append(work.__name__)
        return await asyncio.to_thread(work, *arguments)

    async with FakeRegistry() as registry, remote(registry, in_thread=in_thread) as client:
        names = [f"1.{at // 100}.{at % 100}-release.build.{at}" for at in range(100_000)]
        fill(registry, 1)
        assert len((await client.tags(SENSOR)).tags) == 1
        assert ran == []
        registry.fail("tags", Body(json.dumps({"tags": names}).encode()))
        assert len((await client.tags(SENSOR)).tags) == len(names)
        assert ran == ["read_tags"]


@pytest.mark.parametrize("name", ["1.0.0", ",", '","', '"\\', "\\", "ü" * 20, ' " , " '])
async def test_a_page_of_megabytes_is_read_in_pieces(name: str) -> None:
    """None of its steps is long, no tag is lost, and what could be cut wrongly is never believed.

    A name of commas and quotes is no tag: no registry has such a page.
    """
    names = [f"1.{at}.0" for at in range(30_000)]
    body = json.dumps({"name": "sensor", "tags": [*names, None] + [name] * 30_000}).encode()
    assert len(body) > 3 * pages.DECODED
    possible = [*names] + [name] * 30_000 * (name == "1.0.0")
    try:
        assert list(pages.read_tags(body).texts()) == possible
    except Undecided:
        assert name not in {"1.0.0", "ü" * 20, "\\"}


@pytest.mark.parametrize("end", [b"", b"]", b"]]}", b"}", b',"1"}', b'],"tags":[]}x'])
def test_a_large_page_that_breaks_off_is_none(end: bytes) -> None:
    """However much of it was read by then."""
    body = b'{"tags":["1.0.0"' + b',"1.0.0"' * 50_000 + end
    with pytest.raises(Undecided, match="no list of tags"):
        pages.read_tags(body)


async def test_a_huge_page_is_not_read_to_its_end() -> None:
    """A listing of more than 4 MiB of tags is no listing."""
    async with FakeRegistry() as registry, remote(registry) as client:
        fill(registry, 1)
        registry.fail("tags", Body(b'{"tags":["' + b"x" * (5 << 20)))
        with pytest.raises(Undecided, match="larger"):
            await client.tags(SENSOR)


async def test_many_large_pages_are_no_listing_either() -> None:
    """What a look holds is bounded however it is divided."""
    async with FakeRegistry() as registry, remote(registry) as client:
        fill(registry, 1)
        body = json.dumps({"tags": ["x" * 128] * 9000}).encode()
        for page in range(5):
            link = f'<?last={page}>; rel="next"'
            reply = Reply(200, body, {"Link": link, "Content-Type": "application/json"})
            registry.fail("tags", Answered(reply))
        with pytest.raises(Undecided, match="more than 4194304 bytes") as refusal:
            await client.tags(SENSOR)
        assert "tags" in refusal.value.hint
        assert len(registry.seen("tags")) == 4


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_link_header_is_read(headers: list[str]) -> None:
    """A hostile `Link` gives an address or none, and never an error."""
    pages.next_link(headers)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('</v2/a?n=1>; rel="next"', "/v2/a?n=1"),
        ("</v2/a>; rel=next", "/v2/a"),
        ('</prev>; rel="prev", </v2/a>; title="x"; rel="last next"', "/v2/a"),
        ('</v2/a,b>; REL="Next"', "/v2/a,b"),
        ('</v2/a>; rel="nextish"', None),
        ("</v2/a>", None),
        ("", None),
    ],
)
def test_the_next_link_is_found(header: str, expected: str | None) -> None:
    """Among several, in either form, by its relation and nothing else."""
    assert pages.next_link([header]) == expected


@given(st.binary(max_size=100))
def test_any_page_is_a_list_or_undecided(body: bytes) -> None:
    """No foreign exception leaves a parser of pages."""
    for read in (pages.read_tags, pages.read_catalog, pages.read_harbor):
        try:
            read(body)
        except OtaFluxError:
            continue
    pages.oci_codes(body)
    assert pages.oci_reason(body).isprintable()


# --- devices --------------------------------------------------------------------------------------


async def test_devices_are_what_lies_under_the_prefix() -> None:
    """The catalog, page by page; other projects, and names that no device has, are passed over."""
    async with FakeRegistry(page_size=2) as registry, remote(registry) as client:
        for name in ("acme/a", "acme/b/c", "acmes/no", "other/no", "acme", "z", "acme/d"):
            registry.content.put(name, "1.0.0", layers=[b"x"])
        registry.content.put("acme/" + "x" * 201, "1.0.0", layers=[b"x"])
        found = await client.devices()
        assert found == {Device("a"), Device("b/c"), Device("d")}


async def test_without_a_prefix_nothing_is_listed() -> None:
    """A registry's whole catalog is nobody's list of devices, and is not asked for."""
    async with FakeRegistry() as registry, remote(registry, namespace=Namespace()) as client:
        registry.content.put("sensor", "1.0.0", layers=[b"x"])
        assert await client.devices() is None
        assert registry.requests == []


@pytest.mark.parametrize("status", [401, 403, 404, 405, 400, 501])
async def test_a_registry_that_refuses_to_list_has_no_list(status: int) -> None:
    """Refusing is usual and no error: None."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.fail("catalog", Status(status, code="UNSUPPORTED"), times=None)
        assert await client.devices() is None


@pytest.mark.parametrize("fault", [Status(500), Page(), Cut(at=5)], ids=repr)
async def test_a_registry_that_errs_while_listing_is_undecided(fault: Any) -> None:
    """An error is not an empty list."""
    async with FakeRegistry() as registry, remote(registry) as client:
        registry.content.put("acme/a", "1.0.0", layers=[b"x"])
        registry.fail("catalog", fault, times=None)
        with pytest.raises(Undecided):
            await client.devices()


async def test_harbor_lists_a_project_to_whoever_may_read_it() -> None:
    """Where the catalog is for administrators, Harbor's own API is asked, with the credentials."""
    async with (
        FakeRegistry(auth="bearer", harbor=True, catalog=False) as registry,
        remote(registry, login=("robot", "s3cret")) as client,
    ):
        names = [f"acme/d{at}" for at in range(2 * harbor.HARBOR_PAGE + 1)]
        for name in [*names, "other/x"]:
            registry.content.put(name, "1.0.0", layers=[b"x"])
        found = await client.devices()
        assert found == {Device(name.removeprefix("acme/")) for name in names}
        asked = registry.seen("project")
        assert [seen.query["page"] for seen in asked] == ["1", "2", "3"]
        assert all(seen.headers["Authorization"].startswith("Basic ") for seen in asked)


async def test_a_registry_with_a_page_for_every_address_is_no_harbor() -> None:
    """A web interface that answers 200 to anything is not taken for a list."""
    async with FakeRegistry(catalog=False) as registry, remote(registry) as client:
        registry.fail("project", Page(), times=None)
        assert await client.devices() is None
