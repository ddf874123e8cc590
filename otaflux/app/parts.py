"""What the settings make, once for the server and for every command; decides nothing.

Who asks what lies where, which bounds there are and who OtaFlux is for the registry asks here, so
that `otaflux check` tries what `otaflux serve` uses. No loop is needed, and nothing is opened but
by `open_source`. What only a registry over HTTP needs is imported where there is one: its client
takes longer to import than a command on the embedded folder runs. The folder is imported where
there is no registry.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import otaflux
from otaflux import roots
from otaflux.app.trusted import trusted
from otaflux.collector import uncollected
from otaflux.events import Events, RequestSent
from otaflux.machine import REAL_MACHINE, Machine
from otaflux.policy import Policy
from otaflux.reconcile.pull import Puller
from otaflux.reconcile.resolve import Resolver
from otaflux.reconcile.signatures import Signatures
from otaflux.reconcile.signing import SignatureCheck, WhoMaySign
from otaflux.reconcile.streams import Streams
from otaflux.registry.source import Changeable, Source
from otaflux.settings import Settings, values
from otaflux.state.datafolder import DataFolder
from otaflux.state.store import Store
from otaflux.unpack.limits import Limits

if TYPE_CHECKING:
    from otaflux.registry.remote.credentials import Credentials
    from otaflux.registry.remote.endpoint import Endpoint
    from otaflux.roster.space import Space
    from otaflux.signature.trust import Trust

UNPACKED = 4  # times MAX_FIRMWARE_SIZE: all that is unpacked on the way to a firmware


def make_puller(
    source: Source,
    store: Store,
    policy: Policy,
    *,
    trust: WhoMaySign,
    space: Space | None = None,
    events: Events | None = None,
    streams: Streams | None = None,
    machine: Machine = REAL_MACHINE,
) -> Puller:
    """What looks at tags of a source and pulls into a store, for the server and for commands."""
    return Puller(
        source,
        store,
        policy.limits,
        judged_by=policy.judged_by,
        trust=trust,
        space=space,
        events=events,
        streams=streams,
        machine=machine,
    )


class Assembly:
    """The parts that the settings alone decide.

    `credentials` are who OtaFlux is for the registry, None for the embedded folder; `namespace` is
    the rule from repositories to devices; `limits` bound what one artifact may unpack to, and
    `judged_by` names what verdicts depend on: the limits and the program's version.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = DataFolder(settings.data_dir)
        self.endpoint = _endpoint(settings)
        self.credentials = _credentials(settings, self.endpoint) if self.endpoint else None
        self.namespace = settings.namespace(
            credentials=self.credentials.configured if self.credentials else lambda: False
        )
        largest = settings.max_firmware_size
        self.limits = Limits(largest, UNPACKED * largest)
        self.trusted = trusted(settings)
        self.judged_by = f"otaflux {otaflux.__version__}, MAX_FIRMWARE_SIZE {largest}"

    @property
    def policy(self) -> Policy:
        """What is kept up to date, and how hard it is tried."""
        settings = self.settings
        return Policy(
            namespace=self.namespace,
            channels=settings.channels,
            default_channel=settings.default_channel,
            keep_versions=settings.keep_versions,
            never_fall=settings.downgrades == values.NEVER,
            withdraw_after=settings.withdraw_after,
            recheck_interval=settings.recheck_interval,
            registry_rate=settings.registry_rate,
            registry_concurrency=settings.registry_concurrency,
            limits=self.limits,
            judged_by=self.judged_by,
        )

    @asynccontextmanager
    async def open_source(
        self, *, patient: bool, events: Events | None = None
    ) -> AsyncIterator[Changeable]:
        """The registry, or the embedded folder where `REGISTRY_URL` is unset.

        `patient` is for commands, which have nothing to do but to wait; `events` hears of each
        request.
        """
        if self.endpoint is None:
            from otaflux.registry.layout import Layout

            yield Layout(self.folder.registry)
            return
        with uncollected(), roots.unread():
            from otaflux.registry.remote.retries import COMMAND, SERVER
            from otaflux.registry.remote.source import Remote

        told = events or Events()
        async with Remote(
            self.endpoint,
            self.namespace,
            self.credentials,
            ca_cert_path=self.settings.registry_ca_cert_path,
            insecure=self.settings.registry_insecure,
            environ=os.environ,
            policy=COMMAND if patient else SERVER,
            concurrency=self.settings.registry_concurrency,
            on_request=lambda kind, outcome: told.tell(RequestSent(kind, outcome)),
        ) as remote:
            yield remote

    def puller(self, source: Source, store: Store) -> Puller:
        """What makes a tag into a release below `store`, by the path that the server takes."""
        return make_puller(source, store, self.policy, trust=self.trust)

    def signing(self, source: Source) -> SignatureCheck:
        """What says whether something is signed, without pulling it."""
        return SignatureCheck(Resolver(source), Signatures(source), self.trust)

    def trust(self) -> Trust | None:
        """Who may sign now, None where nobody has to; reads files where they changed."""
        return self.trusted.current() if self.trusted else None


def _endpoint(settings: Settings) -> Endpoint | None:
    if settings.registry_url is None:
        return None
    from otaflux.registry.remote.endpoint import Endpoint

    return Endpoint.parse(settings.registry_url, insecure=settings.registry_insecure)


def _credentials(settings: Settings, endpoint: Endpoint) -> Credentials:
    from otaflux.registry.remote.credentials import Credentials, credential_files

    environ = dict(os.environ)
    if settings.registry_auth_file is not None:
        environ["REGISTRY_AUTH_FILE"] = str(settings.registry_auth_file)
    return Credentials(
        endpoint,
        username=settings.registry_username,
        password=settings.registry_password,
        files=credential_files(environ, _home()),
    )


def _home() -> Path | None:
    """The home of whoever runs this; None for a user with neither HOME nor a passwd entry."""
    try:
        return Path.home()
    except RuntimeError:
        return None
