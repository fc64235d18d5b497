"""Checks the array annotations of the package on every call while the tests run.

`install` wraps each function and method whose annotations name an array type of
`imavatar_deploy.arrays` as its module is loaded, and the constructors of dataclasses. A dataclass
with a `__post_init__` validates or converts its arguments itself: its fields are checked after
that. Compiled functions (numba, Warp) and those behind other decorators stay as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import AbstractArray, jaxtyped

PACKAGE = "imavatar_deploy"
UNCHECKED = {
    # modules whose functions torch traces into graphs: a check would freeze the axes it reads
    f"{PACKAGE}.exporters.formats.onnx_modules",
}


class ArrayTypeError(TypeError):
    """An argument or a result does not have the annotated element type or shape."""


def install() -> None:
    """Check the modules of the package that are imported from now on."""
    loaded = [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]
    assert not loaded, f"{loaded[0]} was imported before its array annotations could be checked"
    sys.meta_path.insert(0, _Finder())


def check_module(module: types.ModuleType) -> None:
    """Wrap what a loaded module defines."""
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, types.FunctionType) and (wrapped := checked(value)):
            setattr(module, name, wrapped)
        elif isinstance(value, type):
            _check_class(value)


def _check_class(cls: type) -> None:
    if (
        issubclass(cls, tuple)
        and hasattr(cls, "_fields")
        and (wrapped := checked(cls.__new__, vars(sys.modules[cls.__module__])))
    ):
        cls.__new__ = wrapped  # type: ignore[method-assign,assignment]
    if dataclasses.is_dataclass(cls):
        names = vars(sys.modules[cls.__module__])
        check = checked_fields if hasattr(cls, "__post_init__") else checked
        if wrapped := check(cls.__init__, names):
            cls.__init__ = wrapped  # type: ignore[misc]
    for name, value in list(vars(cls).items()):
        if (
            isinstance(value, types.FunctionType)
            and value.__module__ == cls.__module__
            and name != "__init__"
        ):
            replacement: Any = checked(value)
        elif isinstance(value, classmethod | staticmethod) and isinstance(
            value.__func__, types.FunctionType
        ):
            inner = checked(value.__func__)
            replacement = type(value)(inner) if inner else None
        elif isinstance(value, property) and isinstance(value.fget, types.FunctionType):
            inner = checked(value.fget)
            replacement = property(inner, value.fset, value.fdel, value.__doc__) if inner else None
        else:
            continue
        if replacement:
            setattr(cls, name, replacement)
    if (
        "__init__" in vars(cls)
        and not dataclasses.is_dataclass(cls)
        and (wrapped := checked(cls.__init__))
    ):
        cls.__init__ = wrapped  # type: ignore[misc]


def checked(function: Any, names: Mapping[str, Any] | None = None) -> Callable[..., Any] | None:
    """The function with its array annotations checked; None where it has none."""
    annotations = getattr(function, "__annotations__", {})
    if not any("[" in str(annotation) for annotation in annotations.values()):
        return None
    generator = inspect.isgeneratorfunction(function)
    signature = inspect.signature(function)
    positional = _positional(signature)
    hints: dict[str, Any] | None = None
    accepted: set[tuple[Any, ...]] = set()  # kinds of arguments and results that have passed

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal hints
        if hints is None:
            hints = _array_hints(annotations, names or function.__globals__)
        if not hints:
            return function(*args, **kwargs)
        if len(args) <= len(positional):
            arguments = {**dict(zip(positional, args, strict=False)), **kwargs}
        else:
            arguments = signature.bind(*args, **kwargs).arguments
        kinds = tuple((name, kind_of(value)) for name, value in arguments.items() if name in hints)
        if (kinds,) not in accepted:
            with jaxtyped("context"):
                _check_arguments(function, arguments, hints, annotations)
            _add_known(accepted, (kinds,))
        result = function(*args, **kwargs)
        if "return" in hints and not generator:
            both = (kinds, kind_of(result))
            if both not in accepted:
                with jaxtyped("context"):
                    _check_arguments(function, arguments, hints, annotations)
                    _check_result(function, arguments, result, hints, annotations)
                _add_known(accepted, both)
        return result

    return call


def _positional(signature: inspect.Signature) -> list[str]:
    """Return the names of the parameters that are filled by position."""
    return [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def _add_known(accepted: set[tuple[Any, ...]], kinds: tuple[Any, ...]) -> None:
    """Remember kinds that have passed, unless they leave the match open."""
    if UNKNOWN not in str(kinds):
        accepted.add(kinds)


def _check_result(
    function: Any,
    arguments: Mapping[str, Any],
    result: Any,
    hints: Mapping[str, Any],
    annotations: Any,
) -> None:
    """Check the result in the context in which the arguments were checked."""
    if not matches(result, hints["return"]):
        raise ArrayTypeError(
            _mismatch(function, "return", result, annotations["return"], arguments)
        )


def _check_arguments(
    function: Any, arguments: Mapping[str, Any], hints: Mapping[str, Any], annotations: Any
) -> None:
    """Check the annotated arguments in the present context, which keeps the sizes of axes."""
    for name, value in arguments.items():
        if name in hints and not matches(value, hints[name]):
            raise ArrayTypeError(_mismatch(function, name, value, annotations[name], arguments))


UNKNOWN = "unknown"
"""Kind of a value whose match does not follow from its kind: it is checked in every call."""


def kind_of(value: Any) -> Any:
    """Return what decides whether a value matches: shapes and element types, or the type.

    Calls whose arguments and results are of kinds that have passed are not checked again.
    """
    if type(value) is np.ndarray:
        return (value.shape, value.dtype)
    if value is None or isinstance(value, bool | int | float | str):
        return type(value)
    if isinstance(value, tuple | list) and len(value) <= 16:
        return (type(value), *map(kind_of, value))
    return UNKNOWN


def checked_fields(constructor: Any, names: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The constructor of a dataclass, which checks the fields once they are set; None without."""
    annotations = getattr(constructor, "__annotations__", {})
    if not any("[" in str(annotation) for annotation in annotations.values()):
        return None
    hints: dict[str, Any] | None = None

    @functools.wraps(constructor)
    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        nonlocal hints
        constructor(self, *args, **kwargs)
        if hints is None:
            hints = _array_hints(annotations, names)
        with jaxtyped("context"):
            values = {name: getattr(self, name) for name in hints}
            for name, value in values.items():
                if not matches(value, hints[name]):
                    raise ArrayTypeError(
                        _mismatch(constructor, name, value, annotations[name], values)
                    )

    return call


