"""The first page: what is wrong, numbers, and the devices, some at a time.

Rendered in pieces between which polls get their turn; what is the same for all who look is kept for
a second, so that a hundred live pages cost no more than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlencode

import htpy as h
import msgspec
from htpy import Element, Node

from otaflux.model.names import STABLE, Device
from otaflux.model.record import Record
from otaflux.overheard import LEVELS, Warned
from otaflux.web.answers import Answer
from otaflux.web.ops import advice
from otaflux.web.ops.attention import FaultKind, signers_of
from otaflux.web.ops.jsonanswer import asked_in
from otaflux.web.ops.moments import seconds_of
from otaflux.web.ops.pages import faults, frame, shown
from otaflux.web.ops.sight import Sight
from otaflux.wording import plain

ON_A_PAGE = 50
HELD = 1.0  # seconds that a page is good for
MOST_HELD = 50  # pages
MOST_WRONG = 20
LATELY = 3600.0  # seconds for which a warning of the log counts as wrong
SHOWN_VERSIONS = 3  # that units of a device say they run, in the table
MAX_SEARCH = 200  # characters
MAX_REASON = 100  # characters of why something is wrong, in the table


class Looked(msgspec.Struct, frozen=True):
    """What somebody looks at: a search, those that something is wrong with, and which page."""

    search: str = ""
    only_wrong: bool = False
    page: int = 1

    @classmethod
    def of(cls, query: str) -> Looked:
        """Read a query; what cannot be is as if it were not there."""
        asked = asked_in(query)
        page = asked.get("page", [""])[-1]
        number = int(page) if page.isascii() and page.isdecimal() and len(page) < 8 else 1  # noqa: PLR2004 - digits
        search = asked.get("q", [""])[-1].strip()[:MAX_SEARCH]
        return cls(search, asked.get("show", [""])[-1] == "wrong", max(1, number))

    def address(self, page: int) -> str:
        """Where another page of the same lies."""
        asked = {"q": self.search, "show": "wrong" if self.only_wrong else "", "page": str(page)}
        return "/?" + urlencode({name: value for name, value in asked.items() if value})


class Overview:
    """Answers `/`."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._held: dict[Looked, tuple[float, asyncio.Task[str]]] = {}

    async def answer(self, query: str) -> Answer:
        """The page; raises `Refused` for a query that nobody writes."""
        return frame.html(await asyncio.shield(self._page(Looked.of(query))))

    def _page(self, looked: Looked) -> asyncio.Task[str]:
        """The page as it is, or was a moment ago."""
        now = self._sight.machine.clock()
        held = self._held.get(looked)
        if held is not None and now - held[0] < HELD:
            return held[1]
        self._held.pop(looked, None)
        while len(self._held) >= MOST_HELD:
            del self._held[next(iter(self._held))]
        task = asyncio.create_task(self._render(looked))
        self._held[looked] = (now, task)
        return task

    async def _render(self, looked: Looked) -> str:
        sight = self._sight
        names = await self._names(looked)
        pages = max(1, -(-len(names) // ON_A_PAGE))
        number = min(looked.page, pages)
        start = (number - 1) * ON_A_PAGE
        some = names[start : start + ON_A_PAGE]
        rows = (self._row(Device(name)) for name in some)  # made as they are rendered
        verdict, is_said = self._verdict(), sight.nobody() is not None
        await asyncio.sleep(0)
        content = [
            verdict,
            self._numbers(),
            _tools(looked, len(names), start, len(some)),
            _table(rows) if some else h.p(".box.soft")[_nobody(looked, is_said=is_said)],
            _pager(looked, number, pages),
            self._said_besides(),
        ]
        document = frame.page("Devices", _source(sight), content, search=looked.search)
        return await frame.render(document)

    async def _names(self, looked: Looked) -> list[str]:
        names = await self._sight.roll.names()
        if looked.only_wrong:
            wrong = {device.name for device in self._sight.attention.devices()}
            names = [name for name in names if name in wrong]
        if looked.search:
            names = [name for name in names if looked.search.lower() in name]
        return names

    def _verdict(self) -> Node:
        """What is wrong, before all else."""
        sight, now = self._sight, self._sight.machine.now()
        groups = sight.attention.groups(MOST_WRONG)
        wrong, _ = self._warnings(now)
        waiting = len(sight.roll.waiting)
        nobody = sight.nobody()
        if not groups and not wrong and nobody is None:
            told = f"{shown.devices(sight.roll.count)} known, nothing to be done."
            first = f" {waiting:,} wait for their first look." if waiting else ""
            return h.div(".verdict.good")[h.h1["Nothing is wrong"], h.p[told, first]]
        away = sight.registry_away
        many = len(sight.attention)
        return [
            h.div(".verdict")[
                h.h1[
                    "The registry does not answer"
                    if away
                    else _wrongs(len(groups) + len(wrong) + (nobody is not None))
                ],
                h.p(".soft")[
                    "Known devices go on being told what they were told. " if away else "",
                    f"{shown.devices(many)} of {sight.roll.count:,} concerned."
                    if many
                    else "No device is concerned.",
                ],
            ],
            h.ul(".wrongs")[
                faults.nobody(nobody, now) if nobody is not None else None,
                [faults.group(each, now) for each in groups],
                [faults.warned(each, now) for each in wrong],
            ],
        ]

    def _said_besides(self) -> Node:
        """What the log said that is wrong no more, or never was."""
        now = self._sight.machine.now()
        _, said = self._warnings(now)
        if not said:
            return None
        return [
            h.h2["The log said besides"],
            h.ul(".wrongs")[(faults.warned(line, now) for line in said)],
        ]

    def _warnings(self, now: float) -> tuple[list[Warned], list[Warned]]:
        """Lines of the log that say what is wrong now, and those that are older, or less."""
        wrong: list[Warned] = []
        said: list[Warned] = []
        for line in self._sight.overheard.lines():
            if line.event in advice.SHOWN_AS_FAULTS:
                continue
            at = seconds_of(line.at)
            lately = at is not None and now - at < LATELY
            is_wrong = line.level in LEVELS and (line.event in advice.STAYS or lately)
            (wrong if is_wrong else said).append(line)
        return wrong, said[:10]

    def _numbers(self) -> Element:
        sight = self._sight
        numbers = (
            (sight.roll.count, "devices"),
            (sight.attention.count(FaultKind.FAILING), "fail"),
            (sight.attention.count(FaultKind.REFUSED), "with a refused release"),
            (len(sight.roll.waiting), "wait for a first look"),
            (sight.queue.running, "looked at just now"),
        )
        return h.ul(".numbers")[(h.li[h.b[f"{count:,}"], h.span[what]] for count, what in numbers)]

    def _row(self, device: Device) -> Element:
        sight, now = self._sight, self._sight.machine.now()
        record, notes = sight.catalog.get(device), sight.journal.of(device)
        wrong = sight.attention.of(device)
        standing = record.standing(STABLE) if record is not None else None
        signers = signers_of(record, standing) if standing else ""
        waits = device.name not in sight.journal.tried
        units = sight.units_running(device)
        running = list(units.items())[:SHOWN_VERSIONS]
        return h.tr[
            h.td(".device", data_name="device")[faults.link(device.name)],
            h.td(data_name="state")[
                faults.state(wrong, waits=waits, told=standing is not None),
                h.span(".below")[plain(wrong[0].reason, MAX_REASON)] if wrong else None,
            ],
            h.td(data_name="told")[
                h.span(".version")[standing.release.version.text] if standing else "—",
                _others(record),
                h.span(".below")[f"signed by {plain(signers, MAX_REASON)}"] if signers else None,
            ],
            h.td(data_name="since")[
                shown.moment(standing.since if standing else None, now),
                h.span(".below")[_came(notes.came.get(STABLE, ""))] if standing else None,
            ],
            h.td(data_name="last poll")[
                shown.moment(notes.poll_at, now),
                h.span(".below")[f"{notes.polls:,} polls"] if notes.polls else None,
            ],
            h.td(data_name="downloads")[
                f"{notes.downloads:,}" if notes.downloads or notes.broken_off else "—",
                h.span(".below")[f"{notes.broken_off:,} broken off"] if notes.broken_off else None,
            ],
            h.td(data_name="units run")[
                [h.div[f"{version} · {count:,}"] for version, count in running] or "—",
                h.span(".below")["and others"] if len(units) > SHOWN_VERSIONS else None,
            ],
        ]


def _source(sight: Sight) -> str:
    return f"{sight.source}/{sight.prefix}" if sight.prefix else sight.source


def _wrongs(count: int) -> str:
    return f"{count} thing{'s are' if count != 1 else ' is'} wrong"


def _came(came: str) -> str:
    return f"by {came}" if came else ""


def _others(record: Record | None) -> Node:
    """What other channels are told, where that differs."""
    if record is None:
        return None
    stable = record.current(STABLE)
    others = [
        f"{channel}: {standing.release.version}"
        for channel, standing in sorted(record.channels.items())
        if channel != STABLE and standing.release != stable
    ]
    return [h.span(".below")[other] for other in others]


def _tools(looked: Looked, count: int, start: int, on_page: int) -> Element:
    here = "page"
    shown_now = f"{start + 1:,}-{start + on_page:,} of {count:,}" if on_page else "none"
    found = f" named like {looked.search}" if looked.search else ""
    every, wrong = Looked(looked.search), Looked(looked.search, only_wrong=True)
    return h.div(".tools")[
        h.h2["Devices"],
        h.nav(aria_label="Which devices")[
            h.a(href=every.address(1), aria_current=None if looked.only_wrong else here)["All"],
            h.a(href=wrong.address(1), aria_current=here if looked.only_wrong else None)[
                "Something is wrong"
            ],
        ],
        h.span(".count")[shown_now, found],
    ]


def _nobody(looked: Looked, *, is_said: bool) -> str:
    """What stands in the place of the table; the verdict may have said why it is empty."""
    if looked.search or looked.only_wrong:
        return "There is no such device."
    if is_said:
        return "Devices stand here as soon as there is one."
    return "No device is known yet. Push a release: otaflux push DEVICE:1.0.0 FILE"


def _table(rows: Iterator[Element]) -> Element:
    names = ("Device", "State", "Told", "Since", "Last poll", "Downloads", "Units run")
    return h.div(".frame")[
        h.table[h.thead[h.tr[(h.th(scope="col")[name] for name in names)]], h.tbody[rows]]
    ]


def _pager(looked: Looked, number: int, pages: int) -> Node:
    if pages == 1:
        return None
    return h.nav(".pager", aria_label="Pages")[
        h.a(href=looked.address(number - 1), rel="prev")["← Before"] if number > 1 else h.span,
        h.span(".soft")[f"Page {number:,} of {pages:,}"],
        h.a(href=looked.address(number + 1), rel="next")["After →"] if number < pages else h.span,
    ]
