"""Trainings on a CPU whose libraries have fewer instructions: histories and checkpoints, byte by byte.

NumPy, OpenBLAS and glibc choose code by the CPU, each for itself, and their last digits differ; tests/kernels holds the
kernels to the same. Numba compiles for this CPU in both processes, so that the cache serves both.
"""

import ast
import hashlib
from pathlib import Path

import h5py
import numpy as np
from numpy._core import _multiarray_umath as numpy_core
from own_process import run
from small_networks import small
from small_networks import trained as trained_small
from training_run import small_split, state

import bnnsim
import bnnsim.kernels._jit as _jit
from bnnsim.faults import BitFlips, StuckAt
from bnnsim.training.adaptation import reestimate_batch_norm, rescale_thresholds
from bnnsim.training.architectures import build
from bnnsim.training.elementary import exp, log, power, tanh
from bnnsim.training.estimators import Clipped, SwishSign
from bnnsim.training.fitting import fit
from bnnsim.training.losses import MarginCrossEntropy, ModifiedHinge, SquaredHinge
from bnnsim.training.optimizers import Adam, Bop, Metaplastic, Sgd
from bnnsim.training.regularisers import DirectRegulariser
from bnnsim.training.schedules import Constant, Cosine, Exponential, Step

PROGRAM = """
import sys, pathlib, tempfile
sys.path.insert(0, {folder!r})
import test_same_bytes as tests
with tempfile.TemporaryDirectory() as folder:
    print(tests.n_fast_features(), *tests.digests(pathlib.Path(folder)).values())
"""
# each library's own switch; one that is not there, or not of this kind of CPU, leaves it as it is
LIMITED = {"OPENBLAS_CORETYPE": "Nehalem", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4"}
DENSE, CONV = "FC40 FC20 FC10", "C4 MP2 FC20 FC10"


class Halved(SwishSign):
    """An estimator that no kernel knows, of one that ships."""

    def pseudo_gradient(self, y):
        return super().pseudo_gradient(y) / 2


# name: (layers, settings of the model, settings of fit). Every loss, optimizer, precision, schedule and estimator
CASES = {
    "cross entropy": (DENSE, {}, lambda: dict(optimizer=Adam(), schedule=Cosine())),
    "its conv, float32": (CONV, {}, lambda: dict(optimizer=Bop(), schedule=Exponential(0.361), precision="float32",
                                                 regulariser=DirectRegulariser(0.1, 3.0))),
    "margin cross entropy": (DENSE, dict(output_norm=False), lambda: dict(
        optimizer=Bop(tau=1e-5), schedule=Step(1, 0.37), loss=MarginCrossEntropy(7.7, 13.3), precision="float32")),
    "its conv": (CONV, dict(output_norm=False, ste="swish"), lambda: dict(
        optimizer=Sgd(), schedule=Exponential(0.77), loss=MarginCrossEntropy(), flip_rate=0.1, gradient="native",
        augment=True)),
    "modified hinge": (DENSE, dict(output_norm=False, ste="approx"), lambda: dict(
        optimizer=Sgd(0.01), schedule=Constant(), loss=ModifiedHinge(12.3), faults=StuckAt(0.05, 0.02))),
    "squared hinge": (CONV, dict(ste=Halved(3.0)), lambda: dict(
        optimizer=Adam(0.01, 0.87, 0.97), schedule=Cosine(), loss=SquaredHinge(1.1), keep="best")),
    "own estimator": (DENSE, dict(ste=Clipped()), lambda: dict(
        optimizer=Metaplastic(0.01, m=3.0), schedule=Step(2, 0.9), regulariser=DirectRegulariser(0.3, 5.0),
        precision="float32"))}


def trained(name, folder):
    """Bytes of a network, its history, its checkpoint and what adaptation makes of it."""
    spec, of_model, settings = CASES[name]
    model, split, path = build(spec, (1, 6, 6), rng=1, **of_model), small_split(300), folder / f"{name}.h5"
    history = fit(model, split, 4, small_split(40, 2), 5, batch_size=32, checkpoint=path, progress=False, **settings())
    with h5py.File(path) as file:
        yield state(model, history) + bytes(file.attrs["checksum"])
    yield state(rescale_thresholds(model, 0.0, 0.1), reestimate_batch_norm(model, split, BitFlips(0.1), 1).arrays())


def functions():
    """What longer trainings ask for; of schedules and powers some of the few points where glibc 2.36 differs."""
    rng = np.random.default_rng(0)
    yield np.concatenate([exp(rng.uniform(-30, 0, 20000)), log(rng.uniform(0, 20, 20000)), tanh(rng.normal(size=9999))])
    yield np.array([Cosine().factor(i / 33, 7) for i in range(7 * 33)])
    yield np.array([Exponential(0.132).factor(i / 10, 4) for i in range(40)])
    yield np.array([power(0.999, 3856), power(0.999, 4992), power(0.9, 348)])


def digests(folder):
    """Of each case by name, in hexadecimal."""
    found = {name: hashlib.sha256(b"".join(trained(name, folder))).hexdigest() for name in CASES}
    return found | {"functions": hashlib.sha256(b"".join(each.tobytes() for each in functions())).hexdigest()}


def fast_features():
    """Instructions that NumPy would choose on this CPU."""
    return [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__.get(name)]


def n_fast_features():
    return len(fast_features())


def test_libraries_with_fewer_instructions_train_the_same_networks(tmp_path):
    """Losses in histories and checkpoints once changed with NumPy's exp, log and tanh."""
    package, environment = Path(bnnsim.__file__).parents[1], dict(LIMITED)
    if _jit.NUMBA.CACHE_DIR:
        environment["NUMBA_CACHE_DIR"] = _jit.NUMBA.CACHE_DIR
    if fast_features():
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(fast_features())
    n_features, *found = run(PROGRAM.format(folder=str(Path(__file__).parent)), package, **environment)
    assert n_features == "0" and dict(zip(CASES | {"functions": 0}, found)) == digests(tmp_path)


def test_what_another_cpu_trained_is_trained_here():
    """The file of the tests' small network, byte by byte: whichever CPU runs this, another one trained it."""
    assert trained_small().checksum == small().checksum


# ---------------------------------------------------------------- and no other functions come in

LIBRARY = set("exp exp2 expm1 log log2 log10 log1p pow power float_power sin cos tan sinh cosh tanh arctan arctanh "
              "hypot cbrt erf erfc logaddexp dot vdot inner matmul tensordot linalg".split())
DRAWN = {"normal", "standard_normal", "exponential", "uniform"}  # by NumPy's C code


def asks_a_library(text):
    """What of a source differs from CPU to CPU; powers with a number for their exponent are products."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and (node.attr in DRAWN or node.attr in LIBRARY and ast.unparse(node) in (
                f"np.{node.attr}", f"math.{node.attr}")):
            yield ast.unparse(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not isinstance(node.right, ast.Constant):
            yield ast.unparse(node)


def test_training_asks_no_math_library():
    package = Path(bnnsim.__file__).parent
    folders = "training/**", "kernels", "kernels/words", "kernels/forward", "kernels/gradients", "kernels/norm", \
        "kernels/real", "packed/operations"
    files = [file for folder in folders for file in package.glob(f"{folder}/*.py")]
    found = {str(file.relative_to(package)): list(asks_a_library(file.read_text("utf-8"))) for file in files}
    signs = {"kernels/elementary.py": ["(-1.0) ** i"]}          # exact
    assert len(files) > 40 and {name: each for name, each in found.items() if each} == signs


def test_the_search_finds_what_it_should():
    text = "[np.exp(x), math.cos(x), b ** n, rng.uniform(), x ** 2, np.sqrt(x), elementary.exp(x)]"
    assert set(asks_a_library(text)) == {"np.exp", "math.cos", "b ** n", "rng.uniform"}
