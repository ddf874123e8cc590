"""From flags, environment and a file to `Settings`, with all complaints at once.

A flag wins over the environment, the environment over the file of `--env-file`, that over the
default; an empty value is none. A secret also has a `…_FILE` form that names a file, read again
when it changes; both forms at once are refused, wherever they stand. Complaints show what was
found and where, but nothing of a secret.
"""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from otaflux.errors import BadName, BadSetting, Undecided
from otaflux.model.names import STABLE, Namespace
from otaflux.secret import secret_file
from otaflux.settings import broker
from otaflux.settings.places import Found, SettingPlaces
from otaflux.settings.table import SETTINGS, Setting, Settings
from otaflux.settings.values import Wrong, path
from otaflux.wording import quoted


def read(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    *,
    env_file: Path | None = None,
    only: Collection[str] | None = None,
) -> Settings:
    """Settings from their places; raises `BadSetting` with a line for each that is wrong.

    `flags` has an entry for each flag by its setting's field (`registry_url`,
    `webhook_secret_file`), None where it was not given. With `only`, settings whose field is not
    in it are left at their defaults: a command does not stop for what it does not use.
    """
    places = SettingPlaces(flags, environment, env_file)
    complaints: list[str] = []
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        if only is not None and setting.field not in only:
            continue
        try:
            value = _value(setting, places)
        except BadSetting as error:
            complaints.extend(error.complaints)
        else:
            if value is not None:
                values[setting.field] = value
    settings = _finished(values)
    complaints.extend(_together(settings, complaints))
    if complaints:
        raise BadSetting(*complaints)
    return settings


def _value(setting: Setting, places: SettingPlaces) -> object | None:
    """The parsed value of one setting; None where it is not set."""
    found = places.find(setting.field)
    named = places.find(setting.field + "_file") if setting.secret else None
    if found and named:
        raise BadSetting(
            f"{setting.name}: found it ({found.where}) and {setting.name}_FILE ({named.where}),"
            " expected one of the two"
        )
    if named:
        return _from_file(setting, named)
    return None if found is None else _parsed(setting, found)


def _parsed(setting: Setting, found: Found) -> object:
    try:
        # A secret may begin and end with spaces; a line end is what a file or a shell added.
        text = found.text.rstrip("\r\n") if setting.secret else found.text.strip()
        value: object = setting.parse(text)
    except Wrong as error:
        seen = error.found or ("a value (hidden)" if setting.secret else quoted(found.text))
        raise BadSetting(
            f"{setting.name}: found {seen} ({found.where}), expected {error.expected}"
        ) from None
    return value


def _from_file(setting: Setting, named: Found) -> object:
    """A secret that is read again when its file changes; read once now, so that it is there."""
    name = f"{setting.name}_FILE"
    try:
        secret = secret_file(name, path(named.text.strip()))
        secret.current()
    except Wrong as error:
        raise BadSetting(
            f"{name}: found {quoted(named.text)} ({named.where}), expected {error.expected}"
        ) from None
    except Undecided as error:
        raise BadSetting(
            f"{name}: found {quoted(named.text)} ({named.where}), expected a readable file with"
            f" the secret in it ({str(error).rpartition(': ')[2]})"
        ) from None
    return secret


def _finished(values: dict[str, Any]) -> Settings:
    """Settings whose registry has its scheme."""
    address = values.get("registry_url")
    if address and "://" not in address:
        scheme = "http" if values.get("registry_insecure") else "https"
        values["registry_url"] = f"{scheme}://{address}"
    return Settings(**values)


def _together(settings: Settings, complaints: Sequence[str]) -> list[str]:
    """Complaints about settings that do not fit each other, where each by itself was right."""
    wrong = {complaint.partition(":")[0].removesuffix("_FILE") for complaint in complaints}
    return [
        complaint
        for names, complaint in (
            (("REPOSITORY_PREFIX",), _prefix(settings)),
            (("REGISTRY_USERNAME", "REGISTRY_PASSWORD"), _credentials(settings)),
            (("TLS_CERT_PATH", "TLS_KEY_PATH"), _certificate(settings)),
            (("LISTEN_ADDR", "METRICS_LISTEN_ADDR"), _addresses(settings)),
            (("DATA_DIR",), _folder(settings)),
            (("CHANNELS", "DEFAULT_CHANNEL"), _default_channel(settings)),
            (("COSIGN_IDENTITY", "COSIGN_ISSUER"), _identities(settings)),
            (("REQUIRE_BOUND_TAG", "COSIGN_PUB_KEY_PATH", "COSIGN_IDENTITY"), _bound(settings)),
            (broker.NAMES, broker.together(settings)),
        )
        if complaint and wrong.isdisjoint(names)
    ]


