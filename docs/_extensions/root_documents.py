"""Documents of the repository's root as pages of the site, with their links pointing at pages.

A page that holds nothing but a link such as `[ARCHITECTURE.md](../ARCHITECTURE.md)` gets the
content of that file.
"""

from __future__ import annotations

import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"\[([A-Z]+\.md)\]\(\.\./\1\)\s*")
PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}


def with_page_links(text: str) -> str:
    """Markdown whose links to documents of the repository lead to their pages."""
    text = text.replace("](docs/", "](")
    for document, page in PAGES.items():
        text = text.replace(f"]({document}", f"]({page}")
    return text


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace a placeholder by its document; a handler of `source-read`."""
    if match := PLACEHOLDER.fullmatch(source[0]):
        document = ROOT / match[1]
        app.env.note_dependency(str(document))
        source[0] = with_page_links(document.read_text(encoding="utf-8"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler, and the language of byte listings; Sphinx calls this."""
    app.connect("source-read", read)
    app.add_lexer("hex", TextLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
