"""docs/openapi.yaml against the running server: schemathesis asks, and everything is as described.

A bounded run: some examples for each operation, good and bad, with the same seed each time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from device_port import PortServer
from device_server import release

from otaflux.events import Events
from otaflux.hooks.intake import Intake
from otaflux.model.names import Namespace
from otaflux.web.hooks.receiver import ADDRESSES, Receiver
from otaflux.work.outcome import Done

DESCRIPTION = Path(__file__).parent.parent.parent / "docs" / "openapi.yaml"
SECRET = "the-secret-of-hooks"
EXAMPLES = "15"  # for each operation and phase

# All but positive_data_acceptance: a condition that fails is 412, and which channels there are is
# not for a description to say.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)


def receiver() -> Receiver:
    """Hooks that touch nothing."""
    return Receiver(
        secrets=lambda: [SECRET],
        intake=Intake(Namespace("firmware"), frozenset(), lambda _: False),
        touch=lambda _: None,
        known=lambda _: None,
        events=Events(),
    )


async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Generated requests, good and bad, get answers of the described statuses, types and heads."""
    server = PortServer(tmp_path, routes=[(path, receiver().answer) for path in ADDRESSES])
    server.queue.touch = lambda touch: _ended()  # type: ignore[method-assign]
    async with server:
        old, new = release("lamp", "1.0.0", b"old" * 50), release("lamp", "1.1.0", b"new" * 50)
        server.publish(old)
        server.publish(new, kept=(old,))
        code, said = await schemathesis(server.port, tmp_path)
        assert code == 0, said
        assert (await server.get("/version?device=lamp")).status == 200


def _ended() -> asyncio.Future[Any]:
    """A look that ended without finding anything."""
    future = asyncio.get_running_loop().create_future()
    future.set_result(Done())
    return future


async def schemathesis(port: int, folder: Path) -> tuple[int, str]:
    """One bounded run of the command line: its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "run", str(DESCRIPTION)),
        *("--url", f"http://127.0.0.1:{port}", "--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1"),
        *("--header", f"Authorization:Bearer {SECRET}", "--no-shrink", "--no-color"),
        *("--warnings", "off", "--generation-database", "none", "--suppress-health-check", "all"),
        *("--generation-with-security-parameters", "false", "--request-timeout", "10"),
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()
