"""The data in a pickle, without running the pickle: a machine for those instructions that build plain values.

A pickle is a program, and `pickle.load` runs it with everything that Python can do. Here `pickletools` only splits it
into instructions. Global names are looked up in a table of the caller's, which says what stands for them, and are never
imported; every other name, and every instruction that plain data does not need, is refused by name and position.
Objects of unknown classes, such as a whole pickled module, are names that are not in the table.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MAX_OPS = 400_000                   # a tensor takes some 40
MAX_SIZE = 2**24                    # bytes of a pickle, without the arrays' values
MAX_DEPTH = 64                      # of values in values, as they are looked through

Call = Callable[[tuple], Any]


class Named:
    """Stands for a global name that may occur: what calling it gives, or nothing if it is only passed on."""

    def __init__(self, name: str, call: Call | None = None) -> None:
        self.name, self.call = name, call


class Dict(dict):
    """An OrderedDict, whose attributes (PyTorch's versions) are left aside."""


def unpickled(data: bytes, names: Mapping[str, Named], persistent: Callable[[Any], Any],
              start: int = 0) -> tuple[Any, int]:
    """(The value of a pickle that begins at `start`, where it ends); ValueError for whatever is no plain data.

    names : what stands for "module.name"
    persistent : what gives the value of a persistent id
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    machine, instructions = _Machine(names, persistent), pickletools.genops(stream)
    for _ in range(MAX_OPS):
        position = stream.tell()
        name = _NAMES.get(data[position:position + 1], "unknown")
        try:
            if name not in _KNOWN:
                raise ValueError("plain data does not need this")
            if name == "GLOBAL":
                _check_line(data, position + 1)
            _, argument, _ = next(instructions)
            if name == "STOP":
                return machine.pop(), stream.tell()
            machine.step(name, argument)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"a pickle that is refused: {error} (instruction {name} at byte {position})") from None
        except Exception as error:                              # what pickletools raises of broken arguments
            raise ValueError(f"a pickle that is damaged: {error} (instruction {name} at byte {position})") from error
    raise ValueError(f"a pickle of more than {MAX_OPS:,} instructions")


def _check_line(data: bytes, start: int) -> None:
    """A global's two lines are short, and plain: pickletools would take a backslash in one for an escape."""
    lines = data[start:start + 300].split(b"\n", 2)
    if len(lines) < 3 or any(b"\\" in line for line in lines[:2]):
        raise ValueError("a global name must be two plain lines")


class _Machine:
    """A stack, its marks and a memo."""

    def __init__(self, names: Mapping[str, Named], persistent: Callable[[Any], Any]) -> None:
        self.names, self.persistent = names, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """The last value, not past a mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("nothing on the stack")
        return self.stack.pop()

    def pop_many(self, n: int) -> tuple:
        """The last n values, in order."""
        return tuple(self.pop() for _ in range(n))[::-1]

    def pop_mark(self) -> list[Any]:
        """All values behind the last mark."""
        if not self.marks:
            raise ValueError("no mark on the stack")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name](argument))
        else:
            _ACTIONS[name](self, argument)

    def push(self, value: Any) -> None:
        """A value on the stack."""
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        """Remember this place."""
        self.marks.append(len(self.stack))

    def drop(self, _: Any) -> None:
        """Forget the last value."""
        self.pop()

    def put(self, index: Any) -> None:
        """Remember the last value."""
        value = self.pop()
        self.stack.append(value)
        self.memo[len(self.memo) if index is None else int(index)] = value

    def get(self, index: Any) -> None:
        """A value that was remembered."""
        if int(index) not in self.memo:
            raise ValueError(f"memo {index} is empty")
        self.stack.append(self.memo[int(index)])

    def extend(self, values: list) -> None:
        """Items of a list."""
        target = self.pop()
        if not isinstance(target, list):
            raise ValueError(f"a list is wanted, got {type(target).__name__}")
        target.extend(values)
        self.stack.append(target)

    def update(self, values: list | tuple) -> None:
        """Items of a dict; keys are strings and numbers."""
        target, keys = self.pop(), values[::2]
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError(f"a dict is wanted, got {type(target).__name__}")
        if not all(isinstance(key, (str, int, float, bytes)) for key in keys):
            raise ValueError("a key must be a string or a number")
        target.update(zip(keys, values[1::2]))
        self.stack.append(target)

    def name(self, found: str) -> None:
        """A global name: what the table has for it."""
        if found not in self.names:
            raise ValueError(f"the global name {found[:100]!r} is not allowed: only state dicts of tensors are read, "
                             "no pickled modules or other objects; save model.state_dict()")
        self.stack.append(self.names[found])

    def stack_name(self, _: Any) -> None:
        """A global name of protocol 4, from the stack."""
        module, name = self.pop_many(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a global name must be two strings")
        self.name(f"{module}.{name}")

    def reduce(self, _: Any) -> None:
        """A call of what stands for a global name."""
        function, arguments = self.pop_many(2)
        if not isinstance(function, Named) or function.call is None or not isinstance(arguments, tuple):
            raise ValueError(f"a call of {getattr(function, 'name', type(function).__name__)[:60]} is not allowed")
        self.stack.append(function.call(arguments))

    def build(self, _: Any) -> None:
        """Attributes of an OrderedDict, which are left aside; the state of a dtype, which names no other type."""
        target, _ = self.pop_many(2)
        if not isinstance(target, (Dict, np.dtype)):
            raise ValueError(f"attributes of a {type(target).__name__} are not allowed")
        self.stack.append(target)

    def persistent_id(self, _: Any) -> None:
        """What lies outside of the pickle."""
        self.stack.append(self.persistent(self.pop()))


def _whole(argument: Any) -> int:
    if abs(argument) >= 2**128:
        raise ValueError("an integer of more than 128 bits")
    return argument


def _same(argument: Any) -> Any:
    return argument


_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False,
    "BININT": _same, "BININT1": _same, "BININT2": _same, "LONG1": _whole, "BINFLOAT": _same,
    "BINSTRING": _same, "SHORT_BINSTRING": _same, "BINUNICODE": _same, "SHORT_BINUNICODE": _same,
    "BINUNICODE8": _same, "BINBYTES": _same, "SHORT_BINBYTES": _same, "BINBYTES8": _same,
    "EMPTY_DICT": lambda _: {}, "EMPTY_LIST": lambda _: [], "EMPTY_TUPLE": lambda _: (), "EMPTY_SET": lambda _: []}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _, version: None, "FRAME": lambda _, size: None,
    "MARK": _Machine.mark, "POP": _Machine.drop,
    "BINPUT": _Machine.put, "LONG_BINPUT": _Machine.put, "MEMOIZE": _Machine.put,
    "BINGET": _Machine.get, "LONG_BINGET": _Machine.get,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.pop_many(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.pop_many(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.pop_many(3)),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_mark()),
    "GLOBAL": lambda machine, argument: machine.name(argument.replace(" ", ".")),
    "STACK_GLOBAL": _Machine.stack_name, "REDUCE": _Machine.reduce, "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent_id}
_KNOWN = {*_CONSTANTS, *_ACTIONS, "STOP"}
_NAMES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}
