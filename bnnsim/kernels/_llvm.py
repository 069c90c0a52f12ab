"""What tiles are written with: pointers into arrays, vectors, and LLVM's own functions.

LLVM vectorises plain loops to 256 bits and stops at half of the machine's speed, so a tile is an intrinsic that emits
explicit vector code: rows x vectors of accumulators that stay in registers over the whole summed axis, with operands
stored in the order in which they are read ("panels"). Functions here are called while code is generated, with an
`ir.IRBuilder`. Every argument `x_off` of a tile counts items from the start of the array, which is C-contiguous.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.errors import NumbaTypeError

I1, I8, I16, I32, I64, I128 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64, 128))


def item_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, offset: ir.Value,
                 item: ir.Type) -> ir.Value:
    """Pointer to `item`s; refuses, when compiling, an array that is not C-contiguous or holds anything else."""
    if array_type.layout != "C" or context.get_data_type(array_type.dtype) != item:
        raise NumbaTypeError(f"tile needs a C-contiguous array of {item}, got {array_type}")
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, item.as_pointer()), [offset])


def vector_pointer(builder: ir.IRBuilder, pointer: ir.Value, index: ir.Value, vector: ir.VectorType) -> ir.Value:
    """Pointer to the vector that begins at item `index` after `pointer`."""
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def splat(builder: ir.IRBuilder, scalar: ir.Value, vector: ir.VectorType) -> ir.Value:
    """A vector of one number in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(I32, vector.count), None)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, lanes)


def declare(builder: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """A function of LLVM or of the CPU, "llvm.ctpop.v8i64", to call."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)
