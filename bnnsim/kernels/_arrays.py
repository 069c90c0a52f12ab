"""Arrays that kernels make: `empty` and `zeros` are NumPy's, whose Numba forms take 0.03 to 0.1 s to compile a type.

What vectors are loaded from is to begin on a cache line: `aligned` says where in an array that is.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing.npydecl import parse_dtype
from numba.extending import intrinsic
from numba.np import arrayobj

from bnnsim.kernels._jit import JIT_OFF
from bnnsim.kernels._llvm import I64, item_pointer
from bnnsim.kernels._twins import Tile, twin_of


def _make(is_zeroed: bool) -> Any:
    @intrinsic
    def array(_, shape, dtype):
        n_axes = len(shape) if isinstance(shape, types.BaseTuple) else 1
        shape = types.UniTuple(types.intp, n_axes) if isinstance(shape, types.BaseTuple) else types.intp
        signature = types.Array(parse_dtype(dtype), n_axes, "C")(shape, dtype)

        def generate(context, builder, signature, args):
            sizes = cgutils.unpack_tuple(builder, args[0]) if isinstance(shape, types.BaseTuple) else [args[0]]
            made = arrayobj._empty_nd_impl(context, builder, signature.return_type, sizes)
            if is_zeroed:
                cgutils.memset(builder, made.data, builder.mul(made.itemsize, made.nitems), 0)
            return made._getvalue()

        return signature, generate

    return array


empty: Any = np.empty if JIT_OFF else _make(False)
zeros: Any = np.zeros if JIT_OFF else _make(True)


@intrinsic
def _aligned(_, array):
    def generate(context, builder, signature, args):
        item = context.get_data_type(signature.args[0].dtype)
        address = builder.ptrtoint(item_pointer(context, builder, signature.args[0], args[0], I64(0), item), I64)
        size = signature.args[0].dtype.bitwidth // 8
        return builder.udiv(builder.and_(builder.neg(address), I64(63)), I64(size))

    return types.intp(array), generate


@twin_of(Tile(_aligned))
def aligned(array):
    """How many items past the start of an array the next cache line begins."""
    return (-array.ctypes.data & 63) // array.itemsize
