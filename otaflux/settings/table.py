"""Every setting, declared once: the one table that flags, environment, help and checks come from.

A field's name is the setting's: `registry_url` is `REGISTRY_URL` in the environment and
`--registry-url` as a flag. docs/configuration.md says more about each, and a test compares the two.
Values are parsed and frozen; only `cli` and `app` see them together, rooms below get what they use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from otaflux.model.names import STABLE, Channel, Device, Namespace
from otaflux.secret import Current, Fixed, Secret
from otaflux.settings import addresses, signers, values
from otaflux.settings.addresses import Address, BrokerUrl, Network

if TYPE_CHECKING:
    from otaflux.signature.identity import Name


class Setting(msgspec.Struct, frozen=True):
    """What is known of one setting besides its value.

    `default` is as a person would write it, empty where the setting is unset. `secret` values are
    never shown and have a `…_FILE` form.
    """

    field: str
    parse: Callable[[str], Any]
    default: str
    meaning: str
    secret: bool = False

    @property
    def name(self) -> str:
        """As in the environment."""
        return self.field.upper()

    @property
    def flag(self) -> str:
        """As on a command line."""
        return "--" + self.field.replace("_", "-")


_specs: list[tuple[Callable[[str], Any], str, str, bool]] = []  # of the fields, in their order


def _setting(
    parse: Callable[[str], Any],
    default: str | None,
    meaning: str,
    *,
    secret: bool = False,
) -> Any:
    """A field of `Settings`. `default` is parsed as a set value is; None is a default of None."""
    _specs.append((parse, default or "", meaning, secret))
    return msgspec.field(default=None if default is None else parse(default))


def _secret(text: str) -> Current[Secret]:
    return Fixed(Secret(text))


def _secrets(text: str) -> Current[Secret]:
    if not text.split():
        raise values.Wrong("one or more secrets, white space between")
    return Fixed(Secret(text))


class Settings(msgspec.Struct, frozen=True):
    """All settings, checked. `Settings()` is what an empty environment gives."""

    registry_url: str | None = _setting(
        addresses.registry_url, None, "Registry, https://host[:port]; unset: the embedded folder"
    )
    registry_insecure: bool = _setting(
        values.boolean,
        "false",
        "Any certificate of the registry; http where REGISTRY_URL names no scheme",
    )
    repository_prefix: str = _setting(
        values.text, "", "Part of a repository's name before the device's; / serves every one"
    )
    registry_username: str | None = _setting(values.text, None, "User name for the registry")
    registry_password: Current[Secret] | None = _setting(
        _secret, None, "Password or token for the registry", secret=True
    )
    registry_auth_file: Path | None = _setting(
        values.file, None, "Credentials as podman and docker keep them"
    )
    registry_ca_cert_path: Path | None = _setting(
        values.certificates, None, "PEM file with roots to trust besides the system's"
    )
    registry_concurrency: int = _setting(
        values.integer(1, 256), "8", "Devices brought up to date at once"
    )
    registry_rate: float = _setting(
        values.number(0.01, 10_000, "20"), "20", "Devices checked again a second, at most"
    )
    listen_addr: Address = _setting(
        Address.parse, "0.0.0.0:8080", "Where devices and hooks are answered"
    )
    metrics_listen_addr: Address = _setting(
        Address.parse,
        "0.0.0.0:9090",
        "Where operators are answered: metrics, readiness, status",
    )
    tls_cert_path: Path | None = _setting(
        values.file, None, "PEM file with the certificate (and chain) for LISTEN_ADDR"
    )
    tls_key_path: Path | None = _setting(values.file, None, "PEM file with the certificate's key")
    tls_client_ca_path: Path | None = _setting(
        values.certificates, None, "PEM file with roots whose client certificates count as tokens"
    )
    device_tokens: Current[Secret] | None = _setting(
        _secrets, None, "Secrets that devices have to send, white space between", secret=True
    )
    public_url: str | None = _setting(
        addresses.public_url, None, "Address that links to firmware carry, http(s)://host"
    )
    trusted_proxies: tuple[Network, ...] = _setting(
        addresses.networks, "", "Networks whose X-Forwarded-* headers are believed"
    )
    webhook_secret: Current[Secret] | None = _setting(
        _secret, None, "Secrets that hooks may carry, white space between; unset: 403", secret=True
    )
    devices: frozenset[Device] = _setting(values.devices, "", "Devices to have ready at start")
    recheck_interval: float = _setting(
        values.seconds(0.1, 604_800, "300"), "300", "Seconds until a device is checked again"
    )
    channels: tuple[Channel, ...] = _setting(
        values.channels, "", "Pre-release channels to serve besides stable, such as beta rc"
    )
    default_channel: Channel = _setting(
        values.channel, STABLE, "The channel of polls that name none: stable or one of CHANNELS"
    )
    withdraw_after: float = _setting(
        values.seconds(0, 2_592_000, "3600"),
        "3600",
        "Seconds that a tag has to be missing where no hook says that it was deleted",
    )
    units: int = _setting(
        values.integer(0, 1_000_000), "100000", "Units remembered, with what each runs; 0 for none"
    )
    poll_interval: int = _setting(
        values.integer(1, 86_399), "300", "Seconds between polls of clients that ask the server"
    )
    downgrades: str = _setting(
        values.downgrades,
        values.FOLLOW,
        "follow the registry down as well as up, or never tell a channel less than before",
    )
    keep_versions: int = _setting(
        values.integer(0, 1000), "3", "Older releases of a device kept on disk"
    )
    max_firmware_size: int = _setting(
        values.size, "256MiB", "Largest blob and largest firmware; unpacking may take four times it"
    )
    data_dir: Path = _setting(
        values.path, "./otaflux-data", "Embedded folder, firmware and catalog"
    )
    max_downloads: int = _setting(values.integer(1, 1_000_000), "2000", "Downloads at once")
    cosign_pub_key_path: Path | None = _setting(
        signers.public_keys,
        None,
        "PEM file with public keys that may sign; nothing unsigned is served",
    )
    cosign_identity: tuple[Name, ...] = _setting(
        signers.identities,
        "",
        "Certificate identities that may sign, white space between; /…/ is a pattern",
    )
    cosign_issuer: Name | None = _setting(
        signers.issuer,
        None,
        "Issuer of those identities, such as https://token.actions.githubusercontent.com",
    )
    sigstore_trusted_root_path: Path | None = _setting(
        signers.trusted_root,
        None,
        "Sigstore's trusted_root.json; unset: the public instance's",
    )
    require_bound_tag: bool = _setting(
        values.boolean,
        "false",
        "Refuse artifacts whose signed manifest does not name version and device",
    )
    mqtt_url: BrokerUrl | None = _setting(
        addresses.broker_url, None, "MQTT broker for notifications, mqtt(s)://host[:port]"
    )
    mqtt_username: str | None = _setting(values.text, None, "User name for the broker")
    mqtt_password: Current[Secret] | None = _setting(
        _secret, None, "Password for the broker", secret=True
    )
    mqtt_topic: str | None = _setting(
        addresses.topic, None, "Topic above the devices' own; unset: otaflux"
    )
    mqtt_ca_cert_path: Path | None = _setting(
        values.certificates, None, "PEM file with roots to trust at the broker besides the system's"
    )
    mqtt_client_cert_path: Path | None = _setting(
        values.file, None, "PEM file with a client certificate for the broker"
    )
    mqtt_client_key_path: Path | None = _setting(
        values.file, None, "PEM file with the key of the client certificate"
    )
    mqtt_discovery_prefix: str | None = _setting(
        addresses.topic,
        None,
        "Topic where Home Assistant looks for entities, usually homeassistant; unset: none",
    )
    shutdown_timeout: float = _setting(
        values.seconds(0, 86_400, "30"), "30", "Seconds for downloads under way when it stops"
    )
    log_level: str = _setting(values.level, "info", "debug, info, warning or error")
    log_format: str | None = _setting(
        values.log_format, None, "json or console; unset: console on a terminal, else json"
    )

    @property
    def ask_for_signatures(self) -> bool:
        """Whether somebody has to sign a release before it is served."""
        return self.cosign_pub_key_path is not None or bool(self.cosign_identity)

    def namespace(self, *, credentials: Callable[[], bool]) -> Namespace:
        """The rule from repositories to devices; `credentials` says whether there are any now."""
        return Namespace.of(self.repository_prefix, self.devices, credentials=credentials)


def _declared() -> Iterator[Setting]:
    for field, spec in zip(Settings.__struct_fields__, _specs, strict=True):
        yield Setting(field, *spec)


SETTINGS: tuple[Setting, ...] = tuple(_declared())
