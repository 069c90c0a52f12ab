"""Batch-norm kernels against `naive` and finite differences; the straight-through mask by its definition."""

from itertools import cycle

import kernel_calls as calls
import naive
import numpy as np
import pytest
from kernel_calls import in_threads, rows

from bnnsim.training.layers import BatchNorm

EPS = 1e-5
IDENTITY, CLIPPED, APPROX = (np.inf, 1.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0), (1.0, 2.0, 2.0, 0.0)
SHAPES = [(n, u) for n, u in zip((1, 2, 3, 17, 50, 99), cycle((1, 63, 64, 65, 130)))]


@pytest.fixture
def rng():
    return np.random.default_rng(22)


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


def random_layer(rng, n, u, spread=50):
    """(h, mean, inverse, scale, shift) of a training batch; some units have gamma 0, some a constant h."""
    h = rng.integers(-spread, spread, (n, u)).astype(np.int32)
    h[:, ::7] = h[0, ::7]
    gamma, shift = rng.normal(size=u), rng.normal(size=u)
    gamma[::5] = 0.0
    inverse = 1.0 / np.sqrt(h.var(0) + EPS)
    return h, h.mean(0), inverse, gamma * inverse, shift


@rows("n, u", [(1, 1), (5, 65)], SHAPES)
@pytest.mark.parametrize("level", [0, 700_000])
def test_moments(rng, n, u, level):
    """Also far from 0, where a float sum of squares would lose the variance; of exact sums about the first row."""
    h = (rng.integers(-30, 30, (n, u)) + level).astype(np.int32)
    differences = h.astype(object) - h[0].astype(object)
    for found, ref in zip(in_threads(calls.column_sums, h), (differences.sum(axis=0), (differences ** 2).sum(axis=0))):
        np.testing.assert_array_equal(found, ref)
    mean, variance = BatchNorm(u).moments_of(h)
    ref_mean, ref_variance = naive.moments(h)
    np.testing.assert_allclose(mean, np.array(ref_mean, float), rtol=1e-15, atol=1e-13)
    np.testing.assert_allclose(variance, np.array(ref_variance, float), rtol=1e-12, atol=1e-12)
    assert (variance >= 0).all() and not variance[np.ptp(h, axis=0) == 0].any()


@rows("n, u", [(1, 1), (5, 65)], SHAPES)
def test_outputs_and_their_signs(rng, n, u):
    h, mean, _, scale, shift = random_layer(rng, n, u)
    ref = naive.batch_norm(h, mean, scale, shift)
    same(in_threads(calls.affine_rows, h, mean, scale, shift), ref)
    same(in_threads(calls.affine_sign, h, mean, scale, shift), naive.pack(ref))


@pytest.mark.jit_off
def test_an_output_of_exactly_zero_is_plus_one():
    h = np.array([[3], [4], [5]], np.int32)
    for scale in (0.5, -0.5):
        same(calls.affine_sign(h, np.array([4.0]), np.array([scale]), np.array([0.0]))[1], [1])
    same(calls.affine_sign(h, np.array([4.0]), np.array([0.0]), np.array([-0.0])), [[1]] * 3)


@rows("n, u", [(1, 1), (5, 65)], SHAPES)
@pytest.mark.parametrize("ste, name", [(CLIPPED, "clipped"), (IDENTITY, "identity"), (APPROX, "approx")])
def test_backward(rng, n, u, ste, name):
    h, mean, inverse, scale, shift = random_layer(rng, n, u)
    dout = rng.normal(size=(n, u)).astype(np.float32)
    dy = naive.through_sign(dout, naive.batch_norm(h, mean, scale, shift), name)
    ref_dh, ref_dgamma, ref_dbeta = naive.batch_norm_backward(dy, h, mean, inverse, scale)
    dh, dgamma, dbeta = in_threads(calls.batch_norm_backward, dout, h, mean, inverse, scale, shift, ste)
    same(dgamma, ref_dgamma)
    same(dbeta, ref_dbeta)
    same(dh, ref_dh.astype(np.float32))


@pytest.mark.jit_off
def test_the_straight_through_mask_keeps_outputs_of_exactly_one():
    """STE by definition: gradients pass where |batch norm| <= 1, ends included, and stop outside."""
    h = np.array([[-5], [-4], [0], [4], [5]], np.int32)
    dout = np.array([[1], [2], [4], [8], [16]], np.float32)
    units = [np.array([value]) for value in (0.0, 1.0, 0.25, 0.0)]
    assert calls.batch_norm_backward(dout, h, *units, CLIPPED)[2] == 2 + 4 + 8
    assert calls.batch_norm_backward(dout, h, *units, IDENTITY)[2] == 31


