"""The directive `public-names`: a table of the names that a package exports, with their summaries.

It also says on which page each object is documented. A name that two public packages export, such
as `FlameTrack`, is documented once, by the deeper package.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from functools import cache
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

PACKAGES = (
    "imavatar_deploy",
    "imavatar_deploy.tracks",
    "imavatar_deploy.retarget",
    "imavatar_deploy.model",
    "imavatar_deploy.fidelity",
    "imavatar_deploy.rendering",
    "imavatar_deploy.video",
    "imavatar_deploy.vision",
    "imavatar_deploy.head_fit",
    "imavatar_deploy.exporters",
    "imavatar_deploy.training",
    "imavatar_deploy.runtime",
    "imavatar_deploy.runtime.sources",
    "imavatar_deploy.runtime.sinks",
    "imavatar_deploy.runtime.streams",
)
"""The public packages; each has a page `api/PACKAGE`."""


@cache
def public_names(package: str) -> dict[str, Any]:
    """Name -> object of everything that a package exports.

    Autodoc lists what `dir` returns, where names that are imported on first use are missing; they
    are set here.
    """
    module = importlib.import_module(package)
    names = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    for name, value in names.items():
        setattr(module, name, value)
    return names


def home(package: str, name: str) -> str:
    """The package on whose page an exported name is documented."""
    value = public_names(package)[name]
    return max(
        (other for other in PACKAGES if public_names(other).get(name) is value),
        key=lambda other: other.count("."),
        default=package,
    )


def is_constant(value: object) -> bool:
    """Whether it is a value, whose `__doc__` is that of its type."""
    return not (inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value))


def summary(name: str, value: object) -> str:
    """The first line of a docstring."""
    if name == "__version__":
        return "Version of the package, a string."
    lines = comment_of(name, value) if is_constant(value) else [inspect.getdoc(value) or ""]
    return "\n".join(lines).partition("\n")[0]


class PublicNames(SphinxDirective):
    """`public-names`: the table of the package that its argument names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table; Sphinx calls this."""
        (package,) = self.arguments
        table = nodes.table(classes=["public-names"])
        group = nodes.tgroup(cols=2)
        group += [nodes.colspec(colwidth=30), nodes.colspec(colwidth=70)]
        body = nodes.tbody()
        for name, value in sorted(public_names(package).items(), key=lambda row: row[0].lower()):
            place = home(package, name)
            reference = addnodes.pending_xref(
                "",
                nodes.literal(name, name),
                refdomain="py",
                reftype="obj",
                reftarget=f"{place}.{name}",
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=not name.startswith("__"),
            )
            what = nodes.paragraph("", "", *self.parse_inline(summary(name, value))[0])
            cells = (nodes.paragraph("", "", reference), what)
            body += nodes.row("", *(nodes.entry("", cell) for cell in cells))
        if not len(body):
            return []
        group += body
        table += group
        analyzer = ModuleAnalyzer.for_module(package)
        analyzer.analyze()
        own = analyzer.attr_docs
        constants = [
            f".. autodata:: {package}.{name}"
            for name, value in public_names(package).items()
            if is_constant(value)
            and not name.startswith("__")
            and home(package, name) == package
            and ("", name) not in own
        ]  # autodoc documents no constants that a package imports from its modules
        return [table, *self.parse_text_to_nodes("\n\n".join(constants))]


def skip(app: Sphinx, what: str, name: str, value: object, skipped: bool, options: object) -> Any:
    """Leave out what is documented on another page; a handler of `autodoc-skip-member`."""
    package = app.env.docname.rpartition("/")[2]
    name = name.rpartition(".")[2]
    if what == "module" and package in PACKAGES and name in public_names(package):
        return home(package, name) != package or None
    return None


def comment_of(name: str, value: object) -> list[str]:
    """The docstring below the assignment of a constant, in whichever module it is."""
    for module in sorted(filter(lambda key: key.startswith("imavatar_deploy"), sys.modules)):
        names = [other for other, held in vars(sys.modules[module]).items() if held is value]
        if not names:
            continue
        comments = ModuleAnalyzer.for_module(module)
        comments.analyze()
        for other in (name, *names):  # a package may export it under another name
            if comment := comments.attr_docs.get(("", other)):
                return comment
    return []


ATTRIBUTES = ("attribute", "data")


def keep_attribute(
    app: Sphinx, what: str, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """Remember the docstring of an attribute before napoleon reads `Seconds: ...` as a type."""
    if what in ATTRIBUTES:
        app.env.temp_data["attribute docstring"] = list(lines)


def restore_attribute(
    app: Sphinx, what: str, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """Restore what `keep_attribute` remembered, after napoleon."""
    if what in ATTRIBUTES:
        lines[:] = app.env.temp_data["attribute docstring"]


SECTION = re.compile(r"\w[\w ]*:$")
"""The heading of a section that napoleon reads, such as `Args:`."""


def indented_as_code(
    app: Sphinx, what: str, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """Print an indented paragraph of a docstring as code or formula, not as a quotation."""
    text: list[str] = []
    above = ""
    for line in lines:
        begins = line.startswith("    ") and text and not text[-1]
        belongs = above.startswith("    ") or above.endswith("::") or SECTION.fullmatch(above)
        if begins and not belongs:
            text += ["::", ""]
        text.append(line)
        above = line or above
    lines[:] = text


ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?(?:Any|int), \.\.\.\], "
    r"~?(?:numpy\.)?dtype\[~?(?:numpy\.)?(\w+)\]\]"
)
"""How autodoc prints `NDArray[...]`."""


def readable_signature(
    app: Sphinx,
    what: str,
    name: str,
    value: object,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Shorten the types of arrays, and write `...` for defaults that a dataclass makes."""

    def short(text: str | None) -> str | None:
        return text and ARRAY.sub(r"NDArray[\1]", text.replace("<factory>", "..."))

    return short(signature), short(returns)


def describe_once(
    app: Sphinx, what: str, name: str, value: object, options: Any, lines: list[str]
) -> None:
    """Print the docstring of a package above the table only; find those of constants."""
    if what == "module" and options.get("members"):
        lines.clear()
    elif what == "data":
        lines[:] = comment_of(name.rpartition(".")[2], value)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register directive and handlers; Sphinx calls this."""
    for package in PACKAGES:
        public_names(package)
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", describe_once, priority=100)
    app.connect("autodoc-process-docstring", indented_as_code, priority=150)
    app.connect("autodoc-process-docstring", keep_attribute, priority=200)
    app.connect("autodoc-process-docstring", restore_attribute, priority=800)
    app.connect("autodoc-process-signature", readable_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
