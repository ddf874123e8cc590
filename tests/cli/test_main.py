"""Which command runs, and what becomes of its errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
import structlog
from programs import PROGRAM, environment, otaflux

from otaflux import errors
from otaflux.cli import main as cli
from otaflux.errors import BadSetting, Refused, Undecided, Unusable


def printed(folder: Path, script: str) -> set[str]:
    """The words that a script prints in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=environment(folder, {}),
        capture_output=True,
        text=True,
        check=True,
    )
    return {*done.stdout.split()}


def test_the_version_is_told(tmp_path: Path) -> None:
    """`--version` says name and version."""
    done = otaflux("--version", cwd=tmp_path, fresh=True)
    assert (done.returncode, done.stdout) == (0, "otaflux 0.1.0\n")


def test_help_lists_every_command(tmp_path: Path) -> None:
    """`--help` names each command, with a line that says what it does."""
    done = otaflux("--help", cwd=tmp_path, fresh=True)
    assert done.returncode == 0
    for name in cli.COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_a_list_of_commands_loads_none_of_them(tmp_path: Path) -> None:
    """Neither `--help` nor a shell that completes waits for all that they need."""
    assert [*cli.SUMMARIES] == [*cli.COMMANDS]
    listed = (
        "import sys; from click.shell_completion import BashComplete;"
        " from otaflux.cli.main import commands, main; main(['--help']);"
        " BashComplete(commands, {}, 'otaflux', '_X').get_completions([], '');"
        " print(*sys.modules)"
    )
    loaded = printed(tmp_path, listed)
    assert loaded.isdisjoint({*cli.COMMANDS.values(), "asyncio", "otaflux.settings"})


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_starts_by_itself(tmp_path: Path, name: str) -> None:
    """Each command finds what it needs, whatever other commands would have loaded."""
    done = otaflux(name, "--help", cwd=tmp_path, fresh=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: otaflux {name}")


def test_a_command_on_the_folder_loads_neither_http_client_nor_log(tmp_path: Path) -> None:
    """What only a registry over HTTP or lines of the log need is not loaded: it takes longest."""
    listed = "import sys; from otaflux.cli.main import main; main(['list']); print(*sys.modules)"
    loaded = printed(tmp_path, listed)
    assert "otaflux.registry.layout.source" in loaded
    assert not loaded & {"aiohttp", "yarl", "prometheus_client", "cryptography", "structlog"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["srve"], "No such command 'srve'"),
        (["push"], "Missing argument"),
        (["get", "/health", "--no-such-flag"], "No such option"),
        (["push", "Lamp:1.0.0", "x"], "lower-case"),
        (["push", "lamp", "x"], "DEVICE:TAG"),
        (["--listen-addr", "x"], "LISTEN_ADDR: found 'x'"),
        (["serve", "--cosign-pub-key-path", "key.pem"], "COSIGN_PUB_KEY_PATH: found"),
        (["--log-level", "off", "get", "/ready"], "flags go after it: otaflux get"),
        (["--any-tag", "push", "lamp:1", "x"], "flags go after it: otaflux push"),
        (["--env-file", "nowhere"], "--env-file: found 'nowhere'"),
    ],
)
def test_wrong_usage_is_one_line_and_two(tmp_path: Path, arguments: list[str], words: str) -> None:
    """A wrong command, flag, name or setting exits 2, with one line that says what is wrong."""
    done = otaflux(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line
    assert not done.stdout


def test_every_wrong_setting_has_its_line(tmp_path: Path) -> None:
    """The server names all settings that are wrong before it ends."""
    done = otaflux(cwd=tmp_path, MQTT_URL="http://b", LISTEN_ADDR="x", KEEP_VERSIONS="-1")
    assert done.returncode == 2
    lines = [line.removeprefix("otaflux: ").partition(":")[0] for line in done.stderr.splitlines()]
    assert lines == ["LISTEN_ADDR", "KEEP_VERSIONS", "MQTT_URL"]
    assert not (tmp_path / "otaflux-data").exists(), "nothing was made before the complaint"


def raising(error: BaseException) -> int:
    """The exit code of a command that raises."""

    @click.command()
    def command() -> None:
        raise error

    return cli.main([], among=command)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Refused("no"), 2, "no"),
        (BadSetting("A: x"), 2, "A: x"),
        (Undecided("away", hint="Look there"), 1, "away. Look there"),
        (Unusable("broken\nin two"), 1, "broken in two"),
        (OSError(28, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (ExceptionGroup("tasks", [Undecided("away")]), 1, "away"),
        (ValueError("oops"), 1, "a bug in OtaFlux: ValueError: oops"),
    ],
)
def test_an_error_is_one_line(
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
    line: str,
) -> None:
    """Whatever a command raises, it ends with its branch's code and one line, no traceback."""
    assert raising(error) == code
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"otaflux: {line}")


def test_every_branch_has_its_code() -> None:
    """No error of the tree is taken for a bug."""
    for name in ("BadName", "Unreachable", "Unsigned", "Incomplete", "DiskFailed"):
        kind = getattr(errors, name)
        assert raising(kind("x")) == (2 if issubclass(kind, Refused) else 1)


def test_ctrl_c_is_quiet() -> None:
    """Ctrl-C ends a command as shells expect it."""
    assert raising(KeyboardInterrupt()) == 130


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """`otaflux … | head` ends without a word when the other side is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [PROGRAM, "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(tmp_path, {}),
        timeout=20,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode != -signal.SIGPIPE


@pytest.fixture(autouse=True)
def _own_log_configuration() -> None:
    """Commands configure the log; tests after them start from the defaults again."""
    structlog.reset_defaults()
