"""Plain HTTP, which most clients speak: a text to compare, and firmware.

esp32-home-sensor, ESP-IDF, RAUC's polling, SWUpdate's downloader, Tasmota, Mender's resumer and
curl live on these, with the conditions and ranges of RFC 9110.
"""

from __future__ import annotations

from otaflux.errors import NotFound
from otaflux.model.artifact import Digest
from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.delivery import FirmwareAnswer
from otaflux.web.devices.exchange import Exchange
from otaflux.web.devices.offer import Offer
from otaflux.web.devices.polls import gives_way, version_answer


async def health(exchange: Exchange) -> Answer:
    """The process can answer."""
    return exchange.judged(answers.health())


async def version(exchange: Exchange) -> Answer:
    """What a device is told, as text or JSON; 503 while no download could follow."""
    ask = exchange.ask()
    offer = await exchange.offered(ask)
    answer = version_answer(
        offer.release, ask, exchange.headers, exchange.origin, head=exchange.is_head
    )
    if gives_way(ask, answer) and exchange.parts.downloads.puts_off():
        return answers.busy()
    exchange.tell(ask, offer)
    return answer


async def firmware(exchange: Exchange) -> FirmwareAnswer:
    """The bytes that a device is told, or part of them."""
    return await exchange.firmware(exchange.ask())


async def content(exchange: Exchange) -> FirmwareAnswer:
    """Bytes by what they are: what is served under any device, and lately was."""
    release = exchange.parts.catalog.by_digest(Digest("sha256", exchange.named["hex"]))
    if release is None:
        raise NotFound("No firmware has that content")
    return FirmwareAnswer.of(Offer(release), immutable=True)
