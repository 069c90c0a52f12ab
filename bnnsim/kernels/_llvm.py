"""Register tiles of the backward pass and small vector operations, as explicit vector code with a plain twin each.

LLVM vectorises plain loops to 256 bits and stops at half of the machine's speed, so each tile is an intrinsic that
emits vector IR: R rows x V vectors of accumulators that stay in registers over the whole summed axis, with operands
stored in the order in which they are read ("panels"). The plain twins do the same sums in the same integers. They
serve NUMBA_DISABLE_JIT=1, and the madd16 twin CPUs without AVX512-VNNI; the tests hold each tile against its twin.

    madd16 tile    6 rows x 64 columns of int16; panel (F / 64, K / 2, 64, 2) int16

Every argument `x_off` counts items from the start of the array, which is C-contiguous.
"""

from llvmlite import binding, ir
from numba.core import cgutils, config
from numba.core.errors import NumbaTypeError

I1, I8, I16, I32, I64, I128 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64, 128))


def _pointer(context, builder, array_type, array, offset, item, stored=None):
    """Pointer to `item`s; refuses, when compiling, an array that is not C-contiguous or holds anything else."""
    if array_type.layout != "C" or context.get_data_type(array_type.dtype) != (stored or item):
        raise NumbaTypeError(f"tile needs a C-contiguous array of {stored or item}, got {array_type}")
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, item.as_pointer()), [offset])


def _vector_pointer(builder, pointer, index, vector):
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def _splat(builder, scalar, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(I32, vector.count), None)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, lanes)


def _declare(builder, name, result, *arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _target_has(feature):
    """Whether Numba compiles for a CPU with `feature`: this one, unless NUMBA_CPU_NAME and the like say otherwise."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return bool(config.ENABLE_AVX) and binding.get_host_cpu_features().get(feature, False)


HAS_VNNI = _target_has("avx512vnni")
