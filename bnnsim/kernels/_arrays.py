"""Arrays that kernels make: `empty` and `zeros` are NumPy's, whose Numba forms take 0.03 to 0.1 s to compile a type."""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.typing.npydecl import parse_dtype
from numba.extending import intrinsic
from numba.np import arrayobj

from bnnsim.kernels._jit import JIT_OFF


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
