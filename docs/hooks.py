"""Hooks of the documentation site: pages whose text is elsewhere in the repository.

A page of the site has one source. The text of ``ELSEWHERE`` stays where developers and packages
look for it; the site reads it there, and links between both places are rewritten.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
ELSEWHERE = {  # page: its file, relative to the repository
    "arithmetic.md": "model/ARITHMETIC.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
PACKAGES = ("model", "hw", "gen", "sim")  # of tercet, in folders beside that of tercet
LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)")


def on_startup(**_: Any) -> None:
    """Put the packages together in build/api, as an installation has them."""
    package = ROOT / "build" / "api" / "tercet"
    package.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tercet" / "__init__.py", package)
    for name in PACKAGES:
        if not (package / name).is_symlink():
            (package / name).symlink_to(ROOT / name)


def on_files(files: Any, config: Any) -> None:
    """Add the pages of ELSEWHERE."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links to other places of the repository as links to their pages."""
    uri = page.file.src_uri
    source = ELSEWHERE.get(uri, f"docs/{uri}")
    pages = {file: name for name, file in ELSEWHERE.items()} | {"README.md": "index.md"}

    def rewritten(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        target = pages.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(uri) or '.')}"

    return LINK.sub(rewritten, markdown)
