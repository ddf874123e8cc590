"""What has to do with the broker, bound; only with `MQTT_URL`, for the library takes 11 MiB.

Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from otaflux.app.controller import Controller
from otaflux.broker.account import Account
from otaflux.broker.announcer import Announcer
from otaflux.broker.discovery import Discovery
from otaflux.broker.link import Link, Participant, new_replica
from otaflux.broker.peers import Peers
from otaflux.settings import BrokerUrl, Settings
from otaflux.units.units import Units

TOPIC = "otaflux"  # where MQTT_TOPIC is not set


def account(settings: Settings, url: BrokerUrl) -> Account:
    """Where the broker is, and who OtaFlux is there."""
    return Account(
        host=url.host,
        port=url.port,
        secure=url.secure,
        topic=settings.mqtt_topic or TOPIC,
        username=settings.mqtt_username,
        password=settings.mqtt_password,
        ca_cert_path=settings.mqtt_ca_cert_path,
        client_cert_path=settings.mqtt_client_cert_path,
        client_key_path=settings.mqtt_client_key_path,
    )


def link(
    account: Account,
    settings: Settings,
    controller: Controller,
    units: Units,
    *,
    secrets: Callable[[], Sequence[str]],
) -> Link:
    """The connection, and what uses it; `secrets` gives those of `WEBHOOK_SECRET`."""
    announcer = Announcer(
        account.topic,
        controller.catalog,
        channel=controller.default_channel,
        public_url=settings.public_url,
        touch=controller.touch,
        events=controller.events,
    )
    replica = new_replica()
    peers = Peers(
        account,
        replica,
        namespace=controller.namespace,
        roster=controller.roster,
        units=units,
        touch=controller.touch,
        events=controller.events,
        secrets=secrets,
        machine=controller.machine,
    )
    parts: list[Participant] = [peers, announcer]
    if settings.mqtt_discovery_prefix is not None:
        parts.append(
            Discovery(
                settings.mqtt_discovery_prefix,
                account,
                controller.catalog,
                units,
                channel=controller.default_channel,
                events=controller.events,
            )
        )
    return Link(
        account,
        parts,
        events=controller.events,
        machine=controller.machine,
        replica=replica,
    )
