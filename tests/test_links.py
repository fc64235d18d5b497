"""Documents: links between them resolve, and the paths and names in them exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "api", ROOT / "docs" / "commands")
    for path in folder.glob("*.md")
)
CURRENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
"""Those that describe today's tree."""
PLACED = re.compile(r"\[([A-Z]+\.md)\]\(\.\./\1\)\s*")
"""A page of the site whose content is a document of the root."""

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
TREE = {
    *(".editor", ".github", "benchmarks", "docs", "examples", "exporters", "imavatar_deploy"),
    *("runtime", "tests", "tools", "training"),
}
SUFFIXES = {".html", ".json", ".md", ".mjs", ".npz", ".png", ".py", ".rst", ".toml", ".yml"}

EVERY = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
EVERY_CURRENT = pytest.mark.parametrize(
    "path", CURRENT, ids=lambda path: str(path.relative_to(ROOT))
)


@cache
def prose(path: Path) -> str:
    """A document without its blocks of code."""
    text = path.read_text(encoding="utf-8")
    if placed := PLACED.fullmatch(text):
        text = (ROOT / placed[1]).read_text(encoding="utf-8")
    return FENCED.sub("", text)


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a document, as hosting sites and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.strip().replace(" ", "-") for word in words}


@EVERY
def test_links_resolve(path: Path) -> None:
    if PLACED.fullmatch(path.read_text(encoding="utf-8")):
        return  # its links are those of the document of the root
    for link in LINK.findall(prose(path)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


def paths_in(path: Path) -> Iterator[str]:
    """Code that names a path in the repository."""
    for code in CODE.findall(prose(path)):
        if code.split("/")[0] not in TREE or not re.fullmatch(r"[\w./-]+", code):
            continue
        if code.endswith("/") or ("/" in code and Path(code).suffix in SUFFIXES):
            yield code


@EVERY_CURRENT
def test_paths_exist(path: Path) -> None:
    assert [name for name in paths_in(path) if not (ROOT / name).exists()] == []


def test_paths_are_recognised() -> None:
    assert len(set(paths_in(ROOT / "ARCHITECTURE.md"))) > 50


@EVERY_CURRENT
def test_code_can_be_parsed(path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks:
        ast.parse(block)


class Entry(NamedTuple):
    """One row of the glossary."""

    word: str
    files: tuple[str, ...]
    meaning: str


def glossary() -> list[Entry]:
    """The rows of the glossary."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Glossary")[2]
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [Entry(word, tuple(CODE.findall(files)), meaning) for word, files, meaning in rows[1:]]


def test_glossary_is_in_alphabetical_order() -> None:
    words = [re.sub(r"[`_ -]", "", entry.word).lower() for entry in glossary()]
    assert len(words) > 60
    assert words == sorted(words)
    assert len(words) == len(set(words))


def test_glossary_has_one_sentence_a_word() -> None:
    assert [entry.word for entry in glossary() if not entry.meaning.endswith(".")] == []


def defined_in(path: Path) -> set[str]:
    """The module's own name, and its classes, functions, methods, fields and constants."""
    names = {path.stem}
    bodies: list[ast.Module | ast.ClassDef] = [ast.parse(path.read_text(encoding="utf-8"))]
    while bodies:
        for node in bodies.pop().body:
            if isinstance(node, ast.ClassDef):
                bodies.append(node)
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
    return names


def test_definitions_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "some_module.py"
    path.write_text(
        "class Kind:\n    field: int = 0\n    def method(self):\n        local = 1\n"
        "CONSTANT = 2\nKind.of = CONSTANT\nprint(mentioned)\n"
    )
    assert defined_in(path) == {"some_module", "Kind", "field", "method", "CONSTANT"}


def test_names_of_the_glossary_are_in_their_files() -> None:
    entries = [(name, entry) for entry in glossary() for name in CODE.findall(entry.word)]
    assert len(entries) > 40
    assert [name for name, entry in entries if not entry.files] == []
    elsewhere = [
        f"{name}: {file}"
        for name, entry in entries
        for file in entry.files
        if name not in defined_in(ROOT / file)
    ]
    assert elsewhere == []


def test_files_of_the_glossary_are_source() -> None:
    files = {file for entry in glossary() for file in entry.files}
    assert [file for file in sorted(files) if not file.endswith(".py")] == []
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []
