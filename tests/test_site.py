"""The site of the docs builds, and nothing in it leads nowhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS, SITE = ROOT / "docs", ROOT / "setup/site"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Sphinx says nothing, each page is there, and so is the search."""
    flags = ["-E", "-n", "-q", "-W", "--keep-going", "-b", "html", "-c", SITE]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *flags, "-d", tmp_path / "trees", DOCS, tmp_path / "site"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout + built.stderr) == (0, "")
    for page in DOCS.rglob("*.md"):
        assert (tmp_path / "site" / page.relative_to(DOCS).with_suffix(".html")).exists()
    assert (tmp_path / "site/search.html").exists()
