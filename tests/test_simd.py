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
from bnnsim.kernels import _jit, simd

pytestmark = pytest.mark.skipif(_jit.JIT_OFF, reason="NUMBA_DISABLE_JIT=1: tiles exist only in compiled code")
PACKAGE = Path(bnnsim.__file__).parent
GARBAGE = 77


@pytest.fixture
def rng():
    return np.random.default_rng(24)


def words(rng, *shape):
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


# tiles

TILES = {8: (simd.xnor_tile_8, simd.xnor_tile_8_plain), 1: (simd.xnor_tile_1, simd.xnor_tile_1_plain)}


def compiled(tile, n_args):
    """Python function that calls a tile; intrinsics can only be called from compiled code."""
    names = ", ".join(f"a{i}" for i in range(n_args))
    scope = {"tile": tile}
    exec(f"def call({names}):\n    return tile({names})", scope)
    return numba.njit(scope["call"])


XNOR_CALL = {n_rows: compiled(tile, 10) for n_rows, (tile, _) in TILES.items()}


@pytest.mark.parametrize("n_rows", [8, 1])
@pytest.mark.parametrize("n_words, x_off, x_extra, p_off, o_off, o_stride",
                         [(0, 0, 0, 0, 0, 16), (1, 0, 0, 0, 0, 16), (3, 2, 1, 16, 5, 24),
                          (17, 7, 2, 48, 1, 17)])
def test_xnor_tile(rng, n_rows, n_words, x_off, x_extra, p_off, o_off, o_stride):
    """With offsets and strides, and without a write outside its 16 columns."""
    x, panel = words(rng, x_off + 8 * (n_words + x_extra)), words(rng, p_off + 16 * n_words + 1)
    comp_out, ref_out = np.full((2, o_off + 8 * o_stride + 16), GARBAGE, np.int32)
    args = x, x_off, n_words + x_extra, panel, p_off, n_words, np.int32(64 * n_words - 5)
    XNOR_CALL[n_rows](*args, comp_out, o_off, o_stride)
    TILES[n_rows][1](*args, ref_out, o_off, o_stride)
    np.testing.assert_array_equal(comp_out, ref_out)


MADD_CALLS = [compiled(simd.madd_tile, 8), compiled(numba.njit(simd.madd_tile_plain), 8)]
MADD16_CALLS = [compiled(simd.madd16_tile, 8), compiled(numba.njit(simd.madd16_tile_plain), 8)]
MADD_SHAPES = pytest.mark.parametrize("n_pairs, a_off, a_extra, p_off, o_off",
                                      [(0, 0, 0, 0, 0), (1, 0, 0, 0, 0), (5, 3, 1, 8, 7), (33, 1, 2, 4, 64)])


def madd_operands(rng, n_pairs, a_off, a_extra, o_off):
    """(a, out), `a` at both ends of its range; out holds sums already."""
    a = rng.integers(-32767, 32768, a_off + 6 * (2 * n_pairs + a_extra) + 1).astype(np.int16)
    a[::3] = rng.choice(np.array([-32767, 32767], np.int16), a[::3].shape)
    return a, rng.integers(-10**6, 10**6, o_off + 6 * 64 + 5).astype(np.int32)


@MADD_SHAPES
@pytest.mark.parametrize("call", MADD_CALLS, ids=["tile", "compiled twin"])
def test_madd_tile(rng, call, n_pairs, a_off, a_extra, p_off, o_off):
    a, ref_out = madd_operands(rng, n_pairs, a_off, a_extra, o_off)
    panel = rng.integers(0, 2**32, p_off + 4 * n_pairs + 1, dtype=np.uint32)
    comp_out = ref_out.copy()
    call(a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs, comp_out, o_off)
    simd.madd_tile_plain(a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs, ref_out, o_off)
    np.testing.assert_array_equal(comp_out, ref_out)


