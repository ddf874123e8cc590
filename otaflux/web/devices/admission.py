"""Who may ask as a device: by a token, by a client certificate, or by a link that we signed.

Trust: nothing of a request is believed, and how a token is compared says nothing of it (see
`secretproof.py`). It is never logged, and in no link: what a link carries is an HMAC of its path,
whose key comes from a token, so that replicas with the same tokens take each other's links, and
that holds for a day, or some hours more. With no token and no certificates asked for, everybody may
ask. On the event loop.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from urllib.parse import parse_qsl, quote

import msgspec
from multidict import MultiMapping

from otaflux.errors import Unproven
from otaflux.units.seen import MAX_UNIT, can_be_unit
from otaflux.web.secretproof import as_sent, basic_password, holds
from otaflux.web.target import Target

OPEN = frozenset({"/health"})  # for who watches the process
# Links that are made within so many hours are the same, so that answers with one are the same too,
# and who waits for another release is not told of another link each hour.
PERIOD = 6
HOLDS = 24 + PERIOD  # hours from the beginning of its period, so that it holds for a day at least
MAX_QUERY = 4096  # characters that are searched for a token; its line may have twice that

_SCHEMES = frozenset({"bearer", "targettoken", "gatewaytoken"})
_PROJECT_KEYS_AT = "/api/v0/"  # Memfault's addresses, whose clients have one header for it
_SIGNATURE = re.compile(r"([0-9a-f]{1,8})\.([A-Za-z0-9_-]{22})")
_PURPOSE = b"otaflux: links for devices"
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

Tokens = Callable[[], Sequence[str]]


class Admitted(Enum):
    """How a request proved itself; `NOTHING` where nothing is asked for."""

    NOTHING = "nothing"
    TOKEN = "token"  # noqa: S105 - the word for it
    CERTIFICATE = "certificate"
    LINK = "link"


class Admission(msgspec.Struct, frozen=True):
    """`tokens` gives those that count now, `now` the time since the epoch.

    `by_certificate` says that client certificates count, which the port has judged.
    """

    tokens: Tokens = lambda: ()
    by_certificate: bool = False
    now: Callable[[], float] = lambda: 0.0

    @property
    def is_open(self) -> bool:
        """Whether everybody may ask."""
        return not self.by_certificate and not self.tokens()

    def check(
        self, target: Target, headers: MultiMapping[str], *, certified: bool = False
    ) -> Admitted:
        """How a request proves that it may ask; raises `Unproven`.

        `certified` says that its connection has a client certificate that counts.
        """
        secrets = [as_sent(token) for token in self.tokens()]
        if target.path in OPEN or not (secrets or self.by_certificate):
            return Admitted.NOTHING
        shown = list(_shown(target, headers))
        held = [holds(token, secrets) for token in shown if token]
        if any(held):
            return Admitted.TOKEN
        if self.by_certificate and certified:
            return Admitted.CERTIFICATE
        signed = list(_parameters(target.query, "sig"))
        if signed and self._is_signed(target.path, signed[0], secrets):
            return Admitted.LINK
        if any(shown):
            raise Unproven("The token is wrong: it is none of those that count here")
        if signed:
            raise Unproven("The link holds no more: ask again for one")
        raise Unproven(
            "A token is missing: send it as 'Authorization: Bearer', as the password of Basic, or"
            " as ?token="
        )

    def signed(self, path: str) -> str:
        """The path with a signature that holds for a day; as it is where there are no tokens."""
        tokens = self.tokens()
        if not tokens:
            return path
        until = f"{self._period() * PERIOD + HOLDS:x}"
        mac = _mac(as_sent(tokens[0]), Target.parse(path).path, until)
        return f"{path}?sig={until}.{mac}"

    def counting(self) -> object:
        """Changes once other tokens count, or links are made that differ from those before."""
        tokens = tuple(self.tokens())
        return tokens, self._period() if tokens else 0

    def _period(self) -> int:
        """In which period after the epoch it is."""
        return int(self.now() // (PERIOD * 3600))

    def _is_signed(self, path: str, signature: str, secrets: Sequence[bytes]) -> bool:
        found = _SIGNATURE.fullmatch(signature)
        if found is None or int(found[1], 16) * 3600 < self.now():
            return False
        macs = [_mac(secret, path, found[1]) for secret in secrets]
        same = [hmac.compare_digest(mac, found[2]) for mac in macs]
        return any(same)


EVERYBODY = Admission()


def unit_of(certificate: object) -> str:
    """The unit that a client certificate names, as `ssl` gives it; empty where it names none.

    It is the common name. One that no unit can have is written in a way that one can, and that is
    the same for no other: else whoever has such a certificate could say that he is any unit.
    """
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    for names in subject:
        for kind, name in names:
            if kind == "commonName" and name:
                return str(name) if can_be_unit(str(name)) else _readable(str(name))
    return ""


def _readable(name: str) -> str:
    """What of a name can be read in a unit's, and its digest."""
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    shown = quote(name, safe=_PRINTABLE, errors="surrogatepass")
    return f"{shown[: MAX_UNIT - len(mark) - 1]}~{mark}"


def _mac(token: bytes, path: str, until: str) -> str:
    key = hmac.digest(token, _PURPOSE, "sha256")
    mac = hmac.digest(key, f"{until} {path}".encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(mac[:16]).decode().rstrip("=")


def _shown(target: Target, headers: MultiMapping[str]) -> Iterator[bytes]:
    """Every token that the request shows."""
    for value in headers.getall("Authorization", []):
        scheme, _, credentials = value.strip().partition(" ")
        if scheme.lower() in _SCHEMES:
            yield as_sent(credentials.strip())
        elif scheme.lower() == "basic":
            yield basic_password(credentials.strip())
    if target.path.startswith(_PROJECT_KEYS_AT):
        for value in headers.getall("Memfault-Project-Key", []):
            yield as_sent(value.strip())
    for value in _parameters(target.query, "token"):
        # Tokens have no white space, so a space was a plus that somebody did not encode.
        yield as_sent(value.replace(" ", "+"))


def _parameters(query: str, name: str) -> Iterator[str]:
    if name not in query:
        return
    for key, value in parse_qsl(query[:MAX_QUERY], errors="surrogateescape"):
        if key == name:
            yield value