def _prefix(settings: Settings) -> str:
    try:
        Namespace.of(settings.repository_prefix, settings.devices)
    except BadName as error:
        return (
            f"REPOSITORY_PREFIX: found {quoted(settings.repository_prefix)}, expected lower-case"
            f" names joined by '/', such as firmware or acme/firmware, or / alone; {error}"
        )
    return ""


def _addresses(settings: Settings) -> str:
    devices, operators = settings.listen_addr, settings.metrics_listen_addr
    if not devices.port or devices.port != operators.port:
        return ""
    if devices.host != operators.host and not (devices.takes_all or operators.takes_all):
        return ""
    return (
        f"METRICS_LISTEN_ADDR: found {operators}, expected another port than LISTEN_ADDR"
        f" {devices}, which devices and hooks reach"
    )


def _folder(settings: Settings) -> str:
    where = settings.data_dir
    if where.is_dir() or not where.exists():
        return ""
    return f"DATA_DIR: found '{where}', which is a file, expected a folder or a place for one"


def _default_channel(settings: Settings) -> str:
    there = (STABLE, *settings.channels)
    if settings.default_channel in there:
        return ""
    found = quoted(settings.default_channel)
    return f"DEFAULT_CHANNEL: found {found}, expected stable or one of CHANNELS: {', '.join(there)}"


def _identities(settings: Settings) -> str:
    named, issuer = bool(settings.cosign_identity), settings.cosign_issuer is not None
    if not named and settings.sigstore_trusted_root_path is not None:
        return "COSIGN_IDENTITY: found none, expected some, for SIGSTORE_TRUSTED_ROOT_PATH is set"
    if named != issuer:
        given, missing = ("IDENTITY", "ISSUER") if named else ("ISSUER", "IDENTITY")
        return f"COSIGN_{missing}: found none, expected one, for COSIGN_{given} is set"
    if named and importlib.util.find_spec("sigstore") is None:
        return (
            "COSIGN_IDENTITY: found a value, expected none: this needs the extra otaflux[keyless],"
            " which is not installed (pip install 'otaflux[keyless]')"
        )
    return ""


def _bound(settings: Settings) -> str:
    if not settings.require_bound_tag or settings.ask_for_signatures:
        return ""
    return (
        "REQUIRE_BOUND_TAG: found true, expected COSIGN_PUB_KEY_PATH or COSIGN_IDENTITY besides,"
        " for it is about what was signed"
    )


def _credentials(settings: Settings) -> str:
    if (settings.registry_username is None) == (settings.registry_password is None):
        return ""
    given, missing = "REGISTRY_USERNAME", "REGISTRY_PASSWORD"
    if settings.registry_username is None:
        given, missing = missing, given
    return f"{missing}: found none, expected one, for {given} is set"


def _certificate(settings: Settings) -> str:
    cert, key = settings.tls_cert_path, settings.tls_key_path
    if cert is None and key is None:
        if settings.tls_client_ca_path is None:
            return ""
        return (
            f"TLS_CLIENT_CA_PATH: found '{settings.tls_client_ca_path}', expected TLS_CERT_PATH and"
            " TLS_KEY_PATH beside it, for clients show certificates over TLS alone"
        )
    if cert is None or key is None:
        given, missing = ("KEY", "CERT") if cert is None else ("CERT", "KEY")
        return f"TLS_{missing}_PATH: found none, expected one, for TLS_{given}_PATH is set"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one
        return (
            f"TLS_CERT_PATH: found '{cert}' with key '{key}', expected a PEM certificate and its"
            f" key, without a passphrase ({error.strerror or error})"
        )
    return ""
