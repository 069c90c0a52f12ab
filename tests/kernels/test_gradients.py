"""Backward kernels, fixed point and optimizer steps against `naive`: exact, in any number of threads.

Gradients enter as 16-bit integers up to +-32767, so that a sum which is not widened in time wraps visibly.
"""

from itertools import cycle, product

import gradient_calls as calls
import naive
import numpy as np
import pytest
from kernel_calls import geometry, gradients, in_threads, pack, rows, signs

import bnnsim.kernels.gradients.byte_tile as byte_tile
import bnnsim.kernels.gradients.lookup_tile as lookup_tile
import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.gradients.pooled_conv as pooled_conv
import bnnsim.training.gradients as products
from bnnsim.kernels import are_compiled

SIZES = (1, 63, 64, 65, 130)
FULL = naive.FULL_SCALE


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


def scaled(total, scale):
    """float32 of exact sums (M, .) times the unit (M,) of each row."""
    return (total * scale.reshape(-1, *[1] * (total.ndim - 1))).astype(np.float32)


# products

@rows("m, r, f", [(1, 1, 1), (7, 5, 65), (6, 2, 64)],
      [(m, r, f) for m, (r, f) in zip(cycle(range(1, 18)), product(SIZES, SIZES))])
def test_dense_gradients(rng, m, r, f):
    """One product gives dX (rows of dH, weights) and dW (columns of dH, activations)."""
    a, operand, scale = gradients(rng, m, r), signs(rng, r, f), rng.random(m)
    same(in_threads(calls.lookup_dense, a, operand, scale), scaled(a @ operand.astype(np.int64), scale))


@pytest.mark.parametrize("n_terms", [65_535, 65_536, 65_537, 131_075])
@pytest.mark.parametrize("sign", [1, -1])
def test_dense_gradient_of_many_rows_is_widened(n_terms, sign):
    """65,539 gradients of full scale wrap an int32: the sum of a large batch would change its sign."""
    a, operand = np.full((1, n_terms), FULL * sign), np.ones((n_terms, 1), np.int8)
    exact = n_terms * FULL * sign
    assert n_terms < 65_539 or abs(exact) > 2**31 - 1
    same(calls.lookup_dense(a, operand, np.ones(1)), [[np.float32(exact)]])


@rows("u, n, shape", [(1, 1, (1, 1, 1)), (7, 5, (2, 3, 3)), (6, 4, (1, 8, 8))],
      [(u, n, (c, 5, 13)) for n, (u, c) in zip(cycle(range(1, 18)), product(SIZES, (1, 2, 3)))])
def test_dense_first_layer_dweight(rng, u, n, shape):
    a, images, scale = gradients(rng, u, n), rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.random(u)
    pixels = naive.pixels(images, 128).reshape(n, -1)
    same(in_threads(calls.pixels_dense_dweight, a, images, 128, scale), scaled(a @ pixels, scale))


@pytest.mark.jit_off
@pytest.mark.parametrize("n_images", [256, 257, 258, 300])
def test_dense_first_layer_dweight_of_bright_images_is_widened(n_images):
    """257 white pixels at full scale wrap an int32: a batch of 300 would push weights the wrong way."""
    images, a = np.full((n_images, 1, 1, 1), 255, np.uint8), np.full((1, n_images), -FULL)
    same(calls.pixels_dense_dweight(a, images, 0, np.ones(1)), [[np.float32(-FULL * 255 * n_images)]])


def conv_cases(channels):
    """((N, H, W), (C, K), kernel, stride, padding, pad value): each geometry, with sizes that go round."""
    batches, sizes = cycle(range(1, 18)), cycle(product(channels, SIZES))
    return [((next(batches), 5, 7), next(sizes), *case)
            for case in product([(1, 1), (2, 2), (3, 3), (3, 2)], (1, 2), (0, 1, 2), (0, 1, -1))]


CONV_NAMES = "image, channels, kernel, stride, padding, pad_value"
CONV_SMALL = [((1, 3, 3), (65, 3), (3, 3), 1, 1, 0), ((1, 4, 4), (1, 7), (2, 2), 2, 1, -1),
              ((2, 3, 4), (63, 2), (3, 2), 2, 2, 1)]


