"""Picks the command, and turns what it raises into one line and an exit code.

0 is done, 1 failed, 2 wrong usage or settings. `otaflux` alone, or with flags only, is
`otaflux serve`. Commands are imported when they are asked for, so that none waits for what only
another one needs.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

import otaflux
from otaflux import roots
from otaflux.cli import streams
from otaflux.collector import uncollected
from otaflux.errors import BadSetting, OtaFluxError, Refused, Undecided

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DONE, FAILED, WRONG = 0, 1, 2
INTERRUPTED = 130  # as shells have it for Ctrl-C

# Each command: the module that has it as `command`.
COMMANDS = {
    "serve": "otaflux.cli.serve",
    "push": "otaflux.cli.push",
    "delete": "otaflux.cli.delete",
    "list": "otaflux.cli.listing",
    "pull": "otaflux.cli.pull",
    "wait": "otaflux.cli.wait",
    "units": "otaflux.cli.units",
    "forget": "otaflux.cli.forget",
    "verify": "otaflux.cli.verify",
    "check": "otaflux.cli.check",
    "get": "otaflux.cli.get",
    "hook-example": "otaflux.cli.hook_example",
}
# What each does, for who asks which there are: a shell that completes should not load them all.
SUMMARIES = {
    "serve": "Run the server; it is what otaflux does without a command.",
    "push": "Publish a firmware file as DEVICE:TAG.",
    "delete": "Take a release back, and say what devices are told instead.",
    "list": "Show devices, their releases, and which one is current.",
    "pull": "Pull what a device would be given.",
    "wait": "Wait until devices are told a release.",
    "units": "Show the units heard of, and what each runs.",
    "forget": "Remove what DATA_DIR knows of a device.",
    "verify": "Say who signed a release.",
    "check": "Try the settings: registry, credentials, keys, broker, disk.",
    "get": "Ask the running server for a path, such as /health.",
    "hook-example": "Print the hook that a registry sends.",
}
DEFAULT = "serve"

_FLAGS_FIRST = "otaflux.flags_first"  # the command that a line names behind flags, if it does


class _Commands(click.Group):
    """The commands, each loaded when it is needed; flags without a command are those of serve."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        with uncollected(), roots.unread():
            command: click.Command = importlib.import_module(module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*SUMMARIES.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        begun = ctx.resilient_parsing and not args  # a shell asks what could stand here
        if not begun and (not args or (args[0].startswith("-") and args[0] not in own)):
            ctx.meta[_FLAGS_FIRST] = next((each for each in args if each in COMMANDS), None)
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            late = ctx.meta.get(_FLAGS_FIRST)
            if late is None:
                raise
            after = f"if '{late}' is the command, flags go after it: otaflux {late} …"
            said = error.format_message().rstrip(".")
            raise click.UsageError(f"{said}; {after}", error.ctx) from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=summary)
            for name, summary in SUMMARIES.items()
            if name.startswith(incomplete)
        ]
        found += click.Command.shell_complete(self, ctx, incomplete)
        serve = self.get_command(ctx, DEFAULT) if incomplete.startswith("-") else None
        if serve is None:
            return found
        known = {item.value for item in found}
        with click.Context(serve, info_name=DEFAULT, parent=ctx) as below:
            flags = serve.shell_complete(below, incomplete)
        return found + [item for item in flags if item.value not in known]


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a command: serve. Each command tells its settings with --help; all of them"
    " can stand in the environment too, as in LISTEN_ADDR for --listen-addr.",
)
@click.version_option(otaflux.__version__, prog_name="otaflux", message="%(prog)s %(version)s")
def commands() -> None:
    """Over-the-air firmware from an OCI registry: push a tag, and devices that poll hear of it."""


def main(arguments: Sequence[str] | None = None, *, among: click.Command = commands) -> int:
    """Run the command that the arguments name, `among` all of them; returns the exit code."""
    streams.prepare()
    code = _run(arguments, among)
    unwritten = streams.finish(sys.stdout)
    if unwritten is not None and code == DONE:
        code = FAILED
        if not isinstance(unwritten, BrokenPipeError):  # whoever read it has enough of it
            _say(f"cannot write to stdout: {unwritten.strerror}")
    streams.finish(sys.stderr)
    return code


def _run(arguments: Sequence[str] | None, among: click.Command) -> int:
    try:
        answered = among.main(
            args=None if arguments is None else list(arguments),
            prog_name="otaflux",
            standalone_mode=False,
        )
    except BrokenPipeError:
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last place that an error can reach
        return _told(_only(error))
    return answered if isinstance(answered, int) else DONE


def _only(error: Exception) -> Exception:
    """The error itself where a group of tasks raised a single one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _told(error: Exception) -> int:
    """Say an error in one line (wrong settings: a line each); returns the exit code."""
    match error:
        case BadSetting(complaints=complaints):
            _say(*complaints)
            return WRONG
        case Refused():
            _say(str(error))
            return WRONG
        case Undecided():
            _say(error.with_hint)
        case OtaFluxError():
            _say(str(error))
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "otaflux"
            _say(f"{error.format_message()} (`{path} --help` tells more)")
            return WRONG
        case click.ClickException():
            _say(error.format_message())
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            _say(f"{where}{error.strerror or error}")
        case _:
            if os.environ.get("LOG_LEVEL", "").lower() in {"debug", "trace"}:
                traceback.print_exception(error)
            _say(
                f"a bug in OtaFlux: {type(error).__name__}: {error}"
                " (LOG_LEVEL=debug in the environment shows where)"
            )
    return FAILED


def _say(*lines: str) -> None:
    for line in lines:
        with suppress(OSError):  # nobody can be told
            print("otaflux:", " ".join(line.split()), file=sys.stderr)  # noqa: T201 - a command's voice
