"""Builds docs/ as a site with search: `make site`. Sphinx reads this file.

The pages are plain Markdown that reads as well where they lie. What only a site needs is put in
here: the contents at the side, in the order of index.md, and links that lead out of docs/ as text.
"""

import re
from pathlib import Path
from typing import Any

project = "OtaFlux"
author = "the authors of OtaFlux"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
html_theme = "furo"
html_title = "OtaFlux"
html_show_copyright = False
html_show_sphinx = False
html_show_sourcelink = False
html_copy_source = False
html_favicon = "../../otaflux/web/ops/pages/assets/icon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]

HERE = Path(__file__).resolve().parents[2] / "docs"
FOLDERS = {
    "devices": "Clients",
    "registries": "Registries, one by one",
    "adr": "Decisions",
}


def _contents(index: str) -> str:
    """The contents of the site: the groups of index.md and their pages, then each folder."""
    trees = ""
    for group in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        caption, _, links = group.partition("\n")
        pages = "\n".join(dict.fromkeys(re.findall(r"\]\(([\w-]+)\.md\)", links)))
        trees += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"
    for folder, caption in FOLDERS.items():
        trees += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n:glob:\n\n{folder}/*\n```\n"
    return trees


def _inward(path: Path, text: str) -> str:
    """The text with links to what is not in docs/ as the path that they name."""

    def shown(link: re.Match[str]) -> str:
        target = (path.parent / link[2].partition("#")[0]).resolve()
        if target.suffix in {".md", ".yaml"} and target.is_relative_to(HERE):
            return link[0]
        name = target.relative_to(HERE.parent)
        return link[1] if link[1] == f"`{name}`" else f"{link[1]} (`{name}`)"

    return re.sub(r"\[([^\]]+)\]\((?!\w+:|#)([^)]+)\)", shown, text)


def _read(app: Any, name: str, source: list[str]) -> None:
    text = _inward(HERE / f"{name}.md", source[0])
    source[0] = text + "\n" + _contents(source[0]) if name == "index" else text


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _read)