@rows(CONV_NAMES, CONV_SMALL, conv_cases(SIZES))
def test_conv_gradients(rng, image, channels, kernel, stride, padding, pad_value):
    x, weights = signs(rng, *image, channels[0]), signs(rng, channels[1], *kernel, channels[0])
    dh = gradients(rng, *naive.conv(x, weights, stride, padding, pad_value).shape)
    dh[:, 0, 0, 0] = FULL                                       # of each image: its unit is 1
    same(in_threads(calls.conv_dx, dh, weights, x.shape, stride, padding),
         naive.conv_dx(dh, weights, x.shape, stride, padding).astype(np.float32))
    same(in_threads(calls.conv_dweight, dh, x, kernel, stride, padding, pad_value),
         naive.conv_dweight(dh, x, kernel, stride, padding, pad_value))


PIXELS_CONV_SMALL = [((2, 3, 5), (3, 2), (3, 3), 1, 1, 0), ((1, 4, 3), (1, 7), (3, 2), 2, 2, -1)]


@rows(CONV_NAMES, PIXELS_CONV_SMALL, conv_cases((1, 3)))
def test_conv_first_layer_dweight(rng, image, channels, kernel, stride, padding, pad_value):
    images = rng.integers(0, 256, (image[0], channels[0], *image[1:]), dtype=np.uint8)
    pixels = naive.pixels(images, 128)
    dh = gradients(rng, *naive.patches(pixels, kernel, stride, padding, pad_value).shape[:3], channels[1])
    same(in_threads(calls.pixels_conv_dweight, dh, images, 128, kernel, stride, padding, pad_value),
         naive.conv_dweight(dh, pixels, kernel, stride, padding, pad_value))


@pytest.mark.parametrize("pad_value", [0, 1])
def test_conv_dweight_of_large_images_is_widened(pad_value):
    """61 images of 33 x 33 at full scale: more positions than one panel, more terms than an int32 holds."""
    x, dh = np.ones((61, 33, 33, 1), np.int8), np.full((61, 33, 33, 1), -FULL)
    ref = naive.conv_dweight(dh, x, (3, 3), 1, 1, pad_value)
    assert ref.min() < -2**31
    same(in_threads(calls.conv_dweight, dh, x, (3, 3), 1, 1, pad_value), ref)


@pytest.mark.parametrize("size", [16, 17])
def test_conv_first_layer_dweight_of_bright_images_is_widened(size):
    """256 and 289 white positions of one image, the second more than one int32 sum may hold."""
    images, dh = np.full((3, 1, size, size), 255, np.uint8), np.full((3, size, size, 1), FULL)
    same(calls.pixels_conv_dweight(dh, images, 0, (1, 1), 1, 0, 0), [[[[3 * size * size * 255 * FULL]]]])


def test_conv_dx_of_many_channels_is_widened():
    """65,540 gradients of full scale reach one input, as 7283 channels of a 3 x 3 kernel would bring."""
    dh, weights = np.full((1, 1, 1, 65_540), FULL), np.ones((65_540, 1, 1, 1), np.int8)
    same(calls.conv_dx(dh, weights, (1, 1, 1, 1), 1, 0), [[[[np.float32(65_540 * FULL)]]]])


# fixed point

@pytest.mark.tiny
@rows("n, r, u", [(1, 1, 1), (3, 2, 5), (2, 1, 65)],
      [(n, r, u) for n, (r, u) in zip(range(1, 12), product((1, 35), SIZES))])
def test_fixed_point(rng, n, r, u):
    values = (rng.normal(size=(n, r, u)) * 10.0 ** rng.integers(-30, 30, (n, r, u))).astype(np.float32)
    comp_rows, row_scale = in_threads(calls.quantise_rows, values)
    for i in range(n):
        ref, ref_scale = naive.fixed_point(values[i])
        same(comp_rows[i], ref)
        assert row_scale[i] == ref_scale
    values = values.reshape(n * r, u)
    comp_columns, column_scale = in_threads(calls.quantise_columns, values)
    for i in range(u):
        ref, ref_scale = naive.fixed_point(values[:, i])
        same(comp_columns[i], ref)
        assert column_scale[i] == ref_scale


