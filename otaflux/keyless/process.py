"""The server's side: a notary that is a child process.

Threads: any number may ask, one at a time is answered; each waits `patience` seconds at most, and
after one that waited in vain nobody is answered for a while. The child holds nothing that has to
last, so it is killed without more ado.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from otaflux.errors import Undecided, Unsigned
from otaflux.keyless.frames import Broken, receive, send
from otaflux.model.signer import IdentitySigner
from otaflux.signature.identity import Identities, Vouched

PATIENCE = 30.0  # seconds; a small board takes ten for the child's start alone
RESPITE = 60.0  # seconds in which nothing is asked after a question that was not answered
COMMAND = (sys.executable, "-m", "otaflux.keyless")
# What of the environment the child gets: no setting, and so no secret.
HANDED_ON = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TMPDIR")
_HINT = "It is asked again at the next look; `otaflux check` tries it"


class NotaryProcess:
    """Judges bundles with certificates in a child, which `command` starts."""

    def __init__(
        self,
        *,
        command: Sequence[str] = COMMAND,
        patience: float = PATIENCE,
        respite: float = RESPITE,
    ) -> None:
        self._command = command
        self._patience = patience
        self._respite = respite
        self._one_at_a_time = threading.Lock()
        self._channel: socket.socket | None = None
        self._ending: Callable[[], object] = _nothing
        self._not_before = 0.0

    def vouch(self, bundle: bytes, identities: Identities, payload: bytes | None = None) -> Vouched:
        """See `otaflux.signature.identity.Notary`. Blocks."""
        question: dict[str, Any] = {
            "bundle": base64.b64encode(bundle).decode(),
            "identities": [name.text for name in identities.names],
            "issuer": identities.issuer.text,
            "root": base64.b64encode(identities.root).decode(),
        }
        if payload is not None:
            question["payload"] = base64.b64encode(payload).decode()
        answer = self._asked(question)
        match answer:
            case {"identity": str(identity), "issuer": str(issuer), "type": str(kind),
                  "payload": str(signed)}:  # fmt: skip
                signer = IdentitySigner(identity, issuer)
                return Vouched(signer, kind, base64.b64decode(signed))
            case {"unsigned": str(reason)}:
                raise Unsigned(reason)
            case {"undecided": str(reason)}:
                raise Undecided(reason, hint=_HINT)
            case _:
                raise Undecided("the process that judges certificates said nothing useful")

    def check(self, root: bytes) -> None:
        """Try the child and the trusted root; raises `Undecided` with what is wrong. Blocks."""
        answer = self._asked({"root": base64.b64encode(root).decode()})
        if "root" not in answer:
            reason = str(answer.get("undecided", "the process that judges said nothing useful"))
            raise Undecided(reason, hint="Is SIGSTORE_TRUSTED_ROOT_PATH a trusted root?")

    def close(self) -> None:
        """End the child, if one runs."""
        with self._one_at_a_time:
            self._end()

    def _asked(self, question: dict[str, Any]) -> dict[str, Any]:
        until = time.monotonic() + self._patience
        if not self._one_at_a_time.acquire(timeout=self._patience):
            raise Undecided("judging certificates takes too long", hint=_HINT)
        try:
            # Who can make it hang once has more that does: each would take all its time again.
            if time.monotonic() < self._not_before:
                raise Undecided("judging a certificate took too long a while ago", hint=_HINT)
            for is_last in (False, True):
                try:
                    channel = self._channel or self._start()
                    send(channel, question, until=until)
                    return receive(channel, until=until)
                except TimeoutError:
                    self._end()
                    self._not_before = time.monotonic() + self._respite
                    raise Undecided(
                        f"judging a certificate took more than {self._patience:g} s: was it the"
                        " pattern?",
                        hint=_HINT,
                    ) from None
                except (OSError, Broken) as error:
                    # The first time it may just have ended for having had nothing to do.
                    self._end()
                    if is_last:
                        raise Undecided(
                            f"the process that judges certificates failed: {error}", hint=_HINT
                        ) from None
            raise AssertionError
        finally:
            self._one_at_a_time.release()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            child = subprocess.Popen(  # noqa: S603 - a program of ours
                self._command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={name: os.environ[name] for name in HANDED_ON if name in os.environ},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel = ours
        # Also where nobody closes it: at the end of a command, or when it is dropped.
        self._ending = weakref.finalize(self, _ended, ours, child)
        return ours

    def _end(self) -> None:
        self._channel = None
        self._ending()


def _ended(channel: socket.socket, child: subprocess.Popen[bytes]) -> None:
    channel.close()
    child.kill()
    child.wait()


def _nothing() -> None:
    """No child runs."""
