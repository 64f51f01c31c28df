"""What MkDocs is told beyond .mkdocs.yml: pages of examples, links out of docs/, "folder/*" in the navigation."""

from __future__ import annotations

import ast
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.crossthread")

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each example, and fill in the "folder/*" lines of the navigation."""
    listed = ["# Examples", "", "Each is a script with one idea, which ends in asserts and runs offline.", ""]
    for path in sorted(EXAMPLES.glob("*.py")):
        idea, page = example(path.read_text("utf-8"), path.name)
        files.append(File.generated(config, f"examples/{path.stem}.md", content=page))
        listed.append(f"- [{path.stem[3:].replace('_', ' ').capitalize()}]({path.stem}.md): {idea}")
    files.append(File.generated(config, "examples/index.md", content="\n".join(listed) + "\n"))
    pages = [file.src_uri for file in files.documentation_pages()]
    config.nav = filled_in(config.nav, sorted(pages), named(config.nav))
    return files


def example(source: str, name: str) -> tuple[str, str]:
    """Return the first sentence of an example, and the page that shows it."""
    docstring = ast.get_docstring(ast.parse(source)) or ""
    idea = docstring.partition("\n\n")[0].replace("\n", " ")
    title = name.removesuffix(".py")[3:].replace("_", " ").capitalize()
    return idea, f"# {title}\n\n`examples/{name}`\n\n````python\n{source}````\n"


def named(nav: Any) -> set[str]:
    """Return the pages that a navigation names."""
    if isinstance(nav, str):
        return {nav}
    return {page for part in (nav.values() if isinstance(nav, dict) else nav) for page in named(part)}


def filled_in(nav: Any, pages: list[str], taken: set[str]) -> Any:
    """Return a navigation with the pages of a folder in place of "folder/*"."""
    if isinstance(nav, dict):
        return {title: filled_in(part, pages, taken) for title, part in nav.items()}
    if not isinstance(nav, list):
        return nav
    found: list[Any] = []
    for part in nav:
        if isinstance(part, str) and part.endswith("/*"):
            folder = part.removesuffix("/*")
            found += [page for page in pages if posixpath.dirname(page) == folder and page not in taken]
        else:
            found.append(filled_in(part, pages, taken))
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/, as they must for readers of the repository, to the pages of the site."""
    folder = posixpath.dirname(page.file.src_uri)

    def on_the_site(link: re.Match[str]) -> str:
        inside = posixpath.normpath(posixpath.join("docs", folder, link["path"]))
        if inside.startswith("docs/") or link["path"].startswith("/"):
            return link[0]
        if inside == "examples":
            target = "examples/index.md"
        elif inside.startswith("examples/") and inside.endswith(".py"):
            target = inside.removesuffix(".py") + ".md"
        elif inside == "README.md":
            target = "index.md"
        else:
            log.warning("%s links to %s, which has no place on the site", page.file.src_uri, inside)
            return link[0]
        return posixpath.relpath(target, folder or ".") + (link["anchor"] or "")

    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_LINK.sub(on_the_site, markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, _LINK.sub(on_the_site, markdown[end:])])
