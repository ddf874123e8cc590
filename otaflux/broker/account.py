"""Where the broker is, and who OtaFlux is there, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from otaflux.secret import Current, Secret

OWN = "$otaflux"  # below MQTT_TOPIC: what is no device's; no device can be called so


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Host, port and whether there is TLS; the topic above all others; name, password, certificate.

    `topic` has no `/` at its end. The files are read at each connection, so that new ones count at
    the next.
    """

    host: str
    port: int
    secure: bool
    topic: str
    username: str | None = None
    password: Current[Secret] | None = None
    ca_cert_path: Path | None = None
    client_cert_path: Path | None = None
    client_key_path: Path | None = None

    @property
    def url(self) -> str:
        """The broker's address, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.secure else 'mqtt'}://{host}:{self.port}"

    def own(self, *levels: str) -> str:
        """A topic that is no device's."""
        return "/".join((self.topic, OWN, *levels))
