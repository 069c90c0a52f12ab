"""Gradients of convolutions by products of byte matrices against `naive`: exact, in any number of threads."""

from itertools import cycle

import gradient_calls as calls
import naive
import numpy as np
import pytest
from llvmlite import binding
from kernel_calls import geometry, gradients, in_threads, pack, rows, signs
from test_gradients import CONV_NAMES, FULL, SIZES, behind_pool, check_behind_a_pool, conv_cases, same

import bnnsim.kernels.gradients.byte_tile as byte_tile
import bnnsim.kernels.gradients.matrix_conv as matrix_conv
import bnnsim.kernels.gradients.pool as pool
import bnnsim.training.gradients as products
from bnnsim import threads
from bnnsim.kernels._twins import target_has
from bnnsim.packed.forward import conv_geometry

REFUSED = not target_has("amx-int8") and binding.get_host_cpu_features().get("amx-int8", False)
pytestmark = pytest.mark.skipif(REFUSED, reason="the system refuses AMX's registers: what is compiled without them "
                                "would stay in the cache, for processes that have them")

SMALL = [((1, 3, 3), (65, 3), (3, 3), 1, 1, 0), ((2, 3, 4), (63, 17), (3, 2), 1, 1, 1)]
OF_STRIDE_1 = [(image, channels, kernel, 1, min(padding, kernel[1] - 1), pad_value)
               for image, channels, kernel, stride, padding, pad_value in conv_cases(SIZES) if stride == 1]


@pytest.fixture
def rng():
    return np.random.default_rng(22)


@rows(CONV_NAMES, SMALL, OF_STRIDE_1)
def test_conv_gradients(rng, image, channels, kernel, stride, padding, pad_value):
    """Rows of positions that no block of 16 ends with, channels and units that no block is full of."""
    x, weights = signs(rng, *image, channels[0]), signs(rng, channels[1], *kernel, channels[0])
    dh = gradients(rng, *naive.conv(x, weights, stride, padding, pad_value).shape)
    dh[:, 0, 0, 0] = FULL                                       # of each image: its unit is 1
    same(in_threads(calls.matrix_conv_dx, dh, calls.NO_WINNER, 1, weights, x.shape, stride, padding),
         naive.conv_dx(dh, weights, x.shape, stride, padding).astype(np.float32))
    same(in_threads(calls.matrix_conv_dweight, dh, calls.NO_WINNER, 1, x, kernel, stride, padding, pad_value),
         naive.conv_dweight(dh, x, kernel, stride, padding, pad_value))


@rows(CONV_NAMES + ", size", [((1, 5, 7), (65, 3), (3, 3), 1, 1, 0, 2), ((2, 7, 10), (1, 17), (2, 2), 1, 1, -1, 3)],
      [((n, height + 4, width + 6), *rest, size)
       for ((n, height, width), *rest), size in zip(OF_STRIDE_1, cycle((2, 3)))])
def test_conv_gradients_behind_a_max_pool(rng, image, channels, kernel, stride, padding, pad_value, size):
    check_behind_a_pool(rng, calls.matrix_conv_dx, calls.matrix_conv_dweight, image, channels, kernel, stride, padding,
                        pad_value, size)


