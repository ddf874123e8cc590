"""How polls for a version are read and answered where no look and no connection is needed for it.

The same functions as the handlers use (`web/devices/polls.py`), so the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from aiohttp.http import RawRequestMessage

from otaflux.model.names import Device
from otaflux.model.record import Record
from otaflux.web.devices.admission import Admission, Admitted
from otaflux.web.devices.ask import Channels
from otaflux.web.devices.polls import closes_after, gives_way, offered, read_poll, version_answer
from otaflux.web.origin import Origins
from otaflux.web.port.cachedanswer import CachedAnswer
from otaflux.web.port.forms import Asked
from otaflux.web.target import Target


class PollReader:
    """Reads and answers polls; `ready_record` gives a device's record where it needs no look.

    `shared` says that the connections are of trusted proxies, `secure` that the port has TLS.
    """

    def __init__(
        self,
        ready_record: Callable[[Device], Record | None],
        *,
        origins: Origins,
        channels: Channels,
        admission: Admission,
        secure: bool,
        shared: bool,
        now: Callable[[], float],
    ) -> None:
        self._ready_record = ready_record
        self._origins = origins
        self._channels = channels
        self._admission = admission
        self._secure = secure
        self._shared = shared
        self._now = now

    def asked(self, message: RawRequestMessage) -> Asked | None:
        """What a poll asks; None for another request, and for one of who is not proven.

        None too where its link needs the address in its target. Raises `Refused`.
        """
        ask = read_poll(message.method, message.path, message.headers, channels=self._channels)
        if ask is None or not self.is_proven(message):
            return None
        if ask.json and not message.path.startswith("/"):
            return None
        return Asked(ask, message.headers, bool(message.should_close))

    def answer(self, asked: Asked) -> CachedAnswer | None:
        """The answer; None where it takes more than the record.

        Raises `Refused` where there is none, and `Busy` where it is not known yet.
        """
        ask, headers = asked.ask, asked.headers
        record = self._ready_record(ask.device)
        if record is None:
            return None
        release = offered(record, ask, self._now()).release
        origin = self._origins.url_for(headers, trusted=self._shared, secure=self._secure, local="")
        if ask.json and origin.endswith("/"):
            return None  # its link needs an address that only the connection knows
        if ask.json and not release.firmware.sums.is_complete:
            return None  # it waits for them
        link = self._admission.signed  # for who is here where tokens count has shown one
        answer = version_answer(release, ask, headers, lambda: origin, link=link)
        ends = asked.ends or closes_after(answer)
        ready = answer.ready(keep_alive=not ends)
        return CachedAnswer(
            ask,
            int(answer.status),
            ready.before,
            ready.after,
            ends,
            gives_way=gives_way(ask, answer),
            told=None if ask.proxied or self._shared else release,
            tells=release.version.text,
            wait=ask.wait if answer.status == HTTPStatus.NOT_MODIFIED else 0,
            name=asked.name,
            says=asked.says,
        )

    def is_proven(self, message: RawRequestMessage) -> bool:
        """Whether whoever sends the same bytes proves itself by them, and will tomorrow.

        Certificates are of connections, and so are the units that they name beside a token; links
        hold for a day.
        """
        if self._admission.is_open:
            return True
        proof = self._admission.check(Target.parse(message.path), message.headers)
        return proof is Admitted.TOKEN and not self._admission.by_certificate
