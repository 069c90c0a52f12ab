"""What a digital operation of a graph is: float32 work between the layers whose weights are bits of a memory.

What goes along an edge of a graph is of one kind: "pixels" uint8 (N, C, H, W), "bits" uint64 words (N, H, W, ceil(C /
64)) or (N, ceil(F / 64)), "integers" int32 (N, H, W, C) or (N, F), "reals" float32 (N, H, W, C) or (N, F), "scores"
float64 (N, n_classes). Shapes exclude the batch.
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, cast

import numpy as np

Shape = tuple[int, ...]

MAX_SIZE = 2**16                # of a window, a stride, a padding


class Operation(ABC):
    """A digital operation: a frozen dataclass of float32 arrays, and of integers, both of which files hold.

    Two operations of equal fields compute the same, on blocks of any size, to the bit, on every CPU.
    """

    word: ClassVar[str]                             # what files and tables call it
    arrays: ClassVar[dict[str, int]] = {}           # fields that are float32 arrays: how many axes each has
    settings: ClassVar[dict[str, int]] = {}         # fields that are integers: how many each is, 0 for one that is bare
    limits: ClassVar[dict[str, tuple[int, int]]] = {}       # least and largest of each, or of each of its numbers
    reads: ClassVar[tuple[str, ...]] = ("reals",)   # kinds of what it takes
    n_inputs: ClassVar[tuple[int, int]] = (1, 1)    # at least, at most
    gives: ClassVar[str] = "reals"

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Of what it gives for inputs of these shapes; ValueError where it cannot stand there."""

    @abstractmethod
    def run(self, *inputs: np.ndarray) -> np.ndarray:
        """What it gives for a block, in the threads of `split`."""

    def kind_of(self, kind: str) -> str:
        """Kind of what it gives where it reads this one."""
        return self.gives

    def macs(self, *shapes: Shape) -> int:
        """Real-valued multiply-accumulates an image."""
        return 0

    @property
    def n_parameters(self) -> int:
        """Stored float32 numbers."""
        return sum(getattr(self, name).size for name in self.arrays)

    def fields(self) -> dict[str, Any]:
        """As the plain dict that files hold."""
        return {"operation": self.word, **{name: getattr(self, name) for name in (*self.settings, *self.arrays)}}

    def __post_init__(self) -> None:
        """Arrays are kept as read-only float32 views; what faults left of them need not be finite."""
        for name in self.arrays:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                value = np.ascontiguousarray(value, np.float32).view()
                value.flags.writeable = False
                object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type["Operation"], tuple]:
        """Sent to another process without what can be laid out anew there."""
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(cast(Any, self)))


def rows(x: np.ndarray) -> np.ndarray:
    """A map as rows of channels."""
    return x.reshape(-1, x.shape[-1])