@rows("n, u", [(1, 1), (5, 65)], SHAPES)
@pytest.mark.parametrize("beta", [0.3, 5.0, 1e4])
def test_backward_through_swish(rng, n, u, beta):
    """The kernel sums its own exponential: within rounding of the formula with NumPy's tanh and cosh."""
    h, mean, inverse, scale, shift = random_layer(rng, n, u)
    dout = rng.normal(size=(n, u)).astype(np.float32)
    dy = naive.through_sign(dout, naive.batch_norm(h, mean, scale, shift), "swish", beta)
    ref = naive.batch_norm_backward(dy, h, mean, inverse, scale)
    comp = in_threads(calls.batch_norm_backward, dout, h, mean, inverse, scale, shift, (np.inf, 1.0, 0.0, beta))
    for found, wanted in zip(comp, ref):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9 * beta)


@pytest.mark.jit_off
def test_swish_of_a_vector_is_that_of_one_unit():
    """Units past the last whole vector are computed one at a time: they must not train differently."""
    values = np.concatenate([np.linspace(-9, 9, 800), np.geomspace(1e-12, 1e9, 200)])
    h = np.zeros((1, 1000), np.int32)
    dout, units = np.ones((1, 1000), np.float32), [np.zeros(1000), np.zeros(1000), np.zeros(1000)]
    ste = (np.inf, 1.0, 0.0, 5.0)
    together = calls.batch_norm_backward(dout, h, *units, values, ste)[2]
    alone = np.array([calls.batch_norm_backward(dout[:, :1], h[:, :1], *(unit[:1] for unit in units), values[i:i + 1],
                                                ste)[2][0] for i in range(1000)])
    same(together, alone)
    wanted = naive.through_sign(np.ones(1000), values, "swish", 5.0)
    np.testing.assert_allclose(together, wanted, rtol=1e-11, atol=1e-13)


# finite differences

def smooth_batch_norm(h, gamma, beta):
    return gamma * (h - h.mean(0)) / np.sqrt(h.var(0) + EPS) + beta


def wrong_by(gradient, loss, point, rng, step=1e-4):
    """Relative error of a gradient along a random direction, by central differences in float64."""
    direction = rng.normal(size=point.shape)
    slope = (loss(point + step * direction) - loss(point - step * direction)) / (2 * step)
    return abs(np.sum(gradient * direction) - slope) / abs(slope)


@pytest.fixture
def smooth(rng):
    """A batch with its kernel gradients, and the loss sum(dout * y) that they are the gradients of."""
    n, u = 20, 9
    h, mean, inverse, _, beta = random_layer(rng, n, u)
    h[:, ::7] = rng.integers(-50, 50, (n, len(range(0, u, 7))))
    mean, inverse, gamma = h.mean(0), 1.0 / np.sqrt(h.var(0) + EPS), rng.normal(size=u)
    dout = rng.normal(size=(n, u)).astype(np.float32)
    dh, dgamma, dbeta = calls.batch_norm_backward(dout, h, mean, inverse, gamma * inverse, beta, IDENTITY)
    cases = {"h": (dh, h.astype(float), lambda v: np.sum(dout * smooth_batch_norm(v, gamma, beta))),
             "gamma": (dgamma, gamma, lambda v: np.sum(dout * smooth_batch_norm(h, v, beta))),
             "beta": (dbeta, beta, lambda v: np.sum(dout * smooth_batch_norm(h, gamma, v)))}
    return cases


@pytest.mark.jit_off
@pytest.mark.parametrize("name", ["h", "gamma", "beta"])
def test_gradient_is_the_slope_of_batch_norm(smooth, rng, name):
    gradient, point, loss = smooth[name]
    assert wrong_by(gradient, loss, point, rng) < 1e-5


@pytest.mark.jit_off
@pytest.mark.parametrize("name", ["h", "gamma", "beta"])
def test_the_checker_rejects_a_gradient_that_is_wrong_by_a_thousandth(smooth, rng, name):
    gradient, point, loss = smooth[name]
    assert wrong_by(1.001 * gradient, loss, point, rng) > 1e-4
