"""What a setting's text can be: one small parser for each kind of value.

A parser gets the text without spaces around it, never empty, and returns a value or raises `Wrong`
with what was expected, in words that follow "expected". It looks at the file system only where a
setting names a file that must be there.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from otaflux.errors import BadName, Refused
from otaflux.model.names import STABLE, Channel, Device

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FOLLOW, NEVER = "follow", "never"
LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "critical",
}
# As the Rust program's filter has them: numbers from nothing to everything.
OLD_LEVELS = {
    "off": "critical",
    "0": "critical",
    "1": "error",
    "2": "warning",
    "3": "info",
    "4": "debug",
    "5": "debug",
}

_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*(?:(b?)|([kmgt])(i?)b)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_SEPARATOR = re.compile(r"[\s,]+")
MAX_PORT = 65535


class Wrong(Refused):
    """A value that cannot be one; `expected` says what can, `found` replaces it in the complaint.

    `found` is given where the value as a whole would not help, or must not be shown.
    """

    def __init__(self, expected: str, *, found: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.found = found


class Address(msgspec.Struct, frozen=True):
    """Where to listen: a host's name or address, without brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port`; an IPv6 address stands in brackets. Port 0 takes a free one."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        good = bare and (_is_ipv6(bare) if bracketed else not re.search(r"[\s:/\[\]@]", bare))
        if not (colon and good and port.isascii() and port.isdecimal() and int(port) <= MAX_PORT):
            raise Wrong("host:port, such as 0.0.0.0:8080, [::]:8080 or 127.0.0.1:8080")
        return cls(bare, int(port))

    @property
    def reachable(self) -> Address:
        """The same for a client on this machine: an unspecified address becomes loopback."""
        if not self.takes_all:
            return self
        return Address("::1" if ":" in self.host else "127.0.0.1", self.port)

    @property
    def takes_all(self) -> bool:
        """Whether it is unspecified, which stands for every address of this machine."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def text(value: str) -> str:
    """Any text."""
    return value


def boolean(value: str) -> bool:
    """Yes or no, in the usual words."""
    match value.lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
        case _:
            raise Wrong("true or false")


def size(value: str) -> int:
    """Bytes: a plain number, or one with a unit of 1000 (kB, MB, GB) or of 1024 (KiB, MiB, GiB)."""
    match = _SIZE.fullmatch(value)
    if match is None:
        raise Wrong("a size, such as 256MiB, 1GB or a plain number of bytes")
    number, _, unit, binary = match.groups()
    count = float(number) * (1024 if binary else 1000) ** _UNITS[(unit or "").lower()]
    exact = int(number) if number.isdecimal() and not unit else int(count)
    if not 1 <= exact <= 1 << 44:
        raise Wrong("a size from 1 byte to 16 TiB, such as 256MiB")
    return exact


def number(low: float, high: float, example: str) -> Callable[[str], float]:
    """A parser for numbers, decimals allowed, from `low` to `high`."""

    def parse(value: str) -> float:
        if not _NUMBER.fullmatch(value) or not low <= float(value) <= high:
            raise Wrong(f"a number from {low:g} to {high:g}, such as {example}")
        return float(value)

    return parse


def seconds(low: float, high: float, example: str) -> Callable[[str], float]:
    """A parser for seconds, decimals allowed, with or without an `s` behind them."""

    def parse(value: str) -> float:
        bare = value.removesuffix("s").rstrip()
        if not _NUMBER.fullmatch(bare) or not low <= float(bare) <= high:
            raise Wrong(f"seconds from {low:g} to {high:g}, such as {example}")
        return float(bare)

    return parse


def integer(low: int, high: int) -> Callable[[str], int]:
    """A parser for whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not (value.isascii() and value.isdecimal() and low <= int(value[:20]) <= high):
            raise Wrong(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def level(value: str) -> str:
    """The lowest level that is logged."""
    try:
        return (LEVELS | OLD_LEVELS)[value.lower()]
    except KeyError:
        raise Wrong("debug, info, warning or error") from None


def log_format(value: str) -> str:
    """How a log line is written."""
    if value.lower() not in {"json", "console"}:
        raise Wrong("json or console")
    return value.lower()


def downgrades(value: str) -> str:
    """Whether channels fall."""
    if value.lower() not in {FOLLOW, NEVER}:
        raise Wrong("follow or never")
    return value.lower()


def words(value: str) -> tuple[str, ...]:
    """A list: white space or commas stand between its members; each counts once."""
    return tuple(dict.fromkeys(word for word in _SEPARATOR.split(value) if word))


def devices(value: str) -> frozenset[Device]:
    """Names of devices."""
    try:
        return frozenset(Device.parse(word) for word in words(value))
    except BadName as error:
        raise Wrong(f"names of devices; {_lowered(error)}") from None


def channels(value: str) -> tuple[Channel, ...]:
    """Names of pre-release channels; the stable one is always there and is not named."""
    names = words(value)
    if STABLE in names:
        raise Wrong("pre-release channels without 'stable', which is always served")
    try:
        return tuple(Channel.parse(name) for name in names)
    except BadName as error:
        raise Wrong(f"pre-release channels, such as beta rc; {_lowered(error)}") from None


def channel(value: str) -> Channel:
    """The name of one channel, the stable one too."""
    try:
        return Channel.parse(value.strip())
    except BadName as error:
        raise Wrong(f"stable or one of CHANNELS; {_lowered(error)}") from None


def _lowered(error: BadName) -> str:
    message = str(error)
    return message[:1].lower() + message[1:]


def networks(value: str) -> tuple[Network, ...]:
    """Networks or single addresses."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in words(value))
    except ValueError:
        raise Wrong("networks or addresses, such as 10.0.0.0/8 192.168.1.5 fd00::/8") from None


# `https:/host`, `https:host`, `https//host`: a scheme was meant, and no host of that name.
_HALF_A_SCHEME = re.compile(r"https?(?::(?!\d+(?:/|$))|//)", re.IGNORECASE)
# Registries of the public that lie at the root of their hosts.
_HAS_NO_PATH = re.compile(
    r"(?:^|\.)(?:docker\.io|ghcr\.io|quay\.io|gcr\.io|pkg\.dev|azurecr\.io|amazonaws\.com"
    r"|registry\.gitlab\.com|public\.ecr\.aws)$"
)


def registry_url(value: str) -> str:
    """`[scheme://]host[:port][/path]`; a scheme that is not written is left out.

    A path is what a proxy puts in front of the registry's `/v2`.
    """
    expected = "https://host[:port], or http://host[:port] for a registry without TLS"
    written = "://" in value
    if not written and _HALF_A_SCHEME.match(value):
        raise Wrong(expected)
    parts = _split(value if written else f"https://{value}", expected)
    below = parts.path.strip("/")
    if below not in {"", "v1", "v2"} and _HAS_NO_PATH.search(parts.hostname or ""):
        raise Wrong(
            f"{expected}, and REPOSITORY_PREFIX={below} for repositories whose names begin so"
        )
    place = parts.netloc + parts.path.rstrip("/")
    return f"{parts.scheme}://{place}" if written else place


def public_url(value: str) -> str:
    """`http[s]://host[:port][/path]`, returned without a `/` at its end."""
    parts = _split(value, "http(s)://host[:port][/path], the address that devices reach")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


class BrokerUrl(msgspec.Struct, frozen=True):
    """Where an MQTT broker is, and whether with TLS."""

    host: str
    port: int
    secure: bool


_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
MAX_TOPIC = 200  # characters of the topic above the devices'


def broker_url(value: str) -> BrokerUrl:
    """`mqtt[s]://host[:port]`."""
    expected = "mqtt://host[:port], or mqtts://host[:port] for a broker with TLS"
    parts = _split(value, expected, schemes=tuple(_MQTT_PORTS))
    if parts.path.strip("/"):
        raise Wrong(f"{expected}, without a path; MQTT_TOPIC names the topic")
    host = parts.hostname or ""
    return BrokerUrl(host, parts.port or _MQTT_PORTS[parts.scheme], parts.scheme == "mqtts")


def topic(value: str) -> str:
    """The beginning of MQTT topics, returned without a `/` at its end."""
    bare = value.rstrip("/")
    wild = re.search(r"[+#$\x00-\x1f\x7f]", bare)
    if not bare or wild or not bare.isprintable() or len(bare) > MAX_TOPIC:
        raise Wrong(
            f"the beginning of a topic, such as otaflux or home/ota, without '+', '#' and '$', at"
            f" most {MAX_TOPIC} characters"
        )
    return bare


def _split(
    value: str, expected: str, *, schemes: tuple[str, ...] = ("http", "https")
) -> SplitResult:
    """The parts of an address; user names, passwords, queries and fragments are refused."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise Wrong(expected, found="an address that cannot be read") from None
    if "@" in value:
        raise Wrong(f"{expected}, without user name and password", found="an address with an '@'")
    named = parts.hostname and not re.search(r"[\s\\^`{|}<>\"]", value)
    if parts.scheme not in schemes or not named or port == 0:
        raise Wrong(expected)
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise Wrong(f"{expected}, without '?' and '#'")
    return parts


def path(value: str) -> Path:
    """A path; `~` is the home of whoever runs the program."""
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise Wrong("a path whose '~' can be resolved") from None


def file(value: str) -> Path:
    """A file that is there."""
    where = path(value)
    if not where.is_file():
        raise Wrong("the path of a file that is there")
    return where


def certificates(value: str) -> Path:
    """A PEM file with at least one certificate to trust."""
    where = file(value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=where)
    except OSError:  # ssl.SSLError is one
        raise Wrong("the path of a readable PEM file with certificates") from None
    return where
