"""Every exception from a rule of style or security says why, where it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_exception_in_the_source_has_its_reason() -> None:
    """`# noqa: RULE` alone is not enough, and `# noqa` for all rules less so."""
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in (
            "otaflux",
            "setup",
            "demo",
            "bench",
            "fuzz",
            "tests/support",
            "docs",
            "examples",
        )
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# noqa" in line and not re.search(r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* [-(].{3}", line)
    ]
    assert bare == []


def test_every_exception_of_the_settings_has_its_reason() -> None:
    """Each rule that pyproject.toml leaves out has a comment beside it."""
    text = (ROOT / "pyproject.toml").read_text()
    section = text.split("[tool.ruff.lint]\n")[1].split("[tool.ruff.lint.pydocstyle]")[0]
    ignoring = section.split("ignore = [", 1)[1]
    named = [line for line in ignoring.splitlines() if re.search(r'"[A-Z]+\d*"', line)]
    assert len(named) > 20
    assert [line for line in named if not re.search(r"[\],]\s+# .{3}", line)] == []


def test_the_rules_of_security_are_on() -> None:
    """A password in the source and a shell are found in the program."""
    planted = 'import subprocess\n\npassword = "hunter2"\nsubprocess.run("ls", shell=True)\n'
    ruff = Path(sys.executable).with_name("ruff")
    said = subprocess.run(
        [
            ruff,
            "check",
            "--output-format",
            "concise",
            "--stdin-filename",
            "otaflux/planted.py",
            "-",
        ],
        cwd=ROOT,
        input=planted,
        capture_output=True,
        text=True,
        check=False,
    )
    assert {"S105", "S602"} <= set(re.findall(r"\bS\d+\b", said.stdout)), said.stderr