@pytest.mark.parametrize("n_units, n_taps", [(65_535, 1), (7281, 9)])
@pytest.mark.parametrize("sign", [1, -1])
def test_conv_dx_of_as_many_units_and_taps_as_fit_is_exact(n_units, n_taps, sign):
    """65,535 gradients of full scale reach one input."""
    side = int(n_taps**0.5)
    g = geometry((1, 5, 5, 1), (side, side), 1, side // 2)
    assert matrix_conv.fits_dx(g, n_units) and not matrix_conv.fits_dx(g, n_units + 1)
    g = geometry((1, 2 * side - 1, 2 * side - 1, 1), (side, side), 1, 0)
    dh, weights = np.full((1, side, side, n_units), sign * FULL), np.ones((n_units, side, side, 1), np.int8)
    comp = calls.matrix_conv_dx(dh, calls.NO_WINNER, 1, weights, (1, 2 * side - 1, 2 * side - 1, 1), 1, 0)
    assert comp[0, side - 1, side - 1, 0] == np.float32(sign * n_units * n_taps * FULL)


@pytest.mark.skipif(not byte_tile.USED, reason="this CPU has no products of byte matrices: their twin takes minutes")
def test_conv_dweight_of_very_many_positions_is_widened():
    """8.45 million low bytes of 255 wrap an int32; more chunks follow those after which they are widened."""
    shape = (2000, 65, 65, 1)
    assert np.prod(shape) > byte_tile.MAX_ITEMS + matrix_conv.CHUNK and FULL & 255 == 255
    dh, x = np.full(shape, FULL), np.ones(shape, np.int8)
    with threads(1):
        comp = calls.matrix_conv_dweight(dh, calls.NO_WINNER, 1, x, (1, 1), 1, 0, -1)
    same(comp, [[[[FULL * int(np.prod(shape))]]]])


@pytest.mark.parametrize("kernel, stride, padding, dilation, fits", [
    ((3, 3), 1, (1, 1, 1, 1), 1, True), ((3, 3), 1, (2, 2, 2, 2), 1, True), ((3, 3), 1, (3, 3, 3, 3), 1, False),
    ((2, 2), 1, (2, 2, 2, 2), 2, True), ((1, 1), 1, (0, 0, 0, 0), 1, True), ((1, 1), 1, (1, 1, 1, 1), 1, False),
    ((3, 3), 2, (1, 1, 1, 1), 1, False), ((3, 2), 1, (0, 1, 2, 0), 1, True), ((2, 3), 1, (1, 0, 0, 2), 1, True),
    ((2, 2), 1, (2, 0, 0, 0), 1, False), ((2, 2), 1, (0, 2, 0, 0), 1, False), ((2, 2), 1, (0, 0, 2, 0), 1, False),
    ((2, 2), 1, (0, 0, 0, 2), 1, False), ((5, 5), 1, (0, 0, 0, 0), 1, False), ((6, 1), 1, (0, 0, 0, 0), 1, False)])
def test_convolutions_whose_dx_they_take(rng, monkeypatch, kernel, stride, padding, dilation, fits):
    """By stride, by padding on each side, by how much would be zeros; and with groups there are none that they take.

    The others go to lookups, and whichever it is, gradients are the same bytes; dW takes all.
    """
    g, taken = conv_geometry(6, 7, kernel, (stride, stride), padding, (dilation, dilation)), []
    assert matrix_conv.fits_dx(g, 33) == fits
    x, weights = signs(rng, 2, 6, 7, 70), signs(rng, 33, *kernel, 70)
    dh = rng.normal(size=(2, g.out_height, g.out_width, 33)).astype(np.float32)
    for name in ("conv_dx", "conv_dweight"):
        whole = getattr(matrix_conv, name)
        monkeypatch.setattr(matrix_conv, name, lambda *args, name=name, whole=whole: (taken.append(name), whole(*args)))
    found = []
    for used in (True, False):
        monkeypatch.setattr(byte_tile, "USED", used)
        out = np.empty((33, *kernel, 70), np.float32)
        products.conv_dweight(dh, pack(x), 70, g, 0, "fixed16", out)
        found.append((products.conv_dx(dh, pack(weights), 70, g), out))
    assert set(taken) == ({"conv_dx", "conv_dweight"} if fits else {"conv_dweight"})
    for comp, ref in zip(*found):
        assert comp.tobytes() == ref.tobytes()


def test_groups_are_left_to_lookups(rng, monkeypatch):
    g, weights = geometry((2, 6, 7, 128), (3, 3), 1, 1), pack(signs(rng, 20, 3, 3, 64))
    dh, found = rng.normal(size=(2, 6, 7, 20)).astype(np.float32), []
    for used in (True, False):
        monkeypatch.setattr(byte_tile, "USED", used)
        found.append(products.conv_dx(dh, weights, 64, g, groups=2))
    assert found[0].shape == (2, 6, 7, 128) and found[0].tobytes() == found[1].tobytes()


def test_a_pooled_gradient_is_the_same_by_both(rng, monkeypatch):
    x, weights, dout, winner, whole = behind_pool(rng, (2, 7, 9), (70, 33), (3, 3), 1, 1, 2)
    dh = pool.Pooled(rng.normal(size=dout.shape).astype(np.float32), winner, 2, whole)
    g, found = geometry(x.shape, (3, 3), 1, 1), []
    for used in (True, False):
        monkeypatch.setattr(byte_tile, "USED", used)
        out = np.empty((33, 3, 3, 70), np.float32)
        products.conv_dweight(dh, pack(x), 70, g, -1, "fixed16", out)
        found.append((products.conv_dx(dh, pack(weights), 70, g), out))
    for comp, ref in zip(*found):
        assert comp.tobytes() == ref.tobytes()
