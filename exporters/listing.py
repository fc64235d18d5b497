"""imavatar-export --list: every format, what it gives, needs and obeys, and whether that is here."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.markup import escape
from rich.table import Table

from imavatar_deploy.errors import ImavatarError, MissingDependencyError
from imavatar_deploy.optional import require

from .format import ExportFormat
from .option_groups import options_of
from .settings import Settings

HERE = "[green]here[/]"


def format_table(rows: Iterable[ExportFormat]) -> Table:
    """One row a format."""
    table = Table("format", "gives", "needs", "options of its own", "", box=box.SIMPLE_HEAD)
    for row in rows:
        needs = ", ".join(filter(None, (*row.modules, row.beyond, *(f"--format {name}" for name in row.after))))
        table.add_row(
            row.name, row.description, needs, "\n".join(options_of(row.name)), availability(row), end_section=True
        )
    return table


def availability(row: ExportFormat) -> str:
    """`here`, or what is missing and the line that brings it; every module is imported for real."""
    missing = []
    for module in row.modules:
        try:
            require(module, extra=row.extra)
        except MissingDependencyError:
            missing.append(module)
    if not missing:
        return _more(row)
    return f"[yellow]without {', '.join(missing)}:[/] pip install 'imavatar-deploy\\[{row.extra}]'"


def _more(row: ExportFormat) -> str:
    try:
        row.ready(Settings())
    except ImavatarError as error:
        return f"[yellow]{escape(str(error))}[/]"
    return HERE
