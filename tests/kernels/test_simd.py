"""The vector tiles against their plain twins, here and on a generic CPU; and the cache of compiled code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import bnnsim
import bnnsim.kernels._jit as _jit
import bnnsim.kernels._llvm as _llvm
import bnnsim.kernels.gradients.first_layer as first_layer
import bnnsim.kernels.words.vector_words as vector_words
from bnnsim.kernels.forward.tiles import PIXEL_TILES, XNOR_TILES, _make_pixel_tile, _make_xnor_tile

pytestmark = pytest.mark.skipif(_jit.JIT_OFF, reason="NUMBA_DISABLE_JIT=1: tiles exist only in compiled code")
PACKAGE = Path(bnnsim.__file__).parent
GARBAGE = -77


@pytest.fixture
def rng():
    return np.random.default_rng(24)


def words(rng, *shape):
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


# tiles

def compiled(tile, n_args):
    """Python function that calls a tile; intrinsics can only be called from compiled code."""
    names = ", ".join(f"a{i}" for i in range(n_args))
    scope = {"tile": tile}
    exec(f"def call({names}):\n    return tile({names})", scope)
    return numba.njit(scope["call"])


TABLE_ENDS = np.array([-2**31, -1, 0, 2**31 - 1])


def forward_operands(rng, middle):
    """Rows at odd places, in any order, of table rows in any order; entries at the ends of int32 and amid the sums."""
    x_at = rng.permutation(np.arange(12) * 5 + 3)
    table = np.where(rng.random(240) < 0.3, rng.choice(TABLE_ENDS, 240), rng.integers(middle - 30, middle + 30, 240))
    return x_at, rng.choice(np.array([0, 80, 160]), 12), table.astype(np.int32)


@pytest.mark.parametrize("to_bits", [True, False])
@pytest.mark.parametrize("n_runs, n_steps, run_stride, p_off, t_off, o_stride",
                         [(0, 3, 1, 0, 0, 16), (1, 1, 0, 0, 16, 16), (1, 17, 0, 16, 0, 19), (3, 2, 9, 5, 3, 17)])
@pytest.mark.parametrize("n_rows", [8, 1])
def test_xnor_tile(rng, n_rows, n_runs, n_steps, run_stride, p_off, t_off, o_stride, to_bits):
    """With runs, offsets and strides, and without a write outside its 16 columns."""
    x, panel = words(rng, 300), words(rng, p_off + 16 * max(n_runs * n_steps, 1) + 1)
    x_at, table_at, table = forward_operands(rng, 32 * n_runs * n_steps)
    comp_out, ref_out = np.full((2, 400), GARBAGE).astype(np.uint64 if to_bits else np.int32)
    args = x, x_at, 2, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off
    with np.errstate(over="ignore"):
        XNOR_TILES[n_rows, to_bits](*args, ref_out, 7, o_stride)
    compiled(_make_xnor_tile(n_rows, to_bits), 14)(*args, comp_out, 7, o_stride)
    np.testing.assert_array_equal(comp_out, ref_out)
    assert (ref_out != GARBAGE).any()


@pytest.mark.parametrize("to_bits", [True, False])
@pytest.mark.parametrize("n_runs, n_steps, run_stride, p_off, t_off, o_stride",
                         [(0, 3, 1, 0, 0, 64), (1, 1, 0, 0, 16, 64), (1, 17, 0, 16, 0, 67), (3, 2, 9, 5, 3, 65)])
@pytest.mark.parametrize("size", [(6, 4), (6, 1), (1, 1)])
def test_pixel_tile(rng, size, n_runs, n_steps, run_stride, p_off, t_off, o_stride, to_bits):
    """The tile and the compiled twin, that CPUs without its instruction run, against the plain twin."""
    x = rng.choice(np.array([0, 1, 254, 255], np.uint8), 300)
    panel = rng.choice(np.array([-1, 0, 1], np.int8), (p_off + 64 * max(n_runs * n_steps, 1) + 1, 4))
    panel = panel.view(np.uint32)[:, 0]
    x_at, table_at, table = forward_operands(rng, 0)
    twin = PIXEL_TILES[*size, to_bits]
    args = x, x_at, 2, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off
    ref_out = np.full(500, GARBAGE).astype(np.uint64 if to_bits else np.int32)
    with np.errstate(over="ignore"):
        twin(*args, ref_out, 7, o_stride)
    tiles = [numba.njit(twin)] + [_make_pixel_tile(*size, to_bits)] * _llvm.HAS_VNNI
    for tile in tiles:
        comp_out = np.full(500, GARBAGE).astype(ref_out.dtype)
        compiled(tile, 14)(*args, comp_out, 7, o_stride)
        np.testing.assert_array_equal(comp_out, ref_out)


MADD16_CALLS = [compiled(first_layer.madd16_tile, 8), compiled(numba.njit(first_layer.madd16_tile_plain), 8)]
MADD_SHAPES = pytest.mark.parametrize("n_pairs, a_off, a_extra, p_off, o_off",
                                      [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (5, 3, 1, 8, 7), (33, 1, 2, 4, 64)])


def madd_operands(rng, n_pairs, a_off, a_extra, o_off):
    """(a, out), `a` at both ends of its range; out holds sums already."""
    a = rng.integers(-32767, 32768, a_off + 6 * (2 * n_pairs + a_extra) + 1).astype(np.int16)
    a[::3] = rng.choice(np.array([-32767, 32767], np.int16), a[::3].shape)
    return a, rng.integers(-10**6, 10**6, o_off + 6 * 64 + 5).astype(np.int32)


@MADD_SHAPES
@pytest.mark.parametrize("call", MADD16_CALLS, ids=["tile", "compiled twin"])
def test_madd16_tile(rng, call, n_pairs, a_off, a_extra, p_off, o_off):
    """p_off counts pairs here."""
    a, ref_out = madd_operands(rng, n_pairs, a_off, a_extra, o_off)
    panel = rng.integers(-255, 256, 2 * (p_off + 64 * n_pairs) + 1).astype(np.int16)
    comp_out = ref_out.copy()
    call(a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs, comp_out, o_off)
    first_layer.madd16_tile_plain(a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs, ref_out, o_off)
    np.testing.assert_array_equal(comp_out, ref_out)


def test_sign_word(rng):
    """sign(-0.0) is +1; NaN is -1 in both."""
    values = rng.choice(np.array([0.0, -0.0, 1e-45, -1e-45, 1, -1, np.inf, -np.inf, np.nan], np.float32), 100)
    call = compiled(vector_words.sign_word, 2)
    for offset in (0, 1, 36):
        assert call(values, offset) == vector_words.sign_word_plain(values, offset)


def test_multiply_high(rng):
    call = compiled(vector_words.multiply_high, 2)
    ends = np.array([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1], np.uint64)
    for a in np.concatenate([ends, words(rng, 5)]):
        for b in np.concatenate([ends, words(rng, 5)]):
            assert call(a, b) == vector_words.multiply_high_plain(a, b)


@pytest.mark.parametrize("values", [np.zeros((64, 2), np.float32)[:, 0], np.zeros(64, np.int32)],
                         ids=["strided", "int32"])
def test_a_tile_refuses_an_array_that_it_would_misread(values):
    """It reads raw memory: a strided or an integer array would silently give other numbers."""
    with pytest.raises(numba.core.errors.NumbaError, match="C-contiguous"):
        compiled(vector_words.sign_word, 2)(values, 0)


# other processes

RESULTS_PROGRAM = """
import hashlib
import kernel_calls as calls
import numpy as np
from bnnsim import layers
from bnnsim.kernels import _llvm as simd
rng = np.random.default_rng(0)
x, weights = calls.signs(rng, 9, 130), calls.signs(rng, 17, 130)
images = np.full((5, 1, 4, 4), 250, np.uint8)
parts = [calls.pack(x), calls.xnor_dense(x, weights),
         calls.pixels_dense(images, 7, weights[:, :16]), calls.pixels_conv(images, 128, weights[:, :9].reshape(
             17, 3, 3, 1), 1, 1, -1),
         calls.lookup_dense(calls.gradients(rng, 7, 9), x, np.ones(7)),
         calls.pixels_dense_dweight(calls.gradients(rng, 7, 5), images, 0, np.ones(7)),
         calls.conv_dweight(calls.gradients(rng, 2, 5, 7, 17), calls.signs(rng, 2, 5, 7, 65), (3, 3), 1, 1, 0),
         calls.conv_dx(calls.gradients(rng, 1, 5, 7, 17), calls.signs(rng, 17, 3, 3, 65), (1, 5, 7, 65), 1, 1),
         calls.quantise_rows(rng.normal(size=(3, 2, 17)).astype(np.float32))[0],
         calls.flip_masks(5, 130, 1, 2, 2**62)]