@pytest.mark.jit_off
def test_fixed_point_uses_the_whole_range_and_rounds_ties_to_even():
    values = np.array([[[32767, -32767, 0.5, 1.5, -2.5, 0.49]], [[0] * 6], [[1e-45] * 6]], np.float32)
    comp, scale = calls.quantise_rows(values)
    same(comp[:, 0], [[32767, -32767, 0, 2, -2, 0], [0] * 6, [32767] * 6])
    assert scale[0] == 1.0 and scale[1] == 1.0, "a gradient of zeros must not divide by zero"


def within_bound(comp, exact, scale, sum_of_operand):
    """|sum - exact| <= scale / 2 * sum |operand|, and the rounding of the sum to float32."""
    return np.all(np.abs(comp - exact) <= scale / 2 * sum_of_operand + np.spacing(np.abs(comp)) / 2)


def test_error_bound_of_fixed_point_dx(rng):
    """The promise that 16-bit gradients are good enough; 14-bit ones break it, so the bound is one."""
    dh = rng.normal(size=(40, 3)).astype(np.float32)
    weights = signs(rng, 3, 64)
    exact = dh.astype(np.float64) @ weights
    whole, scale = calls.quantise_rows(dh[:, None, :])
    assert within_bound(calls.lookup_dense(whole[:, 0], weights, scale), exact, scale[:, None], 3)
    coarse = np.rint(dh / (4 * scale[:, None])).astype(int)
    assert not within_bound(calls.lookup_dense(coarse, weights, 4 * scale), exact, scale[:, None], 3)


def test_error_bound_of_fixed_point_first_layer(rng):
    dh = rng.normal(size=(50, 7)).astype(np.float32)
    images = rng.integers(0, 256, (50, 1, 8, 8), dtype=np.uint8)
    pixels = naive.pixels(images, 128).reshape(50, -1)
    whole, scale = calls.quantise_columns(dh)
    comp = calls.pixels_dense_dweight(whole, images, 128, scale)
    exact = dh.T.astype(np.float64) @ pixels
    assert within_bound(comp, exact, scale[:, None], np.abs(pixels).sum(0))


# max-pool

@rows("n, height, width, channels, size", [(2, 5, 7, 3, 2), (1, 4, 4, 1, 3)],
      [(n, 5 + n % 3, 7, c, 2 + n % 2) for n, c in zip(range(1, 18), cycle(SIZES))])
def test_max_pool_backward_goes_to_the_winner(rng, n, height, width, channels, size):
    h = rng.integers(-2, 2, (n, height, width, channels)).astype(np.int32)
    out, winner = naive.max_pool(h, size)
    dout = rng.normal(size=out.shape).astype(np.float32)
    same(in_threads(calls.max_pool_backward, dout, winner.astype(np.uint8), size, h.shape),
         naive.max_pool_backward(dout, winner, size, h.shape))


