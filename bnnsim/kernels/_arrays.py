"""Arrays that kernels make, and one array's memory as another: NumPy's take Numba 0.02 to 0.3 s to compile a type.

`flattened`, `in_rows` and `as_type` are for C-contiguous arrays, which a reshape would find out about each time. What
vectors are loaded from is to begin on a cache line: `aligned` says where in an array that is.
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.errors import NumbaTypeError
from numba.core.imputils import impl_ret_borrowed
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


def _shared(array, n_axes, item, shape_of, *others):
    """Signature and code of a function that gives the memory of `array` as one of n_axes axes of `item`s."""
    if array.layout != "C" or item.bitwidth != array.dtype.bitwidth:
        raise NumbaTypeError(f"only a C-contiguous array of items of the same size is an array of {item}, got {array}")

    def generate(context, builder, signature, args):
        given = context.make_array(signature.args[0])(context, builder, args[0])
        made = context.make_array(signature.return_type)(context, builder)
        shape = shape_of(builder, given, args)
        strides = [given.itemsize]
        for size in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], size))
        data = builder.bitcast(given.data, made.data.type)
        arrayobj.populate_array(made, data, shape, strides, given.itemsize, given.meminfo, given.parent)
        return impl_ret_borrowed(context, builder, signature.return_type, made._getvalue())

    return array.copy(ndim=n_axes, dtype=item)(array, *others), generate


@intrinsic
def _flattened(_, array):
    return _shared(array, 1, array.dtype, lambda builder, given, args: [given.nitems])


@intrinsic
def _in_rows(_, array, n_columns):
    return _shared(array, 2, array.dtype,
                   lambda builder, given, args: [builder.udiv(given.nitems, args[1]), args[1]], types.intp)


@intrinsic
def _as_type(_, array, dtype):
    return _shared(array, array.ndim, parse_dtype(dtype),
                   lambda builder, given, args: cgutils.unpack_tuple(builder, given.shape), dtype)


flattened: Any = (lambda array: array.reshape(-1)) if JIT_OFF else _flattened
in_rows: Any = (lambda array, n_columns: array.reshape(-1, n_columns)) if JIT_OFF else _in_rows
as_type: Any = (lambda array, dtype: array.view(dtype)) if JIT_OFF else _as_type


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
