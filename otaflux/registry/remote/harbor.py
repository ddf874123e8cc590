"""What only Harbor has: a listing by project, and projects that cache another registry.

A project's API is asked only at a registry that showed itself to be Harbor, seldom, and what it
never said counts as no: an account may be without the right to it.

Source: Harbor's API 2.0 (`/projects/{project_name_or_id}`, `…/repositories`).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

import msgspec

from otaflux.boundedmap import BoundedMap
from otaflux.errors import Undecided
from otaflux.registry.remote import pages
from otaflux.registry.remote.denials import Denied
from otaflux.registry.remote.requests import Call, RegistryAnswer, Requests
from otaflux.registry.remote.ways import CATALOG

HARBOR_PAGE = 100  # repositories; the most that Harbor gives
REMEMBERED = 600.0  # seconds; a project does not become a cache after it was made
MAX_PROJECTS = 1000

_BY_NAME = {"X-Is-Resource-Name": "true"}  # or a project called 42 would be the 42nd


class _Project(msgspec.Struct):
    name: str
    registry_id: int | None = None


class HarborProjects:
    """The projects of one Harbor, as far as they matter."""

    def __init__(self, requests: Requests, clock: Callable[[], float]) -> None:
        self._requests = requests
        self._clock = clock
        self._caches: BoundedMap[str, tuple[float, bool]] = BoundedMap(MAX_PROJECTS)

    async def is_cache(self, repository: str) -> bool:
        """Whether a repository lies in a proxy cache; False where that is not known."""
        project, slash, _ = repository.partition("/")
        if not slash or not self._requests.is_harbor:
            return False
        now = self._clock()
        known = self._caches.get(project)
        if known is None or now >= known[0] + REMEMBERED:
            before = known[1] if known is not None else False
            self._caches.put(project, (now, before))  # others need not ask meanwhile
            said = await self._ask(project)
            known = (now, before if said is None else said)
            self._caches.put(project, known)
        return known[1]

    async def _ask(self, project: str) -> bool | None:
        """What the API says; None where it says nothing now."""
        url = self._requests.endpoint.beside(f"/api/v2.0/projects/{quote(project, safe='')}")
        call = Call("project", "GET", url, CATALOG, headers=_BY_NAME, basic_first=True)
        try:
            answer = await self._requests.ask(call)
            found = msgspec.json.decode(answer.body, type=_Project)
        except (Undecided, msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return bool(found.registry_id) if answer.status == HTTPStatus.OK else None


async def repositories(requests: Requests, prefix: str) -> list[str] | None:
    """The repositories of the prefix's project; None where this is no Harbor, or it refuses."""
    project = prefix.partition("/")[0]
    found: list[str] = []
    for number in range(1, pages.MAX_PAGES + 1):
        url = requests.endpoint.beside(
            f"/api/v2.0/projects/{project}/repositories",
            {"page": str(number), "page_size": str(HARBOR_PAGE)},
        )
        try:
            answer = await requests.ask(Call("catalog", "GET", url, CATALOG, basic_first=True))
        except Denied:
            return None
        if number == 1 and not _is_harbor(answer):
            return None
        if answer.status != HTTPStatus.OK:
            raise pages.failed(answer.status, answer.body, "repositories")
        page = pages.read_harbor(answer.body)
        found += page
        pages.check_number(found)
        if len(page) < HARBOR_PAGE:
            return found
    raise Undecided(f"the registry lists more than {pages.MAX_PAGES} pages")


def _is_harbor(answer: RegistryAnswer) -> bool:
    """Whether the answer is Harbor's, and not some other server's page for any address."""
    if answer.status != HTTPStatus.OK:
        return False
    try:
        pages.read_harbor(answer.body)
    except Undecided:
        return False
    return True
