"""The direct regulariser: its value and gradients against their definition, in float64, and its kernels exactly."""

import naive
import naive_network
import numpy as np
import pytest
from kernel_calls import dirty, in_threads, rows

import bnnsim.kernels.gradients.penalty as penalty
from bnnsim.kernels import split
from bnnsim.training.architectures import build
from bnnsim.training.layers import BatchNormSign, InputDense
from bnnsim.training.losses import cross_entropy
from bnnsim.training.regularisers import DirectRegulariser


@pytest.fixture
def rng():
    return np.random.default_rng(71)


# kernels

def pick(h, threshold, reach):
    place, value, side = (dirty((len(h), h.shape[2]), kind) for kind in (np.int32, np.int32, np.int8))
    split(penalty.least_margins, len(h), h, threshold, reach, place, value, side)
    sums, dh = dirty((3, h.shape[2]), np.int64), np.full(h.shape, 2, np.float32)
    split(penalty.sum_sides, h.shape[2], value, side, sums)
    split(penalty.push_away, len(h), place, side, np.float32(0.25), dh)
    return place, value, side, sums, dh


def naive_pick(h, threshold, reach):
    place, value, side = np.zeros((3, len(h), h.shape[2]), int)
    sums, dh = np.zeros((3, h.shape[2]), int), np.full(h.shape, 2.0)
    for n, u in np.ndindex(place.shape):
        margins = [abs(float(v) - threshold[u]) for v in h[n, :, u]]
        p = place[n, u] = margins.index(min(margins))
        value[n, u] = h[n, p, u]
        if min(margins) < reach[u]:
            side[n, u] = 1 if h[n, p, u] >= threshold[u] else -1
            sums[:, u] += 1, side[n, u], side[n, u] * h[n, p, u]
            dh[n, p, u] -= 0.25 * side[n, u]
    return place, value, side, sums, dh


@rows("n, p, u", [(1, 1, 1), (3, 4, 5)], [(7, 1, 130), (5, 9, 64), (17, 6, 3)])
def test_kernels(rng, n, p, u):
    """Small integers tie often, also on both sides of a threshold, and stand on it."""
    h = rng.integers(-9, 10, (n, p, u)).astype(np.int32)
    threshold, reach = np.round(rng.normal(0, 3, u), 1), rng.integers(0, 8, u).astype(float)
    for comp, ref in zip(in_threads(pick, h, threshold, reach), naive_pick(h, threshold, reach)):
        np.testing.assert_array_equal(comp, ref)


# gradients

class Stack:
    """Hidden layers with pre-activations of our choice, as the regulariser sees a model: far apart, so nothing ties."""

    input_offset = 0

    def __init__(self, rng, sizes):
        self.layers = [InputDense((1, 1, 1), 1, 0, np.random.default_rng(0))]      # the first is that of the pixels
        self.inputs = [(i - 1,) for i in range(len(sizes) + 1)]
        self.caches, self.h, self.forward = [None], [], []
        for i, (n, p, u) in enumerate(sizes):
            layer = BatchNormSign(u)
            layer.parameters["gamma"][:] = rng.normal(0, 1, u) + 0.3
            layer.parameters["beta"][:] = rng.normal(0, 1, u)
            h = rng.permutation(n * p * u).reshape(n, p, u).astype(np.int32) * 7 - 3 * n * p * u
            self.layers.append(layer)
            self.h.append(h)
            self.caches.append(layer.forward_train(h)[1])

    def definition(self, target):
        """R as a function of the arrays of each layer: [(h, gamma, beta), ...]."""
        def value(points):
            levels = [255] + [1] * (len(points) - 1)
            return naive.lacking_tolerance([(*point, layer.eps, level) for point, layer, level in
                                            zip(points, self.layers[1:], levels)], target)
        return value

    def points(self):
        return [(h.astype(float), *(layer.parameters[name].astype(float) for name in ("gamma", "beta")))
                for h, layer in zip(self.h, self.layers[1:])]


def penalty_gradients(stack, regulariser):
    """(value, [(dh, dgamma, dbeta)]) of the regulariser alone."""
    value, penalties = regulariser(stack, stack.caches)
    found = []
    for i, layer in enumerate(stack.layers[1:], 1):
        dh, gradients = layer.backward(np.zeros(stack.h[i - 1].shape, np.float32), stack.caches[i], penalties[i])
        found.append((dh, gradients["gamma"], gradients["beta"]))
    return value, found


def wrong_by(gradients, definition, points, rng, which, at):
    """Relative error of one array's gradient along a random direction, by central differences in float64."""
    direction = rng.normal(size=points[at][which].shape)
    step = 1e-6 * np.abs(points[at][which]).max()

    def moved(sign):
        arrays = [list(point) for point in points]
        arrays[at][which] = arrays[at][which] + sign * step * direction
        return definition(arrays)

    slope = (moved(1) - moved(-1)) / (2 * step)
    return abs(np.sum(gradients[at][which].astype(float) * direction) - slope) / abs(slope)


SIZES = [(6, 1, 9), (6, 5, 4)]
TARGET = 250.0                      # about half of the neurons lack it


