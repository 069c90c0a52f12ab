"""Every form of an operation that this CPU can run gives the bytes of the plain twin; and which form is chosen.

A new operation fails until it has its row in twin_arguments; a new tile of an operation is run on the row there is.
"""

import functools
from pathlib import Path

import numba
import numpy as np
import pytest
from own_process import run
from twin_arguments import ARGUMENTS

import bnnsim.kernels._twins as twins
import bnnsim.kernels.words.vector_words as vector_words
from bnnsim.kernels import are_compiled, operations

OPERATIONS = operations()
COMPILED = pytest.mark.skipif(not are_compiled(), reason="NUMBA_DISABLE_JIT=1: tiles exist only in compiled code")


@functools.cache
def compiled(form, n_args):
    """Python function that calls a tile, from code that can make no arrays, as leaves of kernels cannot."""
    names = ", ".join(f"a{i}" for i in range(n_args))
    scope = {"form": form}
    exec(f"def call({names}):\n    return form({names})", scope)
    return numba.njit(_nrt=False)(scope["call"])


# every form against its twin

def forms():
    """(operation, form as its name, form) of all that this CPU can run but the plain twins themselves."""
    for name, operation in OPERATIONS.items():
        yield from (pytest.param(name, tile.code, id=f"{name}, {tile}") for tile in operation.tiles if tile.runs_here)
        if operation.compiles_twin:
            yield pytest.param(name, numba.njit(_nrt=False)(operation.plain), id=f"{name}, compiled twin")


def same_bytes(comp, ref):
    np.testing.assert_array_equal(comp, ref)
    assert np.asarray(comp).tobytes() == np.asarray(ref).tobytes(), "equal numbers of other bits: -0.0, or another NaN"


def test_every_operation_has_a_row_of_arguments():
    assert set(ARGUMENTS) == set(OPERATIONS), "an operation came or went: see ARGUMENTS"


def copied(args):
    return [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]


@functools.lru_cache(maxsize=1)                                 # forms of one operation come after one another
def expected(name):
    """Of each row of arguments: these, and what the plain twin returns and makes of them."""
    found = []
    for args in ARGUMENTS[name](np.random.default_rng(24)):
        ref_args = copied(args)
        with np.errstate(over="ignore"):
            found.append((args, OPERATIONS[name].plain(*ref_args), ref_args))
    return found


@COMPILED
@pytest.mark.parametrize("name, form", list(forms()))
def test_a_form_gives_the_bytes_of_the_plain_twin(name, form):
    """Returned, and written to any of its arguments."""
    differs = False
    for args, ref, ref_args in expected(name):
        comp_args = ref_args if name.endswith("aligned") else copied(args)          # of one address
        comp = compiled(form, len(args))(*comp_args)
        assert (comp is None) == (ref is None)
        if ref is not None:
            same_bytes(comp, ref)
        for comp_arg, ref_arg, arg in zip(comp_args, ref_args, args):
            if isinstance(arg, np.ndarray):
                same_bytes(comp_arg, ref_arg)
                differs = differs or not np.array_equal(ref_arg, arg, equal_nan=True)
    assert differs or ref is not None, "nothing was computed"


@COMPILED
@pytest.mark.parametrize("values", [np.zeros((64, 2), np.float32)[:, 0], np.zeros(64, np.int32)],
                         ids=["strided", "int32"])
def test_a_tile_refuses_an_array_that_it_would_misread(values):
    """It reads raw memory: a strided or an integer array would silently give other numbers."""
    with pytest.raises(numba.core.errors.NumbaError, match="C-contiguous"):
        compiled(vector_words.sign_word, 2)(values, 0)


# the choice

@pytest.mark.jit_off
def test_kernels_use_the_first_tile_that_runs_or_the_twin():
    for name, operation in OPERATIONS.items():
        usable = [tile for tile in operation.tiles if tile.runs_here and are_compiled()]
        assert operation.in_use == (usable[0] if usable else None), name


FAST, MEDIUM = twins.Tile(len, ("avx512vnni", "avx512bw")), twins.Tile(max, ("avx2",))


@pytest.mark.jit_off
@pytest.mark.parametrize("features, in_use", [
    ({"avx512vnni", "avx512bw", "avx2"}, FAST), ({"avx512bw", "avx2"}, MEDIUM), ({"neon"}, None), (set(), None)])
def test_the_choice_is_by_what_the_cpu_has(features, in_use, monkeypatch):
    """A tile all of whose needs are there, the one named first; the twin where there is none, or no compilation."""
    def plain():
        return 5

    registered = {}
    monkeypatch.setattr(twins, "_OPERATIONS", registered)
    monkeypatch.setattr(twins, "target_has", features.__contains__)
    monkeypatch.setattr(twins, "JIT_OFF", False)
    chosen = twins.twin_of(FAST, MEDIUM)(plain)
    (name, operation), = registered.items()
    assert name.endswith(".plain") and operation == ((FAST, MEDIUM), plain, in_use) and operation.compiles_twin
    assert chosen is in_use.code if in_use else chosen() == 5
    monkeypatch.setattr(twins, "JIT_OFF", True)
    assert twins.twin_of(FAST, MEDIUM)(plain)() == 5


REFUSE = """
import ctypes
class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
room = ctypes.create_string_buffer(8192)
if {small}:                                             # for what AMX's registers would be saved in
    assert ctypes.CDLL(None).sigaltstack(ctypes.byref(Stack(ctypes.addressof(room), 0, 8192)), None) == 0
import bnnsim.kernels._twins as twins
import bnnsim.kernels.gradients.byte_tile as byte_tile
print(twins.target_has("amx-int8"), byte_tile.USED)
"""


@COMPILED
@pytest.mark.skipif(not twins.target_has("amx-int8"), reason="no AMX here, or none that this process may use")
@pytest.mark.parametrize("small, has", [(False, True), (True, False)])
def test_where_linux_refuses_the_registers_of_amx_nothing_uses_them(small, has):
    """It would end in an illegal instruction. Linux refuses where a stack for signals is too small."""
    package = Path(twins.__file__).parents[2]
    assert run(REFUSE.format(small=small), package) == [str(has), str(has)]


@pytest.mark.jit_off
@pytest.mark.parametrize("settings, feature, has", [
    (("+avx2,+fma", True), "avx2", True), (("+avx2,+fma", True), "avx512f", False), (("", True), "avx2", False),
    ((None, True), "avx2", True), ((None, True), "neon", False), ((None, False), "avx2", False),
    ((None, False), "sse3", True)])
def test_features_are_those_that_numba_compiles_for(settings, feature, has, monkeypatch):
    """NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX=0 count: code for another CPU would end in an illegal instruction."""
    monkeypatch.setattr(twins, "BASELINE", ())                      # what every CPU of a kind has: neon on ARM
    monkeypatch.setattr(twins.NUMBA, "CPU_FEATURES", settings[0])
    monkeypatch.setattr(twins.NUMBA, "ENABLE_AVX", settings[1])
    monkeypatch.setattr(twins.binding, "get_host_cpu_features", lambda: {"avx2": True, "sse3": True, "neon": False})
    assert twins.target_has.__wrapped__(feature) == has
