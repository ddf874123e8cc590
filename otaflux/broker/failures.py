"""What stands between OtaFlux and the broker, in words, and what to do about it.

The library says little, and much of it only as text: a failed handshake and a name that is not
known are both an error with a sentence in it. Secrets are in none of them.
"""

from __future__ import annotations

from aiomqtt import MqttCodeError, MqttError
from paho.mqtt.reasoncodes import ReasonCode

from otaflux.broker.account import Account
from otaflux.errors import Undecided
from otaflux.wording import MAX_SENTENCE, plain

UNSUPPORTED = frozenset({1, 0x84})  # "Unsupported protocol version", in MQTT 3.1.1 and 5
_LOGIN = frozenset({4, 5, 0x86, 0x87, 0x8C})  # bad user name or password, not authorised
_NO_RETAINED = 0x9A  # "Retain not supported"
_TRUST = "Does MQTT_CA_CERT_PATH hold the root of the broker's certificate?"
_NAME = "Is the host of MQTT_URL the one that the broker's certificate is for?"
_CLIENT = (
    "Does the broker ask for a client certificate? Set MQTT_CLIENT_CERT_PATH and"
    " MQTT_CLIENT_KEY_PATH to one that it trusts"
)
_PLAIN = "Does this port speak TLS? mqtts:// (8883) is with it, mqtt:// (1883) without"
_AWAY = "Is MQTT_URL right, and does the broker run?"
_SILENT = (
    "Is there an MQTT broker at MQTT_URL, with TLS where it is mqtts://, and does it ask for a"
    " client certificate?"
)
_WORDS = {  # the library's, and ours
    "Operation timed out": "it does not answer any more",
    "[code:128] Unspecified error": "it closed the connection",
    "[code:4] The client is not currently connected.": "it closed the connection",
}
_HINTS = (
    ("hostname mismatch", _NAME),
    ("not valid for", _NAME),
    ("certificate verify failed", _TRUST),
    ("certificate required", _CLIENT),
    ("alert", _CLIENT),
    ("wrong_version_number", _PLAIN),
    ("wrong version number", _PLAIN),
    ("record layer failure", _PLAIN),
    ("eof occurred", _PLAIN),
    ("reset by peer", _PLAIN),
)


def code_of(error: MqttError) -> int | None:
    """The broker's own reason for a refused connection; None where it gave none."""
    code = error.rc if isinstance(error, MqttCodeError) else None
    return code.value if isinstance(code, ReasonCode) else code


def not_connected(account: Account, error: MqttError) -> Undecided:
    """A connection that did not come to be."""
    code = code_of(error)
    if code in _LOGIN:
        who = f"the account '{account.username}'" if account.username else "who gives no name"
        return Undecided(
            f"the broker {account.url} refuses {who}",
            hint="Look at MQTT_USERNAME and MQTT_PASSWORD, and at the accounts of the broker",
        )
    if code is not None:
        said = plain(str(error), MAX_SENTENCE)
        return Undecided(f"the broker {account.url} refuses the connection: {said}")
    words = plain(str(error), MAX_SENTENCE)
    if words in _WORDS:
        return Undecided(f"the broker {account.url} does not answer", hint=_SILENT)
    lowered = words.lower()
    hint = next((hint for part, hint in _HINTS if part in lowered), _AWAY)
    return Undecided(f"no connection to the broker {account.url}: {words}", hint=hint)


def lost(account: Account, error: MqttError) -> Undecided:
    """A connection that was there and is not any more."""
    cause = error.__cause__
    if isinstance(cause, MqttError) and code_of(cause) == _NO_RETAINED:
        return Undecided(
            f"the broker {account.url} keeps no retained messages",
            hint="Allow them there (mosquitto: retain_available true)",
        )
    said = plain(str(error.__cause__ or error), MAX_SENTENCE)
    words = _WORDS.get(said, said)
    return Undecided(
        f"the connection to the broker {account.url} is lost: {words}",
        hint="Does the broker run, and does its log say why it closed the connection?",
    )


def subscription_refused(account: Account, topic: str) -> Undecided:
    """The broker will not have us hear a topic."""
    return Undecided(
        f"the broker {account.url} refuses to let us read {plain(topic, MAX_SENTENCE)}",
        hint=f"Allow this account to read and write {account.topic}/#",
    )


def not_heard(account: Account, topic: str) -> Undecided:
    """A message to ourselves did not come back: it may not be written, or not be read."""
    return Undecided(
        f"the broker {account.url} does not give back what is sent to {plain(topic, MAX_SENTENCE)}",
        hint=f"Allow this account to read and write {account.topic}/#",
    )


def not_kept(account: Account, topic: str) -> Undecided:
    """A retained message that the broker took is not there."""
    return Undecided(
        f"the broker {account.url} took a message for {plain(topic, MAX_SENTENCE)} and does not"
        " have it",
        hint=f"Allow this account to write {account.topic}/#, and retained messages to be kept",
    )
