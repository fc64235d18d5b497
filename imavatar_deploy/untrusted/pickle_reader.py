"""Read a pickle as data: an interpreter of its instructions that calls nothing but stand-ins.

Python's own unpickler, however restricted, allocates whatever a file requests and hashes whatever
object it holds. Here each instruction has a bounded cost: calls in the file only store their
arguments, only strings and integers are keys, and arrays are decoded on request. Python 2's strings
are read as latin-1.
"""

from __future__ import annotations

import codecs
import io
import pickletools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
"""Instructions that push their argument."""

INSTRUCTIONS = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
"""Code -> instruction."""

MAX_OPERATIONS = 5_000_000
"""Largest number of instructions, far more than a head model or a tracker writes. Each holds some
hundred bytes at most."""

Find = Callable[[str], Callable[..., Any] | None]
"""Dotted name, such as `numpy.dtype` -> stand-in; None for a name that is not admitted."""


def instructions(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the name and the argument of each instruction.

    Unlike `pickletools.genops`, strings of Python 2 may hold more than ASCII.

    Raises:
        ValueError: there is no such instruction, or its argument is missing.
    """
    file = io.BytesIO(content)
    while code := file.read(1):
        instruction = INSTRUCTIONS.get(code)
        if instruction is None:
            raise ValueError(f"byte {file.tell() - 1}, {code!r}, is not an instruction")
        if instruction.name == "STRING":
            yield instruction.name, _unquote(file.readline())
        else:
            yield instruction.name, instruction.arg.reader(file) if instruction.arg else None


def _unquote(line: bytes) -> str:
    text = line.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("a string has no quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")


class ForeignObjectError(Exception):
    """The pickle refers to a name that is not admitted; `origin` is its dotted name."""

    def __init__(self, origin: str) -> None:
        super().__init__(origin)
        self.origin = origin


class StandIn:
    """Stands in for an object of the file: stores its arguments and state, and has no behaviour."""

    origin = "an object"

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None


@dataclass(frozen=True)
class Name:
    """A name that the file refers to."""

    origin: str
    """Dotted name."""
    answer: Callable[..., Any]
    """Called where the file calls the name."""


def load(content: bytes, find: Find, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Return the content of a pickle.

    It consists of numbers, strings, lists, tuples and dictionaries, and of stand-ins for all else.

    Args:
        content: the pickle's bytes.
        find: returns the stand-in of a name.
        persistent: resolves persistent ids; None if the pickle may have none.

    Raises:
        ForeignObjectError: it refers to a name that is not admitted.
        ValueError: it is damaged, or has an instruction that data does not need.
    """
    try:
        return _Machine(find, persistent).run(content)
    except ForeignObjectError:
        raise
    except Exception as error:  # damaged bytes may raise nearly any exception
        raise ValueError(str(error) or type(error).__name__) from error


class _Machine:
    """The stack machine of pickles, with the stacks below marks and the memo."""

    def __init__(self, find: Find, persistent: Callable[[Any], Any] | None) -> None:
        self.find = find
        self.persistent = persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for count, (name, argument) in enumerate(instructions(content)):
            if count >= MAX_OPERATIONS:
                raise ValueError(f"more than {MAX_OPERATIONS} instructions")
            if name == "STOP":
                return self.stack.pop()
            if name in VALUES:
                self.push(argument)
            elif name in HANDLERS:
                HANDLERS[name](self, argument)
            else:
                raise ValueError(f"the instruction {name} has no place here")
        raise ValueError("the file is truncated")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def name(self, origin: str) -> None:
        if not re.fullmatch(r"\w[\w.<>]*", origin):
            raise ValueError("it refers to an invalid name")
        answer = self.find(origin)
        if answer is None:
            raise ForeignObjectError(origin)
        self.push(Name(origin, answer))

    def call(self, called: Any, arguments: Any) -> None:
        if isinstance(called, StandIn) and callable(called):
            self.push(called(*arguments))
        elif isinstance(called, Name):
            self.push(called.answer(*arguments))
        else:
            raise ValueError("it calls an object that is not a name")

    def refer(self, reference: Any) -> None:
        if self.persistent is None:
            raise ValueError("it has a persistent id, which refers to data outside the file")
        self.push(self.persistent(reference))

    def put(self, items: list[Any]) -> None:
        """Add keys and values to the dictionary on top; drop keys that are not `str` or `int`."""
        target = self.stack[-1]
        if isinstance(target, dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if isinstance(key, str | int))

    def add(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def build(self, state: Any) -> None:
        if isinstance(self.stack[-1], StandIn):
            self.stack[-1].state = state


def _mark(machine: _Machine, _: Any) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _fold(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        machine.push(tuple(reversed(items)))

    return step


def _dictionary(machine: _Machine, _: Any) -> None:
    items = machine.above_mark()
    machine.push({})
    machine.put(items)


def _pair(machine: _Machine, _: Any) -> None:
    value = machine.stack.pop()
    key = machine.stack.pop()
    machine.put([key, value])


def _stack_global(machine: _Machine, _: Any) -> None:
    name = machine.stack.pop()
    module = machine.stack.pop()
    machine.name(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "")


def _reduce(machine: _Machine, _: Any) -> None:
    arguments = machine.stack.pop()
    machine.call(machine.stack.pop(), arguments)


def _new(machine: _Machine, _: Any) -> None:
    machine.stack.pop()  # keyword arguments, which arrays do not have
    _reduce(machine, _)


def _instance(machine: _Machine, origin: str) -> None:
    arguments = machine.above_mark()
    machine.name(origin.replace(" ", "."))
    machine.call(machine.stack.pop(), arguments)


def _object(machine: _Machine, _: Any) -> None:
    called, *arguments = machine.above_mark()
    machine.call(called, arguments)


HANDLERS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, argument: None),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, place: machine.push(machine.memo[place])
    ),
    **dict.fromkeys(
        ("PUT", "BINPUT", "LONG_BINPUT"),
        lambda machine, place: machine.memo.update({place: machine.stack[-1]}),
    ),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine, _: machine.push([])),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": _fold(0),
    "TUPLE1": _fold(1),
    "TUPLE2": _fold(2),
    "TUPLE3": _fold(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.above_mark())),
    **dict.fromkeys(("LIST", "FROZENSET"), lambda machine, _: machine.push(machine.above_mark())),
    "DICT": _dictionary,
    "SETITEM": _pair,
    "SETITEMS": lambda machine, _: machine.put(machine.above_mark()),
    "APPEND": lambda machine, _: machine.add([machine.stack.pop()]),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: machine.add(machine.above_mark())),
    "MARK": _mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.above_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "GLOBAL": lambda machine, origin: machine.name(origin.replace(" ", ".")),
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _reduce),
    "NEWOBJ_EX": _new,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": lambda machine, _: machine.build(machine.stack.pop()),
    "PERSID": lambda machine, reference: machine.refer(reference),
    "BINPERSID": lambda machine, _: machine.refer(machine.stack.pop()),
}
"""Effect of every other admitted instruction."""
