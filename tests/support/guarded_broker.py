"""One mosquitto with several doors: anybody, an account, TLS, a client certificate.

    with guarded(tmp_path) as broker:
        broker.account("secret", "home", username=USER, password=PASSWORD)

The account `USER` may do anything below `home`; `MUTE` may write there and read nothing, `DEAF` may
read there and write nothing but to itself. Certificates are made by trustme; `other.pem` is a root
that the broker's is not from.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme
from installed import find_program
from mosquitto import Mosquitto

from otaflux.broker.account import Account
from otaflux.secret import Fixed, Secret

USER, MUTE, DEAF, PASSWORD = "otaflux", "mute", "deaf", "s3cret-of-the-broker"
DOORS = ("open", "secret", "tls", "client", "elsewhere")
_LISTENERS = """\
user root
listener {port} 127.0.0.1
allow_anonymous false
password_file FOLDER/passwords
acl_file FOLDER/access
listener {port} 127.0.0.1
allow_anonymous true
certfile FOLDER/broker.pem
keyfile FOLDER/broker.key
listener {port} 127.0.0.1
allow_anonymous true
cafile FOLDER/ca.pem
certfile FOLDER/broker.pem
keyfile FOLDER/broker.key
require_certificate true
listener {port} 127.0.0.1
allow_anonymous true
certfile FOLDER/elsewhere.pem
keyfile FOLDER/elsewhere.key
"""
_ACCESS = f"""\
user {USER}
topic readwrite home/#
user {MUTE}
topic write home/#
user {DEAF}
topic read home/#
topic readwrite home/$otaflux/#
"""


class GuardedBroker(Mosquitto):
    """A mosquitto whose doors are `DOORS`."""

    def door(self, name: str) -> int:
        """The port of a door."""
        return self.ports[DOORS.index(name)]

    def account(self, door: str, topic: str, **more: Any) -> Account:
        """Who OtaFlux is behind a door; `password` is a text, and so are the paths."""
        if "password" in more:
            more["password"] = Fixed(Secret(more["password"]))
        paths = {name: self.folder / value for name, value in more.items() if name.endswith("path")}
        return Account(
            host="localhost" if door == "elsewhere" else "127.0.0.1",
            port=self.door(door),
            secure=door in {"tls", "client", "elsewhere"},
            topic=topic,
            **{**more, **paths},
        )


@contextmanager
def guarded(folder: Path) -> Iterator[GuardedBroker]:
    """It runs, and is gone at the end."""
    _certificates(folder)
    (folder / "access").write_text(_ACCESS)
    lines = "".join(f"{name}:{PASSWORD}\n" for name in (USER, MUTE, DEAF))
    (folder / "passwords").write_text(lines)
    hashing = find_program("mosquitto_passwd")
    assert hashing is not None
    subprocess.run([hashing, "-U", folder / "passwords"], check=True)
    for name in ("access", "passwords"):
        (folder / name).chmod(0o600)
    broker = GuardedBroker(folder, _LISTENERS.replace("FOLDER", str(folder)))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _certificates(folder: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    for name, issuer, host in (
        ("broker", authority, "127.0.0.1"),
        ("elsewhere", authority, "broker.example"),
        ("client", authority, "replica-1"),
        ("stranger", other, "replica-1"),
    ):
        made = issuer.issue_cert(host)
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
