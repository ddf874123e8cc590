"""Whether the settings of the broker fit each other, where each by itself was right."""

from __future__ import annotations

import ssl

from otaflux.settings.table import SETTINGS, Settings

_FIELDS = tuple(setting.field for setting in SETTINGS if setting.field.startswith("mqtt_"))
NAMES = tuple(field.upper() for field in _FIELDS)


def together(settings: Settings) -> str:
    """The first complaint; empty where there is none."""
    given = [field.upper() for field in _FIELDS if getattr(settings, field) is not None]
    if settings.mqtt_url is None:
        return f"MQTT_URL: found none, expected one, for {given[0]} is set" if given else ""
    if settings.mqtt_password is not None and settings.mqtt_username is None:
        return "MQTT_USERNAME: found none, expected one, for MQTT_PASSWORD is set"
    if not settings.mqtt_url.secure:
        paths = [name for name in given if name.endswith("_PATH")]
        return f"MQTT_URL: found mqtt://, expected mqtts://, for {paths[0]} is set" if paths else ""
    return _certificate(settings)


def _certificate(settings: Settings) -> str:
    cert, key = settings.mqtt_client_cert_path, settings.mqtt_client_key_path
    if cert is None and key is None:
        return ""
    if cert is None or key is None:
        given, missing = ("KEY", "CERT") if cert is None else ("CERT", "KEY")
        return (
            f"MQTT_CLIENT_{missing}_PATH: found none, expected one, for MQTT_CLIENT_{given}_PATH"
            " is set"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one
        return (
            f"MQTT_CLIENT_CERT_PATH: found '{cert}' with key '{key}', expected a PEM certificate"
            f" and its key, without a passphrase ({error.strerror or error})"
        )
    return ""
