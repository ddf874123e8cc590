"""Plain HTTP, which most clients speak: a text to compare, and firmware.

esp32-home-sensor, ESP-IDF, RAUC's polling, SWUpdate's downloader, Tasmota, Mender's resumer and
curl live on these, with the conditions and ranges of RFC 9110.
"""

from __future__ import annotations

from otaflux.errors import NotFound
from otaflux.model.artifact import Digest
from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.call import Call
from otaflux.web.devices.delivery import Delivery
from otaflux.web.devices.offer import Offer
from otaflux.web.devices.polls import gives_way, version_answer


async def health(call: Call) -> Answer:
    """The process can answer."""
    return call.judged(answers.health())


async def version(call: Call) -> Answer:
    """What a device is told, as text or JSON; 503 while no download could follow."""
    ask = call.ask()
    offer = await call.offered(ask)
    answer = version_answer(offer.release, ask, call.headers, call.origin, head=call.is_head)
    if call.parts.downloads.full and gives_way(ask, answer):
        return answers.busy()
    call.tell(ask, offer)
    return answer


async def firmware(call: Call) -> Delivery:
    """The bytes that a device is told, or part of them."""
    return await call.delivery(call.ask())


async def content(call: Call) -> Delivery:
    """Bytes by what they are: what is served under any device, and lately was."""
    release = call.parts.catalog.by_digest(Digest("sha256", call.named["hex"]))
    if release is None:
        raise NotFound("No firmware has that content")
    return Delivery.of(Offer(release), immutable=True)
