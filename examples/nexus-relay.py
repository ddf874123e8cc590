"""Turns the webhooks of a Nexus repository into OtaFlux's generic hook. Needs only Python.

    NEXUS_SECRET=… WEBHOOK_SECRET=… python3 nexus-relay.py LISTEN_HOST:PORT OTAFLUX_URL

Nexus signs each hook with HMAC-SHA1 (X-Nexus-Webhook-Signature). What is signed and tells of a
Docker component is sent on; OtaFlux's status is the answer, 204 where nothing was to be sent.
"""

# ruff: noqa: INP001 - a script of its own, in no package

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

MAX_BODY = 1 << 20  # bytes
ACTIONS = {"CREATED": "push", "UPDATED": "push", "DELETED": "delete"}


def generic(hook: object) -> dict[str, str] | None:
    """The generic hook for one of Nexus; None where it tells of no Docker tag."""
    component = hook.get("component") if isinstance(hook, dict) else None
    if not isinstance(component, dict) or component.get("format") != "docker":
        return None
    name, tag, action = component.get("name"), component.get("version"), hook.get("action")
    if not name or not tag or action not in ACTIONS:
        return None
    return {"repository": name, "tag": tag, "action": ACTIONS[action]}


class Relay(BaseHTTPRequestHandler):
    """One hook of Nexus."""

    timeout = 10

    def do_POST(self) -> None:
        """Check, translate, send on."""
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 < length <= MAX_BODY:
            self._answer(413)
            return
        body = self.rfile.read(length)
        expected = hmac.new(os.environ["NEXUS_SECRET"].encode(), body, hashlib.sha1).hexdigest()
        signature = self.headers.get("X-Nexus-Webhook-Signature") or ""
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            self._answer(401)
            return
        try:
            hook = generic(json.loads(body))
        except ValueError:
            self._answer(400)
            return
        self._answer(204 if hook is None else self._send(hook))

    def _send(self, hook: dict[str, str]) -> int:
        headers = {
            "Content-Type": "application/json",
            "X-Webhook-Secret": os.environ["WEBHOOK_SECRET"],
        }
        address = sys.argv[2].rstrip("/") + "/hooks/registry/generic"
        try:
            with urlopen(Request(address, json.dumps(hook).encode(), headers), timeout=10) as got:  # noqa: S310 - the operator's own address
                return got.status
        except HTTPError as error:
            return error.code
        except URLError:
            return 502

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    ThreadingHTTPServer((host, int(port)), Relay).serve_forever()
