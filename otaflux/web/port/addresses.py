"""One table of addresses: who answers a request, by what its path begins with.

The port carries; whoever is in the table answers. Nothing is routed besides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from otaflux.errors import NotFound
from otaflux.web.target import Target

Answers = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Addresses:
    """The first beginning of a path in `rooms` that fits has the request.

    Where none fits, `rest` has it; but what is sent with POST, as hooks are, has `posted`, `unless`
    the path is one of `rest`.
    """

    def __init__(
        self,
        rooms: Sequence[tuple[str, Answers]],
        rest: Answers,
        *,
        posted: Answers | None = None,
        unless: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._rooms = tuple(rooms)
        self._rest = rest
        self._posted = posted or rest
        self._unless = unless

    def __call__(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """The answer to a request."""
        path = _path(request.raw_path)
        for beginning, answers in self._rooms:
            if path.startswith(beginning):
                return answers(request)
        if request.method == "POST" and not self._unless(path):
            return self._posted(request)
        return self._rest(request)


def _path(target: str) -> str:
    """The path, or nothing for a target that is no address, which then is nobody's."""
    if target[:1] == "/" and "%" not in target and "//" not in target and target.isascii():
        return target.partition("?")[0].rstrip("/") or "/"  # as `Target` has it, for less
    try:
        return Target.parse(target).path
    except NotFound:
        return ""
