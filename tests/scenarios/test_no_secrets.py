"""A run with a secret in every place where one can be: none is in the log, a metric, or a page."""

from __future__ import annotations

import base64
import json
import socket
import time
import urllib.parse
import urllib.request
from pathlib import Path

from programs import PATIENCE, Server, free_port, server

MARK = "hunter2"  # stands in each of them
HOOK = json.dumps({"repository": "acme/lamp", "tag": "1.0.0"}).encode()


def ask(running: Server, target: str, headers: str = "", body: bytes = b"") -> None:
    """One request as its bytes, on a connection of its own; whatever is answered."""
    host, _, port = running.env["LISTEN_ADDR"].rpartition(":")
    method = "POST" if body else "GET"
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}"
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        while connection.recv(65536):
            pass


def basic(password: str) -> str:
    """Credentials as a header has them."""
    return base64.b64encode(f"robot:{password}".encode()).decode()


def test_no_secret_is_in_what_people_read(tmp_path: Path) -> None:
    """Right ones and wrong ones, of the settings, of hooks, of devices, and in addresses."""
    settings = {
        "REGISTRY_URL": "http://registry.example",
        "REPOSITORY_PREFIX": "acme",
        "DEVICES": "lamp",
        "REGISTRY_USERNAME": "robot",
        "REGISTRY_PASSWORD": f"{MARK}-registry",
        "WEBHOOK_SECRET": f"{MARK}-hook {MARK}-other",
        "HTTP_PROXY": f"http://robot:{MARK}-proxy@127.0.0.1:{free_port()}",
        "MQTT_URL": f"mqtt://127.0.0.1:{free_port()}",
        "MQTT_USERNAME": "robot",
        "MQTT_PASSWORD": f"{MARK}-broker",
        "MQTT_TOPIC": "ota",
        "LOG_LEVEL": "debug",
        "PASWORD": f"{MARK}-misspelt",
        "REGISTRY_PASWORD": f"{MARK}-misspelt",
    }
    with server(tmp_path, **settings) as running:
        for secret in (f"{MARK}-hook", f"{MARK}-wrong"):
            asked = urllib.parse.quote(secret)
            for headers in (
                f"Authorization: {secret}\r\n",
                f"Authorization: Bearer {secret}\r\n",
                f"Authorization: Basic {basic(secret)}\r\n",
                f"X-Webhook-Secret: {secret}\r\n",
                f"X-Hub-Signature-256: sha256={secret}\r\n",
                f"Broken {secret}\r\n",
            ):
                ask(running, "/hooks/registry", headers, HOOK)
            for address in ("generic", "dockerhub", "harbor", "nowhere"):
                ask(running, f"/hooks/registry/{address}?secret={asked}", "", HOOK)
            ask(running, f"/hooks?secret={asked}", "", HOOK)
            ask(running, f"/version?device={asked.upper()}&token={asked}&x={asked}")
            ask(running, "/firmware", f"Authorization: Bearer {secret}\r\n")
            ask(running, f"/{asked}/{asked}?{asked}", f"GatewayToken: {secret}\r\n")
        deadline = time.monotonic() + PATIENCE
        while "registry_failed" not in (text := (tmp_path / "log").read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        said = {"log": text}
        for path in ("/metrics", "/ready", "/status", "/status?device=lamp", "/", "/device/lamp"):
            address = f"http://{running.env['METRICS_LISTEN_ADDR']}{path}"
            with urllib.request.urlopen(address, timeout=10) as answer:
                said[path] = answer.read().decode()
    said["last lines"] = (tmp_path / "log").read_text()
    assert "hook_rejected" in said["log"]
    assert "hook_accepted" in said["log"]
    assert "otaflux_hooks_total" in said["/metrics"]
    assert "cannot connect to the proxy" in said["/device/lamp"]
    hidden = [MARK, *(basic(settings[name])[8:] for name in ("REGISTRY_PASSWORD", "MQTT_PASSWORD"))]
    for place, everything in said.items():
        for secret in hidden:
            at = everything.find(secret)
            assert at < 0, (place, everything[max(0, at - 200) : at + 50])
