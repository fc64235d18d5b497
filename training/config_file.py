"""Training settings as TOML: writes `config.toml` with comments and reads files of changes."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from imavatar_deploy.errors import InputError, UsageError, excerpt, unknown_name

from .settings import TrainSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Group = TypeVar("Group")

WIDTH = 100
"""Width of comment lines, characters."""


def to_toml(settings: TrainSettings) -> str:
    """Write every setting, each below a comment that explains it.

    `from_toml` of the text gives equal settings.
    """
    plain = [
        entry.name for entry in fields(settings) if not is_dataclass(getattr(settings, entry.name))
    ]
    groups = [entry.name for entry in fields(settings) if entry.name not in plain]
    parts = [_entries(settings, plain)]
    parts += [
        f"{_comment(TrainSettings, name)}[{name}]\n\n{_entries(getattr(settings, name))}"
        for name in groups
    ]
    return "\n".join(parts)


def from_toml(text: str, base: TrainSettings, source: str = "the configuration") -> TrainSettings:
    """Apply the settings of a TOML text to `base`.

    Args:
        text: tables and values in the layout of `to_toml`; settings it leaves out keep their value.
        source: name of the text in error messages.

    Raises:
        InputError: the text is not valid TOML.
        UsageError: a setting does not exist, or its value has the wrong type.
    """
    try:
        changes = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise InputError(f"{source} is not readable as TOML: {excerpt(error)}") from error
    return with_changes(base, changes, source)


def read_config(path: Path, base: TrainSettings) -> TrainSettings:
    """Apply the settings of the TOML file at `path` to `base`.

    Raises:
        InputError: the file cannot be read or is not valid TOML.
        UsageError: a setting does not exist, or its value has the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a configuration: {error}") from error
    return from_toml(text, base, str(path))


def with_changes(group: Group, changes: Mapping[str, Any], source: str) -> Group:
    """Return a settings dataclass with some fields replaced; nested groups field by field."""
    known = {entry.name for entry in fields(group)}  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            raise unknown_name(f"setting in {source}", name, known)
    values = {
        name: _fitting(getattr(group, name), value, name, source) for name, value in changes.items()
    }
    return replace(group, **values)  # type: ignore[type-var]


def _fitting(old: Any, new: Any, name: str, source: str) -> Any:
    """The new value, converted to the type of the old: int to float, list to tuple."""
    if is_dataclass(old) and isinstance(new, Mapping):
        return with_changes(old, new, source)
    if isinstance(old, float) and type(new) is int:
        return float(new)
    if isinstance(old, tuple) and isinstance(new, list):
        return tuple(new)
    if type(old) is not type(new):
        raise UsageError(f"{name} in {source} must be like {_value(old)}, got {excerpt(repr(new))}")
    return new


def _entries(group: Any, names: list[str] | None = None) -> str:
    if names is None:
        names = [entry.name for entry in fields(group)]
    return "\n".join(
        f"{_comment(type(group), name)}{name} = {_value(getattr(group, name))}\n" for name in names
    )


def _value(value: Any) -> str:
    if is_dataclass(value):
        return "a table"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)  # JSON and TOML write numbers, booleans and plain strings alike


def _comment(kind: type, name: str) -> str:
    wrapped = textwrap.wrap(field_texts(kind).get(name, ""), WIDTH)
    return "".join(f"# {line}\n" for line in wrapped)


@cache
def field_texts(kind: type) -> Mapping[str, str]:
    """The docstring below each field of a dataclass, joined to one line, by field name."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(below, ast.Expr)
            and isinstance(field.target, ast.Name)
        ):
            texts[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return MappingProxyType(texts)
