"""Reads the pickles of CIFAR-10's Python version without unpickling them.

A pickle is a program, and `pickle.load` runs it with everything Python can do. Here `pickletools.genops` only
splits the file into its instructions, and a small machine carries out those that a dict of strings, numbers,
lists and uint8 arrays needs (protocols 2 and 3; the official files are protocol 2, written by Python 2). Six
global names are known, and stand for what this file does, never for an import. All else is refused by name
and position.
"""

import io
import os
import pickletools
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from bnnsim.checks import FilePath

MAX_BYTES = 1 << 26         # of one file, and of the strings it makes; an official batch has 31 MB
MAX_OPS = 200_000           # an official batch has some 31,000

_GLOBALS = {
    "numpy.core.multiarray._reconstruct": "reconstruct",
    "numpy._core.multiarray._reconstruct": "reconstruct",
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",             # how Python 3 writes bytes in protocol 2: latin-1 text
    "__builtin__.bytes": "bytes",           # and the empty bytes
}


def read_python_batch(path: FilePath) -> tuple[np.ndarray, list]:
    """The pixels and labels of one batch file.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    pixels : uint8 (N, F)
        Read-only.
    labels : list
        As the file has them: not checked.

    Raises
    ------
    ValueError
        If the file holds an instruction, a global name or a value that such a batch does not need.
    """
    n_bytes = os.stat(path).st_size
    if n_bytes > MAX_BYTES:
        raise ValueError(f"{path}: wanted a CIFAR-10 batch of at most {MAX_BYTES} bytes, got {n_bytes}")
    with open(path, "rb") as stream:
        content = stream.read(MAX_BYTES)
    try:
        batch = _run(content)
    except ValueError as error:
        raise ValueError(f"{path}: wanted a pickle of plain CIFAR-10 data, got one that is refused: "
                         f"{error}") from error
    fields = {_text(key): value for key, value in batch.items()} if isinstance(batch, dict) else {}
    pixels, labels = fields.get("data"), fields.get("labels")
    pixels = pixels.values if isinstance(pixels, _Array) else None
    if pixels is None or pixels.ndim != 2 or not isinstance(labels, list):
        came = f"the keys {sorted(fields)}"[:200] if fields else type(batch).__name__
        raise ValueError(f"{path}: wanted a dict with a uint8 matrix 'data' and a list 'labels', got {came}")
    return pixels, labels


@dataclass(frozen=True)
class _Global:
    name: str


class _Dtype:
    """Stands for dtype('u1')."""


class _Array:
    """An array that BUILD has filled, or None before it did."""

    values: np.ndarray | None = None


def _text(key):
    return key.decode("latin-1") if isinstance(key, bytes) else key


def _want(right, message):
    if not right:
        raise ValueError(message)


def _run(content):
    machine, stream = _Machine(), io.BytesIO(content)
    instructions = pickletools.genops(stream)
    for _ in range(MAX_OPS):
        position = stream.tell()
        name = _NAMES.get(content[position:position + 1], "unknown")
        try:
            _want(name in _KNOWN, "plain data does not need this")     # said before its argument is looked at
            if name == "GLOBAL":
                _check_global(content, position + 1)
            _, argument, _ = next(instructions)
            if name == "STOP":
                return machine.pop()
            machine.step(name, argument)
        except ValueError as error:
            raise ValueError(f"{error} (instruction {name} at byte {position})") from None
    raise ValueError(f"more than {MAX_OPS} instructions")


def _check_global(content, start):
    """Only the names known, byte by byte: genops would take a backslash in one for an escape."""
    lines = content[start:start + 100].split(b"\n", 2)[:2]
    name = b".".join(lines).decode("latin-1")
    _want(name in _GLOBALS, f"global name {name!r} is not allowed")