def behind_pool(rng, image, channels, kernel, stride, padding, size):
    """+-1 activations and weights, and a gradient behind windows: each image has an entry of full scale."""
    x, weights = signs(rng, *image, channels[0]), signs(rng, channels[1], *kernel, channels[0])
    n, height, width, _ = whole = naive.conv(x, weights, stride, padding, -1).shape
    dout = gradients(rng, n, height // size, width // size, channels[1])
    dout[:, :1, :1, 0] = FULL                                   # of each image: its unit is 1
    winner = rng.integers(0, size * size, dout.shape).astype(np.uint8)
    winner[:, :, :1] = rng.integers(0, size * size)             # of these windows all units have one winner
    return x, weights, dout, winner, whole


def check_behind_a_pool(rng, dx, dweight, image, channels, kernel, stride, padding, pad_value, size):
    """Both gradients are those of the scattered gradient."""
    x, weights, dout, winner, whole = behind_pool(rng, image, channels, kernel, stride, padding, size)
    dh = naive.max_pool_backward(dout, winner, size, whole).astype(np.int64)
    same(in_threads(dx, dout, winner, size, weights, x.shape, stride, padding),
         naive.conv_dx(dh, weights, x.shape, stride, padding).astype(np.float32))
    same(in_threads(dweight, dout, winner, size, x, kernel, stride, padding, pad_value),
         naive.conv_dweight(dh, x, kernel, stride, padding, pad_value))


POOLED_SMALL = [((1, 5, 7), (65, 3), (3, 3), 1, 1, 0, 2), ((2, 7, 10), (1, 7), (2, 2), 1, 1, -1, 3)]
POOLED = [((n, height + 4, width + 6), *rest, size)
          for ((n, height, width), *rest), size in zip(conv_cases(SIZES), cycle((2, 3)))]
LARGE_WINDOWS = [((2, 12, 16), (65, 7), (3, 3), 1, 1, 0, 5), ((1, 33, 47), (3, 70), (2, 2), 1, 0, -1, 15)]
WIDE_ROWS = [((1, 4, 600), (3, 7), (2, 2), 1, 1, 0, 2)]


@rows(CONV_NAMES + ", size", POOLED_SMALL, POOLED + LARGE_WINDOWS + WIDE_ROWS)
def test_conv_gradients_behind_a_max_pool(rng, image, channels, kernel, stride, padding, pad_value, size):
    """Entries that win in no unit or in all, remainders that no window takes, many chunks of rows or one a row."""
    check_behind_a_pool(rng, calls.pooled_conv_dx, calls.pooled_conv_dweight, image, channels, kernel, stride, padding,
                        pad_value, size)


@pytest.mark.jit_off
@pytest.mark.skipif(are_compiled(), reason="needs NUMBA_DISABLE_JIT=1: compiled kernels check no bounds")
@pytest.mark.parametrize("row", POOLED_SMALL)
def test_a_part_for_each_tap_stays_within_bounds(rng, monkeypatch, row):
    monkeypatch.setattr(pooled_conv, "IN_L1", 1)
    test_conv_gradients_behind_a_max_pool(rng, *row)


def test_conv_gradients_of_as_many_units_as_fit_are_exact(rng):
    """All of one sign, by one entry of each window: sums of digits reach the most that 16 bits are to hold."""
    n_units = next(n for n in range(5000, 0, -1) if pooled_conv.fits(1, 1, n, 2, 1))
    assert n_units > 4000 and not pooled_conv.fits(1, 1, n_units, 2, 17)
    x, weights = np.ones((1, 2, 2, 1), np.int8), np.ones((n_units, 1, 1, 1), np.int8)
    dout, winner = np.full((1, 1, 1, n_units), FULL), np.full((1, 1, 1, n_units), 3, np.uint8)
    same(calls.pooled_conv_dx(dout, winner, 2, weights, x.shape, 1, 0).reshape(-1),
         [0, 0, 0, np.float32(n_units * FULL)])
    same(calls.pooled_conv_dweight(dout, winner, 2, x, (1, 1), 1, 0, -1), np.full((n_units, 1, 1, 1), FULL))


def test_conv_dx_of_as_many_units_and_taps_as_fit_is_exact():
    """With taps two apart all 16 of them reach entries that win: 65,280 gradients at full scale."""
    n_units, dilated = 4080, np.zeros((1, 7, 7, 1), np.int8)
    dilated[:, ::2, ::2] = 1
    assert pooled_conv.fits(4, 4, n_units, 2, 16) and not pooled_conv.fits(4, 4, n_units, 2, 17)
    dout, winner = np.full((1, 4, 4, n_units), FULL), np.zeros((1, 4, 4, n_units), np.uint8)
    dh = naive.max_pool_backward(dout, winner, 2, (1, 8, 8, n_units))[..., :1].astype(np.int64)
    wanted = naive.conv_dx(dh, dilated, (1, 14, 14, 1), 1, 0) * n_units
    assert wanted.max() == 65_280 * FULL
    weights = np.ones((n_units, 4, 4, 1), np.int8)
    same(calls.pooled_conv_dx(dout, winner, 2, weights, (1, 14, 14, 1), 1, 0, 2), wanted.astype(np.float32))


@pytest.mark.parametrize("shape", [(257, 16, 16), (17, 1, 4080)])
def test_conv_dweight_of_many_windows_is_widened(shape):
    """65,792 and 69,360 windows at full scale wrap an int32; 4,080 in a row are as many as fit."""
    n, n_high, n_across = shape
    assert pooled_conv.fits(n_high, n_across, 1, 2, 1) and not pooled_conv.fits(1, 4081, 1, 2, 1)
    x, dout = np.ones((n, 2 * n_high, 2 * n_across, 1), np.int8), np.full((*shape, 1), -FULL)
    winner = np.zeros(dout.shape, np.uint8)
    same(in_threads(calls.pooled_conv_dweight, dout, winner, 2, x, (1, 1), 1, 0, -1), [[[[-FULL * dout.size]]]])


@pytest.mark.parametrize("n_units, wide", [(33, False), (4200, True)])
def test_a_gradient_behind_a_max_pool_is_the_scattered_one(rng, monkeypatch, n_units, wide):
    """Whichever lookups take it: with bytes, those that leave zeros out, unless there are too many units for them."""
    monkeypatch.setattr(byte_tile, "USED", False)
    x, weights, dout, winner, whole = behind_pool(rng, (2, 5, 6), (70, n_units), (2, 2), 1, 1, 2)
    dh = pool.Pooled(rng.normal(size=dout.shape).astype(np.float32), winner, 2, whole)
    g, taken = geometry(x.shape, (2, 2), 1, 1), []
    for name in ("pooled_dx", "pooled_dweight"):
        kernel = getattr(pooled_conv, name)
        monkeypatch.setattr(pooled_conv, name, lambda *args, kernel=kernel: taken.append(kernel) or kernel(*args))

    def both(dh, kinds):
        monkeypatch.setitem(products.PRECISIONS, "fixed16", kinds)
        dweight = np.empty(weights.shape, np.float32)
        products.conv_dweight(dh, pack(x), 70, g, -1, "fixed16", dweight)
        return products.conv_dx(dh, pack(weights), 70, g), dweight

    wanted = both(products.scattered(dh), lookup_tile.FIVES)
    for comp, ref in zip(both(dh, lookup_tile.FIVES), wanted):
        same(comp, ref)
    assert not taken
    for comp, ref in zip(both(dh, lookup_tile.FOURS), wanted):
        same(comp, ref)
    assert (not taken) if wide else len(set(taken)) == 2


# optimizer steps

def settings(*values):
    return tuple(np.float32(value) for value in values)


@rows("n", [(1,), (65,)], [(1000,)])
@pytest.mark.parametrize("bound", [1.0, np.inf])
def test_optimizer_steps(rng, n, bound):
    value, gradient, first, second = rng.normal(size=(4, n)).astype(np.float32)
    beta = settings(0.9, 0.999, 0.3, 1.7, 1e-8, bound)
    for comp, ref in zip(in_threads(calls.adam_step, value, gradient, first, second**2, *beta),
                         naive.adam(value, gradient, first, second**2, *beta)):
        same(comp, ref)
    for comp, ref in zip(in_threads(calls.metaplastic_step, value, gradient, first, second**2, *beta, *settings(5.4)),
                         naive.metaplastic(value, gradient, first, second**2, *beta, 2.7)):
        same(comp, ref)
    rate = settings(0.9, 0.3, bound)
    for comp, ref in zip(in_threads(calls.momentum_step, value, gradient, first, *rate),
                         naive.momentum(value, gradient, first, *rate)):
        same(comp, ref)


@pytest.mark.jit_off
def test_optimizer_steps_keep_latent_weights_between_minus_one_and_one():
    value = np.array([0.9, -0.9, 0.2], np.float32)
    gradient = np.array([-1, 1, 0], np.float32)
    zeros, ref_value = np.zeros(3, np.float32), np.array([1, -1, 0.2], np.float32)
    same(calls.adam_step(value, gradient, zeros, zeros, *settings(0.9, 0.999, 5, 1, 1e-8, 1))[0], ref_value)
    same(calls.momentum_step(value, gradient, zeros, *settings(0.9, 5, 1))[0], ref_value)
