"""A seed must train the same network on each machine: kernels on a CPU without the instructions, byte by byte."""

import functools
import hashlib
from itertools import product
from pathlib import Path

import graph_models
import gradient_calls as backward
import kernel_calls as calls
import numpy as np
import pytest
import random_graphs
import training_run
from own_process import run
from test_twins import COMPILED, OPERATIONS, compiled
from twin_arguments import ARGUMENTS

import bnnsim
import bnnsim.kernels._jit as _jit
import bnnsim.training.elementary as elementary
from bnnsim.kernels._twins import target_has

CPU = """
import sys
sys.path.insert(0, {folder!r})
import test_other_cpus as tests
from bnnsim.kernels import operations
print(any(form.in_use and form.in_use.needs for form in operations().values()), tests.digest(tests.PARTS[{part!r}]))
"""


def operations_in_use(rng, interpreted=False):
    """All that differs from CPU to CPU: every operation with tiles, in the form that kernels use."""
    for name, operation in OPERATIONS.items():
        form = operation.in_use.code if operation.in_use else _jit.inline(operation.plain)
        for args in ARGUMENTS[name](rng) if not name.endswith("aligned") else ():
            with np.errstate(over="ignore"):
                result = (operation.plain if interpreted else compiled(form, len(args)))(*args)
            yield from (arg for arg in args if isinstance(arg, np.ndarray))
            yield np.array([] if result is None else [result])


def float_loops(rng):
    """The loops around them whose order of additions, or roundings, another compiler might change."""
    h, dout = rng.integers(-9, 9, (9, 21)).astype(np.int32), rng.normal(size=(9, 21)).astype(np.float32)
    units, values = rng.normal(size=(4, 21)), rng.normal(size=(4, 33)).astype(np.float32)
    settings = [np.float32(value) for value in (0.9, 0.999, 0.3, 1.7, 1e-8, 1.0)]
    yield calls.affine_sign(h, *units[:3])
    yield from calls.batch_norm_backward(dout, h, *units, (np.inf, 1.0, 0.0, 5.0))
    yield from (backward.quantise_rows(dout[None])[0], backward.quantise_columns(dout)[0])
    yield from backward.adam_step(*values[:3], values[3] ** 2, *settings)
    yield from backward.metaplastic_step(*values[:3], values[3] ** 2, *settings, np.float32(2.7))
    yield from (function(units * 9) for function in (elementary.exp, elementary.log, elementary.tanh))


def products(rng):
    """Both passes of dense and conv layers, and the drawing of bit errors."""
    x, weights = calls.signs(rng, 9, 130), calls.signs(rng, 17, 130)
    images, taps = np.full((5, 1, 4, 4), 250, np.uint8), weights[:, :9].reshape(17, 3, 3, 1)
    yield from (calls.pack(x), calls.xnor_dense(x, weights), calls.pixels_dense(images, 7, weights[:, :16]))
    yield calls.pixels_conv(images, 128, taps, 1, 1, -1)
    yield backward.lookup_dense(calls.gradients(rng, 7, 9), x, np.ones(7))
    yield backward.dense_in(rng.normal(size=(4, 9)).astype(np.float32), x, np.ones(4), backward.FLOAT_KINDS)
    yield backward.pixels_dense_dweight(calls.gradients(rng, 7, 5), images, 0, np.ones(7))
    yield backward.conv_dweight(calls.gradients(rng, 2, 5, 7, 17), calls.signs(rng, 2, 5, 7, 65), (3, 3), 1, 1, 0)
    yield backward.conv_dx(calls.gradients(rng, 1, 5, 7, 17), calls.signs(rng, 17, 3, 3, 65), (1, 5, 7, 65), 1, 1)
    yield calls.flip_masks(5, 130, 1, 2, 2**62)


def trained(rng):
    """Whole trainings, of either precision."""
    for precision in ("fixed16", "float32"):
        yield np.frombuffer(training_run.state(*training_run.run(precision=precision)), np.uint8)


def graphs(rng):
    """Trainings of graphs, what they are packed to, and packed graphs of any kind, some with infinite constants."""
    for make, precision in product(graph_models.MODELS.values(), ("fixed16", "float32")):
        model, history = training_run.run(model=make(), precision=precision)
        yield np.frombuffer(training_run.state(model, history), np.uint8)
        yield bnnsim.pack(model).scores(rng.integers(0, 256, (40, 1, 6, 6), np.uint8))
    for seed in range(12):
        graph = random_graphs.graph(seed, extreme=seed % 3 == 0)
        yield graph.scores(random_graphs.images(graph, 20))


PARTS = {"operations": operations_in_use, "float loops": float_loops, "products": products, "trained": trained,
         "graphs": graphs}
HERE = PARTS | {"operations": functools.partial(operations_in_use, interpreted=True)}       # and see test_twins


def digest(part):
    arrays = part(np.random.default_rng(0))
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


AVX2 = {"NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+cx16,+64bit"}
CPUS = {"generic": {"NUMBA_CPU_NAME": "generic"}, "avx2": AVX2,
        "avxvnni": AVX2 | {"NUMBA_CPU_FEATURES": AVX2["NUMBA_CPU_FEATURES"] + ",+avxvnni"}}


def cpu_rows():
    """(CPU, part); what takes longest is slow, and other instructions, whose tiles test_twins runs."""
    for cpu, part in product(CPUS, PARTS):
        marks = [] if (cpu, part) == ("generic", "float loops") else [pytest.mark.slow]
        if cpu != "generic":
            marks.append(pytest.mark.skipif(not target_has(cpu), reason=f"this CPU has no {cpu}"))
        yield pytest.param(cpu, part, marks=marks)


@COMPILED
@pytest.mark.parametrize("cpu, part", list(cpu_rows()))
def test_a_cpu_without_the_instructions_gives_the_same_results(cpu, part):
    """With NUMBA_CPU_NAME=generic it once aborted. All CPUs share a cache, as machines with one home folder do."""
    package, shared = Path(bnnsim.__file__).parents[1], {}
    if _jit.NUMBA.CACHE_DIR:
        shared["NUMBA_CACHE_DIR"] = _jit.NUMBA.CACHE_DIR
    program = CPU.format(folder=str(Path(__file__).parent), part=part)
    assert run(program, package, **CPUS[cpu], **shared) == [str(cpu != "generic"), digest(HERE[part])]
