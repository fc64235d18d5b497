"""config.toml: settings as a file that explains itself, and files that change a few of them."""

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

from imavatar_deploy.errors import InputError, UsageError, unknown_name

from .settings import TrainSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Group = TypeVar("Group")

WIDTH = 100
"""Of comment lines."""


def to_toml(settings: TrainSettings) -> str:
    """Every setting, each below its explanation; `from_toml` of it gives equal settings."""
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
    """`base` with what the text changes.

    Raises:
        InputError: the text is no TOML.
        UsageError: a setting does not exist, or has a value of another type.
    """
    try:
        changes = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not readable as TOML: {error}") from error
    return changed(base, changes, source)


def read_config(path: Path, base: TrainSettings) -> TrainSettings:
    """`base` with what the file at `path` changes; errors as those of `from_toml`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a configuration: {error}") from error
    return from_toml(text, base, str(path))


def changed(group: Group, changes: Mapping[str, Any], source: str) -> Group:
    """A settings dataclass with some of its fields replaced, groups in it field by field."""
    known = {entry.name for entry in fields(group)}  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            raise unknown_name(f"setting in {source}", name, known)
    values = {
        name: _fitting(getattr(group, name), value, name, source) for name, value in changes.items()
    }
    return replace(group, **values)  # type: ignore[type-var]


def _fitting(old: Any, new: Any, name: str, source: str) -> Any:
    """The new value in the old one's type: a whole number may stand for a fraction, a list for a tuple."""
    if is_dataclass(old) and isinstance(new, Mapping):
        return changed(old, new, source)
    if isinstance(old, float) and type(new) is int:
        return float(new)
    if isinstance(old, tuple) and isinstance(new, list):
        return tuple(new)
    if type(old) is not type(new):
        raise UsageError(f"{name} in {source} must be like {_value(old)}, got {new!r}")
    return new


def _entries(group: Any, names: list[str] | None = None) -> str:
    chosen = [entry.name for entry in fields(group)] if names is None else names
    return "\n".join(
        f"{_comment(type(group), name)}{name} = {_value(getattr(group, name))}\n" for name in chosen
    )


def _value(value: Any) -> str:
    if is_dataclass(value):
        return "a table"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)  # numbers, booleans and plain strings are spelt alike in TOML


def _comment(kind: type, name: str) -> str:
    wrapped = textwrap.wrap(field_texts(kind).get(name, ""), WIDTH)
    return "".join(f"# {line}\n" for line in wrapped)


@cache
def field_texts(kind: type) -> Mapping[str, str]:
    """The docstring under each field of a dataclass, in one line."""
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
