"""Forward kernels against `naive`: exact equality, in any number of threads.

Rows of the tables go through F, U, C and K in 1, 63, 64, 65, 130, batches of 1 to 17, and output sizes that
no tile divides. Outputs start as garbage, so equality with naive words also says that padding bits are 0.
"""

from itertools import cycle, product

import kernel_calls as calls
import naive
import numpy as np
import pytest
from kernel_calls import in_threads, rows, signs

import bnnsim.kernels.forward.nibble_tile as nibble_tile
import bnnsim.kernels.forward.pixel_lookup as pixel_lookup
import bnnsim.kernels.words.packing as packing
from bnnsim.kernels import split

SIZES = (1, 63, 64, 65, 130)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


def random_thresholds(rng, h):
    """A threshold and an inversion flag for each unit, amid the values of h (..., U)."""
    n_units = h.shape[-1]
    at = rng.integers(0, h.size // n_units, n_units)
    return h.reshape(-1, n_units)[at, np.arange(n_units)], rng.random(n_units) < 0.5


# dense

DENSE_FULL = [(n, f, u) for n, (f, u) in zip(cycle(range(1, 18)), product(SIZES, SIZES))] + [(70, 65, 17)]
DENSE_SMALL = [(1, 1, 1), (9, 65, 63), (17, 63, 65), (3, 130, 64)]


@pytest.mark.tiny
@rows("n, f, u", DENSE_SMALL, DENSE_FULL)
def test_dense_preactivations(rng, n, f, u):
    x, weights = signs(rng, n, f), signs(rng, u, f)
    same(in_threads(calls.xnor_dense, x, weights), naive.dense(x, weights))


@rows("n, f, u", DENSE_SMALL, DENSE_FULL)
def test_dense_output_bits(rng, n, f, u):
    x, weights = signs(rng, n, f), signs(rng, u, f)
    h = naive.dense(x, weights)
    theta, inverted = random_thresholds(rng, h)
    same(in_threads(calls.xnor_dense_bits, x, weights, theta, inverted),
         naive.pack(naive.threshold_bits(h, theta, inverted)))


@rows("n, f, u", DENSE_SMALL, DENSE_FULL)
def test_dense_by_nibbles(rng, n, f, u):
    """What CPUs with AVX2 run, on any CPU: the panel in its order, and the tiles that read it."""
    x, weights, h = signs(rng, n, f), signs(rng, u, f), np.full((n, 16 * -(-u // 16)), -77, np.int32)
    words, table, starts = calls.pack(x), np.full((1, h.shape[1]), f, np.int32), np.arange(n)
    panel = np.zeros((h.shape[1] // 16, words.shape[1], 16), np.uint64)
    split(packing.nibble_panel, len(panel), calls.pack(weights), panel)
    nibble_tile.nibble_sums(words, starts * words.shape[1], n, 0, 1, panel, table, 0 * starts, h, 0, h.shape[1])
    same(h[:, :u], naive.dense(x, weights))
    theta, bits = rng.integers(0, f + 1, h.shape).astype(np.int32), np.zeros((n, -(-u // 64)), np.uint64)
    theta[:, u:] = -1                                           # such units have the bit 0
    nibble_tile.nibble_bits(words, starts * words.shape[1], n, 0, 1, panel, theta, starts * h.shape[1], bits, 0,
                            4 * bits.shape[1])
    same(bits, naive.pack(np.where(h[:, :u] >= f - 2 * theta[:, :u], 1, -1)))


@pytest.mark.jit_off
def test_folded_thresholds_give_the_sign_of_batch_norm(rng):
    """Deployed networks would differ from trained ones; scale of both signs and 0, outputs of exactly 0."""
    x, weights = signs(rng, 16, 63), signs(rng, 130, 63)
    mean, scale = rng.integers(-8, 8, 130).astype(float), rng.integers(-2, 3, 130) * 0.25
    shift = rng.normal(size=130)
    shift[::3] = 0.0
    folded = [naive.threshold(*unit, 63) for unit in zip(mean, scale, shift)]
    theta, inverted = (np.array(part) for part in zip(*folded))
    comp_bits = calls.xnor_dense_bits(x, weights, theta, inverted)
    same(comp_bits, calls.affine_sign(naive.dense(x, weights).astype(np.int32), mean, scale, shift))


# conv: (N, H, W), (C, K), kernel, stride, padding, pad value

def conv_cases(channels):
    """Every kernel, stride, padding and pad value, with sizes that go round."""
    batches, sizes = cycle(range(1, 18)), cycle(product(channels, SIZES))
    return [((next(batches), 5, 7), next(sizes), *case)
            for case in product([(1, 1), (2, 2), (3, 3), (3, 2)], (1, 2), (0, 1, 2), (0, 1, -1))]


CONV_SMALL = [((2, 3, 5), (65, 3), (3, 3), 1, 1, 0), ((1, 4, 4), (1, 65), (2, 2), 2, 1, -1),
              ((3, 5, 4), (63, 2), (3, 2), 2, 2, 1), ((2, 3, 3), (130, 1), (1, 1), 1, 0, 0)]
CONV_NAMES = "image, channels, kernel, stride, padding, pad_value"


@rows(CONV_NAMES, CONV_SMALL, conv_cases(SIZES))
def test_conv_preactivations(rng, image, channels, kernel, stride, padding, pad_value):
    x, weights = signs(rng, *image, channels[0]), signs(rng, channels[1], *kernel, channels[0])
    same(in_threads(calls.xnor_conv, x, weights, stride, padding, pad_value),
         naive.conv(x, weights, stride, padding, pad_value))


@pytest.mark.tiny
@rows(CONV_NAMES, CONV_SMALL, conv_cases(SIZES)[::5])
@pytest.mark.parametrize("size", [1, 2])
def test_conv_pooled_output_bits(rng, image, channels, kernel, stride, padding, pad_value, size):
    """Pooling bits by OR must equal thresholding the pooled integers, a remainder dropped."""
    x, weights = signs(rng, *image, channels[0]), signs(rng, channels[1], *kernel, channels[0])
    h = naive.conv(x, weights, stride, padding, pad_value)
    theta, inverted = random_thresholds(rng, h)
    ref_bits = naive.threshold_bits(naive.max_pool(h, size)[0], theta, inverted)
    same(in_threads(calls.xnor_conv_bits, x, weights, stride, padding, pad_value, theta, inverted, size),
         naive.pack(ref_bits))


# first layer

def random_images(rng, *shape):
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    images.reshape(-1)[0], images.reshape(-1)[-1] = 0, 255
    return images


PIXELS_SMALL = [(1, (1, 1, 1), 1), (7, (3, 3, 5), 65), (6, (1, 7, 9), 64), (3, (2, 8, 8), 63)]
PIXELS_FULL = [(n, (3, 5, 13), u) for n, u in zip(range(1, 18), cycle(SIZES))] + [(5, (1, 28, 28), 130)]


def check_dense_first_layer(rng, n, shape, u, offset):
    images, weights = random_images(rng, n, *shape), signs(rng, u, np.prod(shape))
    h = naive.dense(naive.pixels(images, offset).reshape(n, -1), weights)
    theta, inverted = random_thresholds(rng, h)
    same(in_threads(calls.pixels_dense, images, offset, weights), h)
    same(in_threads(calls.pixels_dense_bits, images, offset, weights, theta, inverted),
         naive.pack(naive.threshold_bits(h, theta, inverted)))


@pytest.mark.parametrize("offset", [0, 128])
@rows("n, shape, u", PIXELS_SMALL, PIXELS_FULL)
def test_dense_first_layer(rng, n, shape, u, offset):
    check_dense_first_layer(rng, n, shape, u, offset)


@pytest.fixture
def looked_up(monkeypatch):
    """Dense first layers of whole tiles are summed by lookup, whatever their size and the CPU."""
    monkeypatch.setattr(pixel_lookup, "USED", True)
    monkeypatch.setattr(pixel_lookup, "FEWEST_UNITS", 0)
    monkeypatch.setattr(pixel_lookup, "FEWEST_PIXELS", 0)


LOOKED_UP_SMALL = [(1, (1, 1, 1), 128), (7, (3, 3, 5), 128), (5, (2, 1, 3), 256)]
LOOKED_UP_FULL = [(n, (3, 5, 13), u) for n, u in zip(range(1, 19), cycle((128, 256, 384)))] + \
    [(14, (1, 28, 28), 2048), (6, (1, 6, 21), 640), (6, (1, 1, 127), 128)]


@pytest.mark.parametrize("offset", [0, 128])
@rows("n, shape, u", LOOKED_UP_SMALL, LOOKED_UP_FULL)
def test_dense_first_layer_by_lookup(rng, looked_up, n, shape, u, offset):
    """In slices of any number of rows, by six and alone; features that end amid a group, an entry and a word."""
    check_dense_first_layer(rng, n, shape, u, offset)


@pytest.mark.jit_off
def test_which_first_layers_are_looked_up(monkeypatch):
    """Large ones of whole tiles, where the CPU is made for it."""
    monkeypatch.setattr(pixel_lookup, "USED", True)
    assert [u for u in (1, 128, 255, 256, 300, 384, 2048) if pixel_lookup.fits(u, 784)] == [256, 384, 2048]
    assert [f for f in (1, 191, 192, 3072) if pixel_lookup.fits(2048, f)] == [192, 3072]
    monkeypatch.setattr(pixel_lookup, "USED", False)
    assert not pixel_lookup.fits(2048, 784)


PIXELS_CONV_SMALL = [((2, 3, 5), (3, 2), (3, 3), 1, 1, 0), ((1, 4, 3), (1, 65), (3, 2), 2, 2, -1)]


@rows(CONV_NAMES, PIXELS_CONV_SMALL, conv_cases((1, 3)))
def test_conv_first_layer(rng, image, channels, kernel, stride, padding, pad_value):
    images = random_images(rng, image[0], channels[0], *image[1:])
    weights = signs(rng, channels[1], *kernel, channels[0])
    settings = stride, padding, pad_value
    h = naive.conv(naive.pixels(images, 128), weights, *settings)
    theta, inverted = random_thresholds(rng, h)
    same(in_threads(calls.pixels_conv, images, 128, weights, *settings), h)
    for size in (1, 2):
        ref_bits = naive.threshold_bits(naive.max_pool(h, size)[0], theta, inverted)
        same(in_threads(calls.pixels_conv_bits, images, 128, weights, *settings, theta, inverted, size),
             naive.pack(ref_bits))


def test_brightest_images_stay_exact():
    """The largest pre-activation that CIFAR-10 can give, which a 16-bit sum would wrap."""
    images, weights = np.full((2, 3, 32, 32), 255, np.uint8), np.ones((1, 3072), np.int8)
    same(calls.pixels_dense(images, 0, weights), [[3072 * 255]] * 2)
    same(calls.pixels_dense(images, 0, -weights), [[-3072 * 255]] * 2)


def test_brightest_images_stay_exact_by_lookup(looked_up):
    images, weights = np.full((7, 3, 32, 32), 255, np.uint8), np.ones((128, 3072), np.int8)
    same(calls.pixels_dense(images, 0, weights), np.full((7, 128), 3072 * 255))
    same(calls.pixels_dense(images, 0, -weights), np.full((7, 128), -3072 * 255))


# max-pool

@rows("n, height, width, channels, size", [(2, 5, 7, 3, 2), (1, 4, 4, 1, 3), (2, 3, 2, 2, 1)],
      [(n, 5 + n % 3, 7, c, 2 + n % 2) for n, c in zip(range(1, 18), cycle(SIZES))])
def test_max_pool_takes_the_first_of_tied_entries(rng, n, height, width, channels, size):
    h = rng.integers(-2, 2, (n, height, width, channels)).astype(np.int32)
    ref_out, ref_winner = naive.max_pool(h, size)
    comp_out, comp_winner = in_threads(calls.max_pool, h, size)
    same(comp_out, ref_out)
    same(comp_winner, ref_winner)
