"""Plain HTTP, which most clients speak: a text to compare, and firmware.

esp32-home-sensor, ESP-IDF, RAUC's polling, SWUpdate's downloader, Tasmota, Mender's resumer and
curl live on these, with the conditions and ranges of RFC 9110.
"""

from __future__ import annotations

from http import HTTPStatus

from otaflux.errors import NotFound
from otaflux.model.artifact import Digest
from otaflux.web import answers
from otaflux.web.answers import Answer
from otaflux.web.devices.admission import Admitted
from otaflux.web.devices.ask import Ask
from otaflux.web.devices.delivery import FirmwareAnswer
from otaflux.web.devices.offer import Offer
from otaflux.web.devices.polls import gives_way, version_answer
from otaflux.web.devices.request import DeviceRequest


async def health(request: DeviceRequest) -> Answer:
    """The process can answer."""
    return request.judged(answers.health())


async def version(request: DeviceRequest) -> Answer:
    """What a device is told, as text or JSON; 503 while no download could follow."""
    ask = request.ask()
    offer, answer = await _version(request, ask)
    if ask.wait and answer.status == HTTPStatus.NOT_MODIFIED:

        async def is_other() -> bool:
            return (await _version(request, ask))[1].status != HTTPStatus.NOT_MODIFIED

        await request.parts.long_polls.until(ask.device, ask.wait, is_other)
        offer, answer = await _version(request, ask)
    if gives_way(ask, answer) and request.parts.downloads.puts_off():
        return answers.busy()
    request.tell(ask, offer)
    return answer


async def _version(request: DeviceRequest, ask: Ask) -> tuple[Offer, Answer]:
    """What is told now, and how."""
    offer = await request.offered(ask)
    answer = version_answer(
        await request.summed(offer.release) if ask.json else offer.release,
        ask,
        request.headers,
        request.origin,
        link=request.signed,
        head=request.is_head,
    )
    return offer, answer


async def firmware(request: DeviceRequest) -> FirmwareAnswer:
    """The bytes that a device is told, or part of them."""
    return await request.firmware(request.ask())


async def content(request: DeviceRequest) -> FirmwareAnswer:
    """Bytes by what they are: what is served under any device, and lately was."""
    release = request.parts.catalog.by_digest(Digest("sha256", request.named["hex"]))
    if release is None:
        raise NotFound("No firmware has that content")
    private = request.proof is not Admitted.NOTHING
    return FirmwareAnswer.of(Offer(release), immutable=True, private=private)