def _array_hints(annotations: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    hints = {}
    for name, annotation in annotations.items():
        text = getattr(annotation, "__forward_arg__", annotation)  # fields of named tuples
        try:
            hint = eval(text, dict(names)) if isinstance(text, str) else annotation
        except NameError:  # imported for type checkers alone
            continue
        if names_array(hint):
            hints[name] = hint
    return hints


def names_array(hint: Any) -> bool:
    """Whether an array type occurs in a hint."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return True
    return any(names_array(part) for part in typing.get_args(hint))


def matches(value: Any, hint: Any) -> bool:
    """Whether a value agrees with the array types in a hint; other types are mypy's to check."""
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        return isinstance(value, hint)
    origin = typing.get_origin(hint)
    parts = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(
            matches(value, part) if names_array(part) else _is(value, part) for part in parts
        )
    if origin is tuple and isinstance(value, tuple) and parts:
        if parts[-1] is Ellipsis:
            return all(matches(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(map(matches, value, parts))
    if (
        isinstance(origin, type)
        and issubclass(origin, Sequence)
        and isinstance(value, list | tuple)
    ):
        return all(matches(item, parts[0]) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return all(matches(item, parts[1]) for item in value.values())
    return True


def _is(value: Any, hint: Any) -> bool:
    kind = typing.get_origin(hint) or hint
    return (
        value is None
        if kind in (None, type(None))
        else not isinstance(kind, type) or isinstance(value, kind)
    )


def _mismatch(
    function: Any, name: str, value: Any, annotation: Any, arguments: Mapping[str, Any]
) -> str:
    def text(item: Any) -> str:
        return (
            f"{item.dtype}{list(item.shape)}"
            if hasattr(item, "shape") and hasattr(item, "dtype")
            else repr(item)[:80]
        )

    others = {
        key: text(item) for key, item in arguments.items() if hasattr(item, "shape") and key != name
    }
    place = f"{function.__module__}.{function.__qualname__}"
    return f"{place}: {name} is {text(value)}, annotated {annotation}; {others}"


class _Finder(MetaPathFinder):
    """Finds the modules of the package, and wraps their loaders so that each module is checked."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a module of the package with a loader that checks the module."""
        if self._searching or not (fullname == PACKAGE or fullname.startswith(f"{PACKAGE}.")):
            return None
        self._searching = True
        try:
            spec = find_spec(fullname)
        finally:
            self._searching = False
        if spec is None or spec.loader is None or fullname in UNCHECKED:
            return spec
        spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        """Delegate to the wrapped loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """Load the module, then wrap what it defines."""
        self._loader.exec_module(module)
        check_module(module)
