"""What a setting's text can be where it is an address: parsers as in `values.py`."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import msgspec

from otaflux.settings.values import Wrong, words

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_PORT = 65535
# `https:/host`, `https:host`, `https//host`: a scheme was meant, and no host of that name.
_HALF_A_SCHEME = re.compile(r"https?(?::(?!\d+(?:/|$))|//)", re.IGNORECASE)
# Registries of the public that lie at the root of their hosts.
_HAS_NO_PATH = re.compile(
    r"(?:^|\.)(?:docker\.io|ghcr\.io|quay\.io|gcr\.io|pkg\.dev|azurecr\.io|amazonaws\.com"
    r"|registry\.gitlab\.com|public\.ecr\.aws)$"
)
_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
MAX_TOPIC = 200  # characters of the topic above the devices'


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


def networks(value: str) -> tuple[Network, ...]:
    """Networks or single addresses."""
    try:
        return tuple(ipaddress.ip_network(word, strict=False) for word in words(value))
    except ValueError:
        raise Wrong("networks or addresses, such as 10.0.0.0/8 192.168.1.5 fd00::/8") from None


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
