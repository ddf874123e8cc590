r"""Files in the `.env` style: one `NAME=VALUE` a line.

As docker and systemd read them, and as shells do: `#` starts a comment, also behind an unquoted
value; `export ` before a name is allowed; single quotes keep everything as it is, in double quotes
a backslash keeps the next character and `\n` is a line break. Nothing is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from otaflux.errors import BadSetting

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_SINGLE = re.compile(r"'([^']*)'(?:\s+#.*)?")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s+#.*)?')
_COMMENT = re.compile(r"\s#.*")
_ESCAPE = re.compile(r"\\(.)")


def parse(content: str, name: str) -> Mapping[str, str]:
    """The values of a file; `name` is what complaints call it. A later line wins."""
    values: dict[str, str] = {}
    complaints: list[str] = []
    for number, line in enumerate(content.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        value = None if match is None else _value(match[2])
        if match is None or value is None:
            complaints.append(
                f"{name}, line {number}: found something else, expected NAME=VALUE,"
                " and a quote closed where one is opened"
            )
        else:
            values[match[1]] = value
    if complaints:
        raise BadSetting(*complaints)
    return values


def _value(written: str) -> str | None:
    """What stands behind the `=`; None where a quote is not closed."""
    bare = written.lstrip()
    if bare.startswith("'"):
        single = _SINGLE.fullmatch(bare)
        return single and single[1]
    if bare.startswith('"'):
        double = _DOUBLE.fullmatch(bare)
        return double and _ESCAPE.sub(
            lambda at: {"n": "\n", "t": "\t"}.get(at[1], at[1]), double[1]
        )
    return _COMMENT.sub("", written).strip()


def read(path: Path) -> Mapping[str, str]:
    """The values of the file at `path`; raises `BadSetting` where it cannot be read."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        found = "a file that is not UTF-8 text"
    except OSError as error:
        found = f"'{path}' ({error.strerror or error})"
    else:
        return parse(content, str(path))
    raise BadSetting(f"--env-file: found {found}, expected a readable file of NAME=VALUE lines")
