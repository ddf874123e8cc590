"""Settings as flags of a command: those that it uses, and `--env-file`.

click hands over texts, or None for what was not given; `otaflux.settings` reads them, so that all
that is wrong is told at once, whether it came from a flag, the environment or a file.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from otaflux import log
from otaflux.settings import SETTINGS, Setting, origins, read

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])

LAST_LINES = 1.0  # seconds that the last log lines may take
EVERYTHING = tuple(setting.field for setting in SETTINGS)

# What decides which repositories are served.
NAMESPACE = (
    "registry_url",
    "registry_insecure",
    "repository_prefix",
    "registry_username",
    "registry_password",
    "registry_auth_file",
    "devices",
)
# What asking for releases takes, from the registry or the embedded folder. Keys are among it: who
# asks what a device would be given must not be shown unsigned bytes.
SOURCE = (*NAMESPACE, "registry_ca_cert_path", "data_dir", "log_level")
JUDGING = (
    "max_firmware_size",
    "channels",
    "default_channel",
    "cosign_pub_key_path",
    "cosign_identity",
    "cosign_issuer",
    "sigstore_trusted_root_path",
    "require_bound_tag",
)
ASKING_THE_SERVER = ("listen_addr", "metrics_listen_addr", "tls_cert_path", "tls_key_path")


def any_file(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """What a shell completes a value with: the files that there are."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(begun, type="file")]


_METAVARS = dict.fromkeys(
    ("path", "file", "certificates", "public_keys", "trusted_root"), "PATH"
) | {"size": "SIZE"}


_ALWAYS: Mapping[str, Collection[str]] = MappingProxyType({})


def uses(
    *fields: str, only_with: Mapping[str, Collection[str]] = _ALWAYS, with_origins: bool = False
) -> Callable[[Command], Command]:
    """Give a command the flags of these settings; it gets `settings` as its first argument.

    `only_with` names, for an option of the command's own, settings that are not read without it.
    `with_origins` gives it `origins` as well: what is set, and where, or does nothing any more.
    """
    used = [setting for setting in SETTINGS if setting.field in fields]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(env_file: str | None, **given: Any) -> Any:
            flags = {name: given.pop(name) for name in _parameters(used)}
            path = None if env_file is None else Path(env_file)
            unread = {x for option, some in only_with.items() if not given[option] for x in some}
            settings = read(flags, os.environ, env_file=path, only={*fields} - unread)
            if with_origins:
                flags["cache_size"] = given.pop("cache_size")
                given["origins"] = origins(flags, os.environ, env_file=path, only=fields)
            # What a command prints is its answer; what it does inside is told where it was asked
            # for, on stderr.
            asked = settings.log_level == "debug"
            level = "debug" if asked else "critical"
            lines = log.configure(level, "console", stream=sys.stderr, environ=os.environ)
            try:
                return command(settings, **given)
            finally:
                lines.close(LAST_LINES)

        # A flag of the command's own: the one that click adds is kept from whoever asks first, and
        # is then without -h for those who ask through the group.
        decorated: Any = click.help_option("-h", "--help")(run)
        for setting in reversed(used):
            for option in reversed(_options(setting)):
                decorated = option(decorated)
        if with_origins:
            decorated = _CACHE_SIZE(decorated)
        return _ENV_FILE(decorated)  # type: ignore[no-any-return] # click keeps the callable's type

    return decorate


_ENV_FILE: Callable[..., Any] = click.option(
    "--env-file",
    metavar="PATH",
    shell_complete=any_file,
    help="File of NAME=VALUE lines, for settings not set elsewhere.",
)

# A flag of the Rust program, whose command lines and manifests hold it.
_CACHE_SIZE: Callable[..., Any] = click.option("--cache-size", metavar="NUMBER", hidden=True)


def _parameters(settings: Iterable[Setting]) -> Iterable[str]:
    for setting in settings:
        yield setting.field
        if setting.secret:
            yield f"{setting.field}_file"


def _options(setting: Setting) -> list[Callable[..., Any]]:
    default = f" [default: {setting.default}]" if setting.default else ""
    boolean: dict[str, Any] = (
        {"is_flag": False, "flag_value": "true"} if setting.default in {"true", "false"} else {}
    )
    metavar = _METAVARS.get(setting.parse.__name__, "TEXT")
    options = [
        click.option(
            setting.flag,
            setting.field,
            default=None,
            metavar=metavar,
            shell_complete=any_file if metavar == "PATH" else None,
            help=f"{setting.meaning}.{default}",
            **boolean,
        )
    ]
    if setting.secret:
        options.append(
            click.option(
                f"{setting.flag}-file",
                f"{setting.field}_file",
                default=None,
                metavar="PATH",
                shell_complete=any_file,
                help="File with the same, read again when it changes.",
            )
        )
    return options
