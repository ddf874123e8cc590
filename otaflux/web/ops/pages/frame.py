"""What every page has around it, and the files that belong to it.

Strict: nothing comes from elsewhere, no script stands in a page, nobody may frame it.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from http import HTTPStatus
from importlib import resources

import htpy as h
from htpy import Element, Node

import otaflux
from otaflux.errors import NotFound
from otaflux.web.answers import IMMUTABLE, Answer

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SAFE = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
TYPES = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
PIECES = 100  # of a page that are rendered in one go
WITHOUT_SCRIPT = "30"  # seconds after which a browser without JavaScript loads the page again


def page(title: str, source: str, content: Node, *, device: str = "", search: str = "") -> Element:
    """A whole page; `source` names the registry, `device` the one that it is about."""
    return h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="color-scheme", content="light dark"),
            h.title[f"{title} · OtaFlux"],
            h.link(rel="icon", href=_address("icon.svg")),
            h.link(rel="stylesheet", href=_address("style.css")),
            h.noscript[h.meta(http_equiv="refresh", content=WITHOUT_SCRIPT)],
            h.script(src=_address("live.js"), defer=True),
        ],
        h.body(data_device=device)[
            h.a(".skip", href="#main")["To the content"],
            h.header[
                h.a(".name", href="/")["OtaFlux"],
                h.span(".about")[source],
                h.span(".live", role="status")["not live"],
                h.form(action="/", role="search")[
                    h.input(
                        type="search",
                        name="q",
                        value=search,
                        placeholder="Search devices",
                        aria_label="Search devices",
                    ),
                    h.button(type="submit")["Search"],
                ],
            ],
            h.main("#main")[content],
            h.footer[
                f"OtaFlux {otaflux.__version__} · ",
                h.a(href="/status")["status"],
                " · ",
                h.a(href="/ready")["ready"],
                " · ",
                h.a(href="/metrics")["metrics"],
            ],
        ],
    ]


async def render(document: Element) -> str:
    """A page as text, in pieces between which polls get their turn."""
    pieces: list[str] = []
    for number, piece in enumerate(document.iter_chunks(), 1):
        pieces.append(piece)
        if number % PIECES == 0:
            await asyncio.sleep(0)
    return "".join(pieces)


def refusal(text: str) -> Node:
    """What is said where there is nothing to show."""
    return [h.h1["Not here"], h.p[text], h.p[h.a(href="/")["All devices"]]]


def html(text: str, status: int = HTTPStatus.OK) -> Answer:
    """A page as an answer that nobody keeps."""
    body = text.encode("utf-8", "replace")
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Answer(status, headers + SAFE, body)


def asset(name: str) -> Answer:
    """A file that belongs to the pages; raises `NotFound` for any other."""
    if name not in TYPES:
        raise NotFound("Nothing is at this address")
    body = _bytes(name)
    headers = (
        ("Content-Type", TYPES[name]),
        ("Content-Length", str(len(body))),
        ("Cache-Control", IMMUTABLE),
    )
    return Answer(HTTPStatus.OK, headers + SAFE, body)


@cache
def _bytes(name: str) -> bytes:
    return (resources.files(__package__) / "assets" / name).read_bytes()


@cache
def _address(name: str) -> str:
    """Where a file lies; another version of it lies elsewhere, so that it may be kept for ever."""
    return f"/assets/{name}?{hashlib.sha256(_bytes(name)).hexdigest()[:12]}"