@pytest.mark.jit_off
@pytest.mark.parametrize("which", [0, 1, 2], ids=["h", "gamma", "beta"])
@pytest.mark.parametrize("at", [0, 1])
def test_gradients_are_the_slopes_of_the_definition(rng, at, which):
    """Of h, gamma and beta, through mean and variance of the batch; a thousandth more is noticed."""
    stack = Stack(rng, SIZES)
    value, gradients = penalty_gradients(stack, DirectRegulariser(0.7, TARGET))
    definition, points = stack.definition(TARGET), stack.points()
    assert value == pytest.approx(0.7 * definition(points), rel=1e-12)
    gradients = [[array / 0.7 for array in layer] for layer in gradients]
    for _ in range(5):
        seed = rng.integers(2**32)
        check = lambda g: wrong_by(g, definition, points, np.random.default_rng(seed), which, at)    # noqa: E731
        assert check(gradients) < 3e-5
        assert check([[1.001 * array for array in layer] for layer in gradients]) > 3e-4


@pytest.mark.jit_off
def test_a_gradient_that_takes_the_threshold_for_constant_is_noticed(rng):
    """The same check, on a wrong model: batch statistics do move with h."""
    stack = Stack(rng, SIZES)
    value, penalties = DirectRegulariser(1.0, TARGET)(stack, stack.caches)
    dh = np.zeros(stack.h[1].shape, np.float32)
    penalties[2].add_to(dh)
    assert wrong_by([None, [dh]], stack.definition(TARGET), stack.points(), rng, 0, 1) > 1e-3


@pytest.mark.jit_off
def test_a_constant_neuron_is_left_alone():
    """gamma = 0: no flip changes its output, and 1 / gamma would be infinite."""
    stack = Stack(np.random.default_rng(1), SIZES[:1])
    stack.layers[1].parameters["gamma"][3] = 0
    stack.caches[1] = stack.layers[1].forward_train(stack.h[0])[1]
    value, [(dh, dgamma, dbeta)] = penalty_gradients(stack, DirectRegulariser(1.0, 1e4))
    assert np.isfinite(value) and not dh[:, :, 3].any() and dgamma[3] == dbeta[3] == 0
    assert np.isfinite(dgamma).all() and np.isfinite(dbeta).all() and dh.any()


# whole networks

CASES = {"FCNN": ("FC70 FC33 FC5", (1, 5, 5), 0), "CNN": ("C8 MP2 C70 MP2 FC64 FC10", (1, 12, 12), 128)}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_of_a_network(rng, case):
    """All hidden layers, conv ones at the nearest of their pooled positions, the first in units of Z pixels levels."""
    spec, shape, offset = CASES[case]
    model = build(spec, shape, offset, rng=5)
    for layer in model.layers:
        if "beta" in layer.parameters:
            layer.parameters["beta"][:] = rng.normal(0, 0.3, layer.units)
            layer.parameters["gamma"][:] += rng.normal(0, 0.3, layer.units)
    images, labels = rng.integers(0, 256, (6, *shape), np.uint8), rng.integers(0, 5, 6)
    blocks = naive_network.of_model(model)
    caches = naive_network.forward(blocks, images, offset)[1]
    hidden = [(cache["h"].reshape(6, -1, cache["h"].shape[-1]).astype(float), block["gamma"], block["beta"],
               block["eps"], 1 if i else max(offset, 255 - offset))
              for i, (block, cache) in enumerate(zip(blocks, caches)) if block["sign"]]
    scores, own_caches = model.forward_train(images)
    value, penalties = DirectRegulariser(3.0, 4.0)(model, own_caches)
    assert value == pytest.approx(3 * naive.lacking_tolerance(hidden, 4.0), rel=1e-10) and value > 0
    assert len(penalties) == len(hidden)
    dscores = cross_entropy(scores, labels)[1]
    plain = [{name: array.copy() for name, array in each.items()} for each in model.backward(dscores, own_caches)]
    found = model.backward(dscores, own_caches, penalties=penalties)
    for i, each in enumerate(found):
        last = i >= len(model.layers) - 2                        # no hidden neuron is behind the output layer
        for name, array in each.items():
            assert np.array_equal(array, plain[i][name]) == last, f"layer {i} {name}"


def test_without_strength_nothing_changes(rng):
    model = build("FC20 FC5", (1, 5, 5), rng=5)
    images, labels = rng.integers(0, 256, (6, 1, 5, 5), np.uint8), rng.integers(0, 5, 6)
    scores, caches = model.forward_train(images)
    for regulariser in (DirectRegulariser(0.0, 16.0), DirectRegulariser(1.0, 0.0)):
        value, penalties = regulariser(model, caches)
        assert value < 0.5                                       # T = -1 / 2 at a threshold lacks half a flip
    penalties = DirectRegulariser(0.0, 16.0)(model, caches)[1]
    dscores = cross_entropy(scores, labels)[1]
    plain = [{name: array.copy() for name, array in each.items()} for each in model.backward(dscores, caches)]
    for each, wanted in zip(model.backward(dscores, caches, penalties=penalties), plain):
        for name, array in each.items():
            np.testing.assert_array_equal(array, wanted[name])


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: DirectRegulariser(-0.1), ValueError, "strength must be >= 0"),
    (lambda: DirectRegulariser(0.1, -1), ValueError, r"target \(T\*\) must be >= 0, got -1"),
    (lambda: DirectRegulariser(0.1, np.nan), ValueError, r"target \(T\*\) must be finite"),
    (lambda: DirectRegulariser("0.1"), TypeError, "strength must be a real number")])
def test_bad_settings(call, error, message):
    with pytest.raises(error, match=message):
        call()
