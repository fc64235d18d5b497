"""Errors: the tree in the docstring, exit codes, and messages about unknown names."""

from __future__ import annotations

import re

import pytest

from imavatar_deploy import errors
from imavatar_deploy.errors import (
    ImavatarError,
    InputError,
    InternalError,
    excerpt,
    unknown_name,
)

DRAWN = re.compile(r"^(?P<bars>[│ ]*[├└]── )(?P<name>\w+) +(?P<code>\d)?", re.MULTILINE)


def defined() -> dict[str, type[Exception]]:
    return {
        name: thing
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, Exception)
    }


def drawn_parents() -> dict[str, str]:
    """Return name -> parent, from the indentation in the docstring."""
    trail = ["Exception"]
    parents = {}
    for line in DRAWN.finditer(str(errors.__doc__)):
        depth = len(line["bars"]) // 4
        parents[line["name"]] = trail[depth - 1]
        trail[depth:] = [line["name"]]
    return parents


def test_the_tree_is_as_drawn() -> None:
    assert drawn_parents() == {name: kind.__bases__[0].__name__ for name, kind in defined().items()}


def test_the_exit_codes_are_as_drawn() -> None:
    codes = {
        line["name"]: int(line["code"])
        for line in DRAWN.finditer(str(errors.__doc__))
        if line["code"]
    }
    assert sorted(set(codes.values())) == [2, 3, 4, 5, 6]
    assert codes == {name: getattr(defined()[name], "exit_code", None) for name in codes}


def test_our_own_bugs_are_never_the_users() -> None:
    assert not issubclass(InternalError, ImavatarError)
    assert not issubclass(InputError, ValueError)


def test_an_unknown_name_is_answered_with_all_names_and_the_nearest() -> None:
    error = unknown_name("format", "onx", ["trt", "onnx", "obj"])
    assert (
        str(error) == "unknown format 'onx': expected one of obj, onnx, trt; did you mean 'onnx'?"
    )
    assert error.exit_code == 2


@pytest.mark.parametrize("strange", ["", "zzzzzz", "*"])
def test_nothing_is_suggested_for_what_resembles_nothing(strange: str) -> None:
    assert "did you mean" not in str(unknown_name("format", strange, ["onnx", "obj"]))


def test_foreign_content_is_one_short_line() -> None:
    assert excerpt("a\n b") == "a b"
    assert excerpt("x" * 120) == "x" * 120
    assert excerpt("x" * 10**6) == "x" * 117 + "..."
    assert len(str(unknown_name("thing", "y" * 5000, ["a", "b"]))) < 200