@MADD_SHAPES
@pytest.mark.parametrize("call", MADD16_CALLS, ids=["tile", "compiled twin"])
def test_madd16_tile(rng, call, n_pairs, a_off, a_extra, p_off, o_off):
    """p_off counts pairs here."""
    a, ref_out = madd_operands(rng, n_pairs, a_off, a_extra, o_off)
    panel = rng.integers(-255, 256, 2 * (p_off + 64 * n_pairs) + 1).astype(np.int16)
    comp_out = ref_out.copy()
    call(a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs, comp_out, o_off)
    simd.madd16_tile_plain(a, a_off, 2 * n_pairs + a_extra, panel, p_off, n_pairs, ref_out, o_off)
    np.testing.assert_array_equal(comp_out, ref_out)


def test_compare_word(rng):
    """Signed, and >= where both are equal, at the ends of int32 too."""
    ends = np.array([-2**31, -1, 0, 1, 2**31 - 1], np.int32)
    h, theta = rng.choice(ends, (2, 3, 70))
    call = compiled(simd.compare_word, 4)
    for h_off, t_off in ((0, 0), (5, 3), (140, 6)):
        assert call(h, h_off, theta[0], t_off) == simd.compare_word_plain(h, h_off, theta[0], t_off)


def test_sign_word(rng):
    """sign(-0.0) is +1; NaN is -1 in both."""
    values = rng.choice(np.array([0.0, -0.0, 1e-45, -1e-45, 1, -1, np.inf, -np.inf, np.nan], np.float32), 100)
    call = compiled(simd.sign_word, 2)
    for offset in (0, 1, 36):
        assert call(values, offset) == simd.sign_word_plain(values, offset)


def test_multiply_high(rng):
    call = compiled(simd.multiply_high, 2)
    ends = np.array([0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1], np.uint64)
    for a in np.concatenate([ends, words(rng, 5)]):
        for b in np.concatenate([ends, words(rng, 5)]):
            assert call(a, b) == simd.multiply_high_plain(a, b)


@pytest.mark.parametrize("values", [np.zeros((64, 2), np.float32)[:, 0], np.zeros(64, np.int32)],
                         ids=["strided", "int32"])
def test_a_tile_refuses_an_array_that_it_would_misread(values):
    """It reads raw memory: a strided or an integer array would silently give other numbers."""
    with pytest.raises(numba.core.errors.NumbaError, match="C-contiguous"):
        compiled(simd.sign_word, 2)(values, 0)


# other processes

RESULTS_PROGRAM = """
import hashlib
import kernel_calls as calls
import numpy as np
from bnnsim import layers
from bnnsim.kernels import simd
rng = np.random.default_rng(0)
x, weights = calls.signs(rng, 9, 130), calls.signs(rng, 17, 130)
images = np.full((5, 1, 4, 4), 250, np.uint8)
parts = [calls.pack(x), calls.xnor_dense(x, weights),
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
from bnnsim.kernels import packing
words = np.zeros((1, 1), np.uint64)
packing.pack_latent(np.zeros((1, 64), np.float32), words, 0, 1)
print(hex(words[0, 0]), sum(packing.pack_latent.stats.cache_hits.values()))
"""


def run(program, folder, **environment):
    """Words that a program prints in a process of its own, with `folder` in its path; warnings are errors."""
    ours = ("NUMBA", "XDG", "PYTHON")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    clean["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path(__file__).parent)])
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
    """pack_latent is in packing.py, the comparison that it calls in simd.py: Numba's stamp would miss it."""
    all_plus, all_minus = hex(2**64 - 1), "0x0"
    assert run(PACK_PROGRAM, copy) == [all_plus, "0"]
    before = cached(copy)
    assert before and run(PACK_PROGRAM, copy) == [all_plus, "1"], "the second run must load, not compile"
    assert cached(copy) == before
    source = copy / "bnnsim" / "kernels" / "simd.py"
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
