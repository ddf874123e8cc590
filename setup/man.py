"""Man pages and shells' completion, made from the commands themselves: `make man` writes share.

They are kept in the repository, so that whoever packages OtaFlux has them without running it, and a
test holds them against the commands. Source of the format: man(7) and groff_man(7). What completes
asks `otaflux` itself at each TAB, so that its files change with click alone.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

import otaflux
from otaflux.cli.main import COMMANDS, commands

SHARE = Path(__file__).resolve().parent.parent / "share"
MAN = SHARE / "man/man1"
# Where each shell, or its package in Debian, looks for the completion of a command.
COMPLETIONS = {
    "bash": SHARE / "bash-completion/completions/otaflux",
    "zsh": SHARE / "zsh/site-functions/_otaflux",
    "fish": SHARE / "fish/vendor_completions.d/otaflux.fish",
}
STATUS = (
    ("0", "Done."),
    ("1", "Failed; one line on stderr says why."),
    ("2", "Wrong usage or settings; a line for each."),
)


def escaped(text: str) -> str:
    """Text in which nothing is an instruction to groff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in text)
    return "\n".join(f"\\&{line}" if line[:1] in ".'" else line for line in text.split("\n"))


def paragraphs(text: str) -> list[str]:
    """A help text as its paragraphs; click's marks for keeping lines are dropped."""
    parts = re.split(r"\n\s*\n", inspect.cleandoc(text).replace("\b", ""))
    return [escaped(" ".join(part.split())) for part in parts if part.strip()]


def page(name: str, command: click.Command) -> str:
    """One page; `name` is that of the command as people type it."""
    context = click.Context(command, info_name=name, **commands.context_settings)
    title = name.replace(" ", "-")
    said = paragraphs(command.help or "")
    short = said[0].split(". ")[0].rstrip(".")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{escaped(title.upper())}" "1" "" "OtaFlux {otaflux.__version__}" "User Commands"',
        ".SH NAME",
        f"{escaped(title)} \\- {short}",
        ".SH SYNOPSIS",
        f".B {escaped(name)}",
        escaped(usage),
        ".SH DESCRIPTION",
        said[0],
    ]
    for paragraph in said[1:]:
        lines += [".PP", paragraph]
    lines += [".SH OPTIONS"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines += [".TP", f".B {escaped(record[0])}", escaped(" ".join(record[1].split()))]
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS"]
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            does = found.get_short_help_str(200) if found else ""
            lines += [".TP", f".BR {escaped(f'{title}-{each}')} (1)", escaped(does)]
    lines += [".SH EXIT STATUS"]
    for code, meaning in STATUS:
        lines += [".TP", f".B {code}", escaped(meaning)]
    lines += [".SH ENVIRONMENT"]
    lines += [escaped("A setting is a flag and a variable: --registry-url is REGISTRY_URL.")]
    lines += [".SH SEE ALSO", "The documentation in docs/ has more of each setting and command."]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """All pages by their files' names."""
    context = click.Context(commands, **commands.context_settings)
    made = {"otaflux.1": page("otaflux", commands)}
    for name in COMMANDS:
        command = commands.get_command(context, name)
        if command is not None:
            made[f"otaflux-{name}.1"] = page(f"otaflux {name}", command)
    return made


def completion(shell: str) -> str:
    """What has that shell complete the command."""
    made = get_completion_class(shell)
    if made is None:
        raise LookupError(f"click knows no {shell}")
    return made(commands, {}, "otaflux", "_OTAFLUX_COMPLETE").source() + "\n"


def main() -> int:
    """Write them, and remove those of commands that there are not any more."""
    for shell, path in COMPLETIONS.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(completion(shell))
    MAN.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in MAN.glob("*.1"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (MAN / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