layer = layers.Dense(130, 17, rng)
cache = layer.forward_train(calls.pack(calls.signs(rng, 9, 130)))[1]
dx, found = layer.backward(rng.normal(size=(9, 17)).astype(np.float32), cache, "float32")
parts += [dx, found["weight"]]
print(simd.HAS_VNNI, hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest())
"""
PACK_PROGRAM = """
import numpy as np
from bnnsim.kernels.words import packing
words = np.zeros((1, 1), np.uint64)
packing.pack_latent(np.zeros((1, 64), np.float32), words, 0, 1)
print(hex(words[0, 0]), sum(packing.pack_latent.stats.cache_hits.values()))
"""


def run(program, folder, **environment):
    """Words that a program prints in a process of its own, with `folder` in its path; warnings are errors."""
    ours = ("NUMBA", "XDG", "PYTHON")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    clean["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parents[1])])
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=folder, env=clean | environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_cpu_without_the_instructions_gives_the_same_results(tmp_path):
    """A seed must train the same network on each machine; with NUMBA_CPU_NAME=generic it once aborted."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    _, ref_digest = run(RESULTS_PROGRAM, PACKAGE.parent)
    has_vnni, comp_digest = run(RESULTS_PROGRAM, PACKAGE.parent, NUMBA_CPU_NAME="generic", **cache)
    assert has_vnni == "False" and comp_digest == ref_digest


@pytest.fixture
def copy(tmp_path):
    """A copy of the package without compiled code, in tmp_path / "copy"."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / "bnnsim", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def cached(folder):
    """Names and times of the files that Numba's cache holds under a folder."""
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nb[ic]")}


def test_an_edited_word_operation_is_never_served_stale(copy):
    """pack_latent is in packing.py, the comparison that it calls in vector_words.py: Numba's stamp would miss it."""
    all_plus, all_minus = hex(2**64 - 1), "0x0"
    assert run(PACK_PROGRAM, copy) == [all_plus, "0"]
    before = cached(copy)
    assert before and run(PACK_PROGRAM, copy) == [all_plus, "1"], "the second run must load, not compile"
    assert cached(copy) == before
    source = copy / "bnnsim" / "kernels" / "words" / "vector_words.py"
    assert source.read_text().count('fcmp_ordered(">="') == 1
    source.write_text(source.read_text().replace('fcmp_ordered(">="', 'fcmp_ordered(">"'))
    assert run(PACK_PROGRAM, copy) == [all_minus, "0"]
    assert run(PACK_PROGRAM, copy) == [all_minus, "1"]


def test_without_a_writable_folder_it_runs_uncached_and_silent(copy, tmp_path):
    """Read-only install and home: folders under a regular file stand for them, as root may write anywhere."""
    (copy / "bnnsim" / "kernels" / "__pycache__").write_text("not a folder")
    (tmp_path / "file").write_text("not a folder")
    blocked = str(tmp_path / "file" / "cache")
    for places in ({"XDG_CACHE_HOME": blocked, "NUMBA_CACHE_DIR": blocked}, {"HOME": blocked}):
        assert run(PACK_PROGRAM, copy, **places) == [hex(2**64 - 1), "0"]
    assert not cached(tmp_path)


def test_a_read_only_install_caches_in_the_users_folder(copy, tmp_path):
    (copy / "bnnsim" / "kernels" / "__pycache__").write_text("not a folder")
    for hits in "01":
        assert run(PACK_PROGRAM, copy, HOME=str(tmp_path / "home")) == [hex(2**64 - 1), hits]
    assert cached(tmp_path / "home" / ".cache" / "bnnsim")


def test_a_user_without_a_home_folder_can_import(copy, monkeypatch):
    """As in containers that run under a bare user id: "~" has nothing to stand for."""
    monkeypatch.setattr(_jit, "_FOLDER", copy / "no" / "such")
    monkeypatch.setattr(_jit, "_is_writable", lambda folder: "~" in str(folder))
    monkeypatch.setattr(_jit.os.path, "expanduser", lambda path: path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(_jit.config, "CACHE_DIR", "")
    assert _jit.cache_folder.__wrapped__() is None
