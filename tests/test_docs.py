"""The documentation site builds without warnings and holds every command and public name."""

from __future__ import annotations

import html
import importlib
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from .commands import PROJECT, all_commands
from .processes import run_process

for needed in ("sphinx", "furo", "myst_parser"):
    pytest.importorskip(needed, reason="needs pip install '.[docs]'")

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted(path.stem for path in (ROOT / "docs" / "api").glob("imavatar_deploy*.rst"))
LIMIT = 300.0
"""Seconds for a build, which takes ten on an idle core."""
COMMANDS = all_commands()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    options = ["--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
    folders = ["--doctree-dir", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")]
    result = run_process(
        [sys.executable, "-m", "sphinx", *options, *folders], limit=LIMIT, cwd=ROOT
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return out / "html"


def text_of(page: Path) -> str:
    """The text of a page, without its markup."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def inventory(site: Path) -> set[str]:
    """The dotted names of all Python objects that the site documents."""
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    lines = zlib.decompress(packed).decode("utf-8").splitlines()
    return {line.split(" ")[0] for line in lines if " py:" in line}


def options_of(command: click.Command) -> Iterator[str]:
    """The names of every option, as they are typed."""
    context = click.Context(command)
    for param in command.get_params(context):
        if isinstance(param, click.Option) and not param.hidden:
            yield from param.opts
            yield from param.secondary_opts


@pytest.mark.parametrize("typed", sorted(COMMANDS))
def test_every_command_is_documented(site: Path, typed: str) -> None:
    text = text_of(site / "commands" / f"{typed.split()[0]}.html")
    assert f"{typed} [OPTIONS]" in text
    assert [option for option in options_of(COMMANDS[typed]) if option not in text] == []


def test_help_that_lists_a_table_is_complete(site: Path) -> None:
    text = text_of(site / "commands" / "imavatar-export.html")
    assert "{rows}" not in text
    assert "triton:" in text


def test_groups_of_options_are_sections(site: Path) -> None:
    page = (site / "commands" / "imavatar-export.html").read_text(encoding="utf-8")
    headings = html.unescape(" ".join(re.findall(r"<h2>(.*?)<", page)))
    titles = [group.title for group in vars(COMMANDS["imavatar-export"])["_groups"]]
    assert len(titles) > 3
    assert [title for title in titles if title not in headings] == []


def test_every_command_is_in_the_list(site: Path) -> None:
    index = (site / "commands" / "index.html").read_text(encoding="utf-8")
    for command in PROJECT["scripts"]:
        assert f'href="{command}.html"' in index


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_documented(site: Path, package: str) -> None:
    documented = inventory(site)
    page = text_of(site / "api" / f"{package}.html")
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        assert name in page
        if name == "__version__":
            continue
        value = getattr(module, name)
        homes = [
            other
            for other in PACKAGES
            if getattr(importlib.import_module(other), name, None) is value
        ]
        assert any(f"{home}.{name}" in documented for home in homes), f"{package}.{name}"


def test_public_packages_have_pages() -> None:
    expected = {"imavatar_deploy"} | {
        f"imavatar_deploy.{name}"
        for name in (
            "exporters",
            "fidelity",
            "head_fit",
            "model",
            "rendering",
            "retarget",
            "runtime",
            "runtime.sinks",
            "runtime.sources",
            "runtime.streams",
            "tracks",
            "training",
            "video",
            "vision",
        )
    }
    assert set(PACKAGES) == expected


@pytest.mark.parametrize("document", ["architecture", "changelog", "contributing", "security"])
def test_documents_of_the_root_are_pages(site: Path, document: str) -> None:
    source = (ROOT / f"{document.upper()}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[?([^\]\n]+)", source, flags=re.MULTILINE)
    text = text_of(site / f"{document}.html")
    assert headings
    assert [heading for heading in headings if heading.replace("`", "") not in text] == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"""<(?:script|img|link|iframe)[^>]+(?:src|href)=["'](https?:)?//""")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []


def test_every_example_is_shown(site: Path) -> None:
    page = text_of(site / "examples.html")
    scripts = sorted((ROOT / "examples").glob("*.py"))
    assert scripts
    assert [path.name for path in scripts if path.read_text().splitlines()[-1] not in page] == []
