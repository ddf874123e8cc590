"""Pages whose commands are run: signing.md, mqtt.md and install.md, each as somebody follows it.

What cannot be had in a test is replaced and said: cosign's lines are left to `make interop`, root's
to a folder, Kubernetes to helm. The README and the tutorial have files of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from installed import find_program
from mosquitto import Mosquitto, mosquitto
from mqtt_client import onlooker
from programs import PROGRAM, Server, free_port, otaflux, server

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def block(page: str, holding: str, language: str = "sh") -> str:
    """The one block of a page that holds this text, its continued lines joined."""
    blocks = re.findall(
        rf"^ *```{language}\n(.*?)^ *```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )
    (found,) = [each for each in blocks if holding in each]
    return re.sub(r" *\\\n\s*", " ", str(found))


def mark(page: str, beginning: str) -> list[str]:
    """The words of the one thing between code marks that begins so."""
    marks = re.findall(r"(?<!`)`([^`]+)`(?!`)", (DOCS / page).read_text())
    (found,) = {" ".join(each.split()) for each in marks if each.startswith(beginning)}
    return shlex.split(found)


def called(line: str) -> tuple[dict[str, str], list[str]]:
    """The settings before a line's command, and the words of that command."""
    words = shlex.split(line)
    count = next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
    return dict(word.split("=", 1) for word in words[:count]), words[count:]


@pytest.mark.real("openssl")
def test_from_no_key_to_the_first_refused_release(tmp_path: Path) -> None:
    """docs/signing.md without cosign: make a key, sign what is there, push signed, and not."""
    (tmp_path / "firmware.bin").write_bytes(b"first")
    data = {"DATA_DIR": str(tmp_path / "data"), "LISTEN_ADDR": "127.0.0.1:0"}

    def runs(words: list[str], **settings: str) -> str:
        done = otaflux(*words[1:], cwd=tmp_path, **data, **settings)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    runs(["otaflux", "push", "lamp:1.4.0", "firmware.bin"])
    for command in ("openssl ecparam", "openssl pkey"):
        subprocess.run(mark("signing.md", command), cwd=tmp_path, check=True, capture_output=True)
    runs(["otaflux", "push", "lamp:1.4.0", "firmware.bin", "--sign-key", "cosign.key"])

    settings, checks = called(shlex.join(mark("signing.md", "COSIGN_PUB_KEY_PATH=")))
    assert settings == {"COSIGN_PUB_KEY_PATH": "/etc/otaflux/cosign.pub"}
    key = {"COSIGN_PUB_KEY_PATH": str(tmp_path / "cosign.pub")}
    assert "may sign: ECDSA P-256 key sha256:" in runs(checks, **key)
    assert "sha256:" in runs(mark("signing.md", "otaflux verify lamp"), **key)
    with server(tmp_path, **key) as running:
        running.told("lamp", "1.4.0")
        (tmp_path / "firmware.bin").write_bytes(b"second")
        password, pushes = called(block("signing.md", "lamp:1.5.0"))
        assert set(password) == {"COSIGN_PASSWORD"}
        runs(pushes)
        running.told("lamp", "1.5.0")
        (tmp_path / "firmware.bin").write_bytes(b"third")
        runs(mark("signing.md", "otaflux push lamp:1.6.0"), **key)
        listed = runs(mark("signing.md", "otaflux list lamp"), **key)
        assert re.search(r"lamp +1\.6\.0 +unsigned .*it has no signature", listed)
        running.told("lamp", "1.5.0")


@contextmanager
def broker_of_the_page(folder: Path) -> Iterator[Mosquitto]:
    """A mosquitto with the account and the access lists of docs/mqtt.md; `ports[1]` asks for it."""
    page = (DOCS / "mqtt.md").read_text()
    access = "".join(
        re.findall(r"^```\n((?:user .*\n)?topic readwrite .*\n)```", page, re.MULTILINE)
    )
    assert access.count("topic") == 2
    (folder / "access").write_text(access)
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    program = find_program("mosquitto_passwd")
    assert program is not None
    subprocess.run([program, "-b", passwords, "otaflux", "of-the-broker"], check=True)
    (folder / "mqtt").write_text("of-the-broker\n")
    lines = "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\n"
    with mosquitto(
        folder, f"{lines}password_file {passwords}\nacl_file {folder}/access\n"
    ) as broker:
        yield broker


@pytest.mark.real("mosquitto")
async def test_a_broker_hears_what_the_page_shows(tmp_path: Path) -> None:
    """docs/mqtt.md: its settings, with its access list, bring its message, which can be removed."""
    shown = json.loads(block("mqtt.md", '"crc32"', "json"))
    settings, words = called(block("mqtt.md", "MQTT_URL="))
    assert words == ["otaflux", "serve"]
    assert settings.pop("MQTT_URL") == "mqtts://broker.example"
    discovery = dict([mark("mqtt.md", "MQTT_DISCOVERY_PREFIX=")[0].split("=")])
    (tmp_path / "build.bin").write_bytes(b"firmware")
    with broker_of_the_page(tmp_path) as broker:
        own = {"MQTT_URL": f"mqtt://127.0.0.1:{broker.ports[1]}"}
        own |= {"MQTT_PASSWORD_FILE": str(tmp_path / "mqtt")}
        running = Server(tmp_path, {**settings, **discovery, **own})
        assert running.run("push", f"lamp:{shown['version']}", "build.bin").returncode == 0
        async with onlooker(broker.url, "#") as seen:
            await asyncio.to_thread(running.start)
            try:
                await seen.until(lambda: {"home/ota/lamp"} < {*seen.last})
                checked = await asyncio.to_thread(running.run, "check")
                await asyncio.to_thread(running.get, "/version?device=lamp&unit=u1&current=1.3.0")
                await seen.until(lambda: any("update" in topic for topic in seen.last))
            finally:
                await asyncio.to_thread(running.stop)
            assert checked.returncode == 0, checked.stdout
            told: dict[str, Any] = seen.last["home/ota/lamp"]
            assert [*told] == [*shown]
            assert told["url"] == f"https://ota.example/firmware/sha256/{told['sha256']}"
            assert any(topic.startswith("homeassistant/sensor/") for topic in seen.last)
            shutil.rmtree(tmp_path / "data" / "registry" / "lamp")
            assert running.run("forget", "lamp").returncode == 0
            removal = mark("mqtt.md", "mosquitto_pub")
            assert removal == ["mosquitto_pub", "-r", "-n", "-t", "MQTT_TOPIC/DEVICE"]
            assert seen.last["home/ota/lamp"] == told, "as the page says: it keeps its message"
            await seen.send("home/ota/lamp", b"", retain=True)
            await seen.until(lambda: seen.last["home/ota/lamp"] is None)


FAKES = {
    # Root's commands: what they would install lies below $PLACE, what needs the network is noted.
    "sudo": """
case $1 in
install) shift; for word; do case $word in /etc/*) word=$PLACE$word;; esac
    set -- "$@" "$word"; shift; done; exec install "$@";;
systemctl) shift; exec systemctl "$@";;
*) echo "$@" >>"$PLACE/noted";;
esac""",
    # What the unit says is started with what its file of variables says, as systemd would.
    "systemctl": """
echo "systemctl $*" >>"$PLACE/noted"
unit=$PLACE/etc/systemd/system/otaflux.service
case $1 in enable)
    set -a; . "$PLACE$(sed -n 's/^EnvironmentFile=-//p' "$unit")"
    "$PROGRAM" $(sed -n 's/^ExecStart=[^ ]* //p' "$unit") >"$PLACE/log" 2>&1 &
    echo $! >"$PLACE/pid";;
esac""",
}


def test_the_service_is_installed_and_ready(tmp_path: Path) -> None:
    """docs/install.md, systemd: the block as it stands ends with a service that is ready."""
    commands = block("install.md", "systemctl enable")
    variables = re.search(r"printf '([^']*)'", commands)
    assert variables is not None
    assert {line.split("=")[0] for line in variables[1].split("\\n") if line} == {
        *("REGISTRY_URL", "REPOSITORY_PREFIX")
    }
    ports = [free_port(), free_port()]
    where = f"LISTEN_ADDR=127.0.0.1:{ports[0]}\\nMETRICS_LISTEN_ADDR=127.0.0.1:{ports[1]}\\n"
    commands = commands.replace(variables[1], f"{where}DATA_DIR={tmp_path}/data\\n")
    commands = commands.replace("/opt/otaflux/bin/otaflux get", '"$PROGRAM" get')
    assert commands.rstrip().endswith("do sleep 1; done")
    commands = commands.replace("do sleep 1;", "do sleep 0.1;")
    place = tmp_path / "place"
    (place / "etc/systemd/system").mkdir(parents=True)
    for name, text in FAKES.items():
        (place / name).write_text(f"#!/bin/sh{text}\n")
        (place / name).chmod(0o755)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    environment = {
        "PATH": f"{place}:{os.environ['PATH']}",
        "PLACE": str(place),
        "PROGRAM": str(PROGRAM),
        "LISTEN_ADDR": f"127.0.0.1:{ports[0]}",
        "METRICS_LISTEN_ADDR": f"127.0.0.1:{ports[1]}",
    }
    done = subprocess.run(
        ["bash", "-s"],
        cwd=tmp_path,
        env=environment,
        input=f"set -e\ntrap 'kill $(cat $PLACE/pid)' EXIT\n{commands}",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, (done.stderr, (place / "log").read_text())
    assert '"ready":true' in done.stdout
    noted = (place / "noted").read_text().splitlines()
    assert noted == [
        "python3 -m venv /opt/otaflux",
        "/opt/otaflux/bin/pip install .",
        "systemctl daemon-reload",
        "systemctl enable --now otaflux",
    ]
    assert (place / "etc/otaflux/otaflux.env").stat().st_mode & 0o777 == 0o600


@pytest.mark.real("rsync")
def test_a_backup_that_is_put_back_has_every_release(tmp_path: Path) -> None:
    """docs/install.md, backup: its block copies the folder, and a server on the copy tells it."""
    (tmp_path / "build.bin").write_bytes(b"firmware")
    made = {"DATA_DIR": str(tmp_path / "otaflux-data")}
    for tag in ("firmware/lamp:1.0.0", "firmware/lamp:1.1.0", "stove:2.0.0"):
        assert otaflux("push", tag, "build.bin", cwd=tmp_path, **made).returncode == 0
    commands = block("install.md", "rsync")
    (tmp_path / "backup").mkdir()
    subprocess.run(["bash", "-ec", commands], cwd=tmp_path, check=True)
    kept = {"DATA_DIR": str(tmp_path / "backup")}
    with_all = otaflux("list", cwd=tmp_path, **kept).stdout
    assert with_all == otaflux("list", cwd=tmp_path, **made).stdout
    assert otaflux("pull", "firmware/lamp", "-o", "back", cwd=tmp_path, **kept).returncode == 0
    assert (tmp_path / "back").read_bytes() == b"firmware"


def test_the_line_for_completion_can_be_read(tmp_path: Path) -> None:
    """docs/install.md: the line for bash's start file is one that bash takes, and says nothing."""
    page = (DOCS / "install.md").read_text()
    line = re.search(r"^\| bash \| `(.*)` \|$", page, re.MULTILINE)
    assert line is not None
    environment = {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", f"{line[1]}\ncomplete -p otaflux"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("complete ")
