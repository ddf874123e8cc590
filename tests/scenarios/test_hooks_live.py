"""`otaflux hook-example` as people use it: printed, pasted into a shell, sent to a running server.

The registry is the real docker-registry without notifications, and nothing is checked again within
the test, so what devices are told came by the printed command.
"""

from __future__ import annotations

import json
import random
import shlex
import ssl
import subprocess
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from live_log import logged
from programs import Answer, Server, environment, otaflux
from real_registry import docker_registry

from otaflux import hooks
from otaflux.hooks import Proof

pytestmark = [pytest.mark.real("docker-registry"), pytest.mark.real("curl")]

DOCS = Path(__file__).parent.parent.parent / "docs" / "registries"
# What a shell, curl and addresses could take for something of their own.
HOSTILE = "a'b\"c$HOME`id`\\d%20&#@{x}[1-3]:!~+/=*?;|<>(ü)"
OLDER = "-older=secret'"
NO_PROXY_LISTENS = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
MISFIT = "The HMAC does not fit the body"
OF_EACH_FORM = {source.proof: name for name, (source, _) in sorted(hooks.EXAMPLES.items())}


class SecureServer(Server):
    """A server over TLS, whose certificate this machine does not know."""

    @property
    def url(self) -> str:
        """Where devices and hooks are answered."""
        return super().url.replace("http:", "https:", 1)

    def _ask(self, request: urllib.request.Request) -> Answer:
        context = ssl.create_default_context(cafile=self.env["TLS_CERT_PATH"])
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())


@contextmanager
def started(running: Server) -> Iterator[Server]:
    """The server, until the end of the test."""
    running.start()
    try:
        yield running
    finally:
        assert running.process is not None
        running.process.kill()
        running.process.wait()


@dataclass(frozen=True)
class Shown:
    """What curl printed: the answer to a hook."""

    status: int
    body: str

    @property
    def json(self) -> dict[str, list[dict[str, str]]]:
        """The body as JSON."""
        answer: dict[str, list[dict[str, str]]] = json.loads(self.body)
        return answer


def printed(folder: Path, *arguments: str, **settings: str) -> str:
    """The command that `otaflux hook-example` prints, of which it has nothing else to say."""
    done = otaflux("hook-example", *arguments, cwd=folder, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def pasted(folder: Path, command: str, more: Mapping[str, str] | None = None) -> Shown:
    """Run a printed command in a shell, verbatim; answers what came back."""
    words = list(shlex.shlex(command, posix=True, punctuation_chars=True))
    assert words[0] == "curl"
    assert not [word for word in words if set(word) <= set("();<>|&")], "one command, no more"
    settings = environment(folder, NO_PROXY_LISTENS | dict(more or {}))
    done = subprocess.run(
        ["sh", "-c", command], env=settings, cwd=folder, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    head, _, body = done.stdout.decode().partition("\r\n\r\n")
    return Shown(int(head.split()[1]), body)


def firmware(device: str) -> bytes:
    """Some bytes for a device, the same each time."""
    return random.Random(device).randbytes(50_000)


def check_told(running: Server, device: str) -> None:
    """Its hook published the release, and devices are told it."""
    (accepted,) = logged(running, "hook_accepted", device=device)
    (line,) = logged(running, "release_published", device=device)
    assert line["hooks"] == [accepted["hook"]]
    content = firmware(device)
    expected = f"1.0.0\n{zlib.crc32(content)}\n{len(content)}"
    assert running.get(f"/version?device={device}").body.decode() == expected
    assert running.get(f"/firmware?device={device}").body == content


async def test_each_printed_hook_is_accepted_pulled_and_told(tmp_path: Path) -> None:
    """With any secret, a prefix and names with slashes; with a wrong secret it is 401, as told."""
    async with docker_registry(tmp_path) as registry:
        running = Server(
            tmp_path,
            {
                "REGISTRY_URL": registry.url,
                "REPOSITORY_PREFIX": "acme/lab/",
                "WEBHOOK_SECRET": f"{HOSTILE} {OLDER}",
                "RECHECK_INTERVAL": "3600",
            },
        )
        with started(running):
            for name, (source, _) in hooks.EXAMPLES.items():
                device = f"gate/{name}"
                await registry.put(f"acme/lab/{device}", "v1.0.0", layers=[firmware(device)])
                example = (name, f"{device}:v1.0.0")
                wrong = printed(tmp_path, *example, **running.env | {"WEBHOOK_SECRET": "wr'ong"})
                refused = pasted(tmp_path, wrong)
                assert refused.status == 401
                page = " ".join((DOCS / f"{source.name}.md").read_text().split())
                if source.proof in {Proof.GITHUB_HMAC, Proof.GITEA_HMAC}:
                    assert refused.body.startswith(MISFIT)
                    assert MISFIT in page
                else:
                    assert refused.body.startswith("The secret is wrong")
                shown = pasted(tmp_path, printed(tmp_path, *example, **running.env))
                assert shown.status == 202, (name, shown.body)
                event = {"device": device, "tag": "v1.0.0", "action": "push"}
                assert shown.json == {"accepted": [event], "ignored": []}
                check_told(running, device)
            rejected = logged(running, "hook_rejected")
            assert {line["source"] for line in rejected} == set(hooks.SOURCES)
            assert {(line["status"], line["sender"]) for line in rejected} == {(401, "127.0.0.1")}
            written = (tmp_path / "log").read_text()
            assert "wr'ong" not in written
            assert HOSTILE not in written


async def test_the_printed_hook_over_tls(tmp_path: Path) -> None:
    """By address no certificate is judged, by `--url` curl does; any of the secrets will do."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain, key, root = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "root.pem"
    chain.write_bytes(issued.cert_chain_pems[0].bytes() + authority.cert_pem.bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(root))
    secrets = tmp_path / "a secret file"
    secrets.write_text(f"\t{OLDER}\n{HOSTILE}\n")
    async with docker_registry(tmp_path) as registry:
        running = SecureServer(
            tmp_path,
            {
                "REGISTRY_URL": registry.url,
                "WEBHOOK_SECRET_FILE": str(secrets),
                "TLS_CERT_PATH": str(chain),
                "TLS_KEY_PATH": str(key),
                "RECHECK_INTERVAL": "3600",
            },
        )
        with started(running):
            for name in OF_EACH_FORM.values():
                await registry.put(name, "1.0.0", layers=[firmware(name)])
                command = printed(tmp_path, name, f"{name}:1.0.0", **running.env)
                assert pasted(tmp_path, command).status == 202
                check_told(running, name)
            public = running.url.replace("127.0.0.1", "localhost")
            for form in (Proof.BASIC, Proof.QUERY, Proof.GITEA_HMAC):
                # From another machine: nothing but the address, and the newer secret.
                name = OF_EACH_FORM[form]
                command = printed(
                    tmp_path, name, f"{name}:1.0.0", "--url", public, "--webhook-secret", HOSTILE
                )
                trusting = {"CURL_CA_BUNDLE": str(root), "no_proxy": "localhost"}
                assert pasted(tmp_path, command, trusting).status == 202