class _Machine:
    """A stack, its marks and a memo: what a pickle's instructions work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []                  # whatever the file puts there; what takes it looks at its type
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.n_encoded = 0

    def pop(self):
        _want(len(self.stack) > (self.marks[-1] if self.marks else 0), "nothing on the stack")
        return self.stack.pop()

    def pop_many(self, n):
        return tuple(self.pop() for _ in range(n))[::-1]

    def pop_mark(self):
        _want(self.marks, "no mark on the stack")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def step(self, name, argument):
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name](argument))
        else:
            _ACTIONS[name](self, argument)

    def mark(self, _):
        self.marks.append(len(self.stack))

    def put(self, index):
        value = self.pop()
        self.stack.append(value)
        self.memo[index] = value

    def get(self, index):
        _want(index in self.memo, f"memo {index} is empty")
        self.stack.append(self.memo[index])

    def extend(self, values):
        target = self.pop()
        _want(isinstance(target, list), f"a list is wanted, got {type(target).__name__}")
        target.extend(values)
        self.stack.append(target)

    def update(self, values):
        target, keys = self.pop(), values[::2]
        _want(isinstance(target, dict), f"a dict is wanted, got {type(target).__name__}")
        _want(all(isinstance(key, (str, bytes)) for key in keys), "a key must be a string")
        target.update(zip(keys, values[1::2], strict=True))
        self.stack.append(target)

    def push_global(self, argument):
        self.stack.append(_Global(_GLOBALS[argument.replace(" ", ".")]))

    def reduce(self, _):
        function, arguments = self.pop_many(2)
        value: _Array | _Dtype | bytes
        _want(isinstance(function, _Global) and isinstance(arguments, tuple), "a call is wanted")
        if function.name == "reconstruct":
            _want(len(arguments) == 3 and arguments[0] == _Global("ndarray"), "an ndarray is wanted")
            value = _Array()
        elif function.name == "dtype":
            _want(arguments and _text(arguments[0]) == "u1", "dtype 'u1' is wanted")
            value = _Dtype()
        else:
            empty = function.name == "bytes" and not arguments
            _want(empty or function.name == "encode", "this call is not allowed")
            value = b"" if empty else self.encode(arguments)
        self.stack.append(value)

    def encode(self, arguments):
        _want(len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] == "latin1",
              "latin1 text is wanted")
        self.n_encoded += len(arguments[0])         # the memo could offer one long text many times
        _want(self.n_encoded <= MAX_BYTES, f"more than {MAX_BYTES} bytes of text")
        return arguments[0].encode("latin-1")

    def build(self, _):
        target, state = self.pop_many(2)
        if isinstance(target, _Dtype):
            _want(isinstance(state, tuple) and len(state) == 8 and _text(state[1]) == "|"
                  and state[2:5] == (None, None, None), "the state of a plain uint8 dtype is wanted")
        else:
            _want(isinstance(target, _Array), f"an array is wanted, got {type(target).__name__}")
            target.values = _array(state)
        self.stack.append(target)


def _array(state):
    """The uint8 array that numpy's pickled state (version, shape, dtype, is_fortran, bytes) describes."""
    _want(isinstance(state, tuple) and len(state) == 5, "five values that describe an array are wanted")
    _, shape, dtype, is_fortran, content = state
    _want(isinstance(dtype, _Dtype) and isinstance(content, bytes), "an array of uint8 is wanted")
    _want(not is_fortran, "an array in C order is wanted")
    _want(isinstance(shape, tuple) and 1 <= len(shape) <= 4 and all(type(n) is int and n > 0 for n in shape),
          "a shape of 1 to 4 positive integers is wanted")
    _want(prod(shape) == len(content), f"{prod(shape)} bytes are wanted for {shape}, got {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _same(argument):
    return argument


def _python2_string(argument):
    return argument.encode("latin-1")       # genops has decoded it as latin-1


_CONSTANTS = {
    "NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False,
    "BININT": _same, "BININT1": _same, "BININT2": _same,
    "BINSTRING": _python2_string, "SHORT_BINSTRING": _python2_string,
    "BINUNICODE": _same, "BINBYTES": _same, "SHORT_BINBYTES": _same,
    "EMPTY_DICT": lambda _: {}, "EMPTY_LIST": lambda _: [], "EMPTY_TUPLE": lambda _: (),
}
_ACTIONS = {
    "PROTO": lambda _, version: _want(version in (2, 3), f"protocol 2 or 3 is wanted, got {version}"),
    "MARK": _Machine.mark,
    "BINPUT": _Machine.put, "LONG_BINPUT": _Machine.put, "BINGET": _Machine.get, "LONG_BINGET": _Machine.get,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.pop_many(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.pop_many(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.pop_many(3)),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.pop_mark()),
    "GLOBAL": _Machine.push_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
_KNOWN = {*_CONSTANTS, *_ACTIONS, "STOP"}
_NAMES = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}
