"""Gradients of graphs, layer by layer and whole, against slopes of a twin in float64; numbers of threads and parts."""

import copy

import graph_models
import numpy as np
import pytest
from graph_models import MODELS, rng_of, smooth
from kernel_calls import in_threads
from naive_surrogate import Surrogate
from training_run import small_split
import slow_cases

import bnnsim.training.layers as layers
import bnnsim.training.layers.real_weights as real_weights
from bnnsim.training.losses import cross_entropy
from bnnsim.training.optimizers import Adam


def spread(rng, *shape):
    """float32 values of which no two tie, and none lies near 0, 1 or -1, where slopes jump."""
    x = np.linspace(-2.6, 2.6, int(np.prod(shape)) * 2)
    x = x[np.min(np.abs(x[:, None] - [-2, -1, -0.5, 0, 0.5, 1, 2]), axis=1) > 0.01]
    return rng.permutation(x)[:int(np.prod(shape))].reshape(shape).astype(np.float32)


def close(came, wanted, tolerance=2e-5):
    assert came.dtype == np.float32 and came.shape == wanted.shape
    assert np.abs(came - wanted).max(initial=0) <= tolerance * (np.abs(wanted).max(initial=0) + 1e-3)


# ---------------------------------------------------------------- layer by layer

def real_conv(c, k, *args, **settings):
    conv = layers.RealConv2d(c, k, *args, **settings, generator=rng_of(c, k))
    conv.bias[:] = rng_of(k).normal(size=k) * ("bias" in conv.parameters)
    return conv


def with_random(layer):
    for value in layer.parameters.values():
        value[:] = spread(rng_of(1), *value.shape)
    return layer


MAP, ROWS = (3, 4, 5, 3), (6, 5)
LAYERS = {
    "prelu": (lambda: with_random(layers.PReLU(3)), [MAP]), "prelu rows": (lambda: layers.PReLU(5, -0.5), [ROWS]),
    "hard tanh": (lambda: layers.HardTanh(-0.5, 1), [MAP]), "relu": (layers.ReLU, [ROWS]),
    "scale and shift": (lambda: with_random(layers.ScaleShift(3)), [MAP]),
    "scale": (lambda: with_random(layers.ScaleShift(5, shift=False)), [ROWS]),
    "shift": (lambda: with_random(layers.ScaleShift(3, scale=False)), [MAP]),
    "average": (lambda: layers.AveragePool2d(2), [MAP]),
    "average, padded": (lambda: layers.AveragePool2d((3, 2), (2, 1), (1, 0, 2, 1)), [MAP]),
    "average, whole": (lambda: layers.AveragePool2d(3, 1, 1, whole=True), [MAP]),
    "average of gaps": (lambda: layers.AveragePool2d(1, 3), [MAP]),
    "largest": (lambda: layers.RealMaxPool2d(2, 1), [MAP]),
    "largest, padded": (lambda: layers.RealMaxPool2d((3, 2), (1, 2), (2, 1, 1, 0)), [MAP]),
    "global": (layers.GlobalAverage, [MAP]),
    "add": (layers.Add, [MAP, MAP, MAP]), "add rows": (layers.Add, [ROWS, ROWS]),
    "concatenate": (layers.Concatenate, [MAP, (3, 4, 5, 1), (3, 4, 5, 4)]),
    "concatenate rows": (layers.Concatenate, [ROWS, (6, 1)]),
    "dense": (lambda: with_random(layers.RealDense(5, 4, generator=rng_of(0))), [ROWS]),
    "dense of maps": (lambda: with_random(layers.RealDense(60, 2, generator=rng_of(0))), [MAP]),
    "conv": (lambda: real_conv(3, 4, 3, bias=True), [MAP]),
    "conv 1 x 1": (lambda: real_conv(3, 17, 1, padding=0), [MAP]),
    "conv, sides": (lambda: real_conv(3, 2, (2, 3), (2, 1), (0, 2, 1, 1), (2, 1), bias=True), [MAP]),
    "conv, far padding": (lambda: real_conv(3, 2, 2, 3, 4), [MAP]),
    "groups": (lambda: real_conv(6, 4, 2, groups=2, bias=True), [(2, 3, 3, 6)]),
    "depthwise": (lambda: real_conv(3, 3, 3, (1, 2), (1, 0, 0, 2), groups=3, bias=True), [MAP]),
    "depthwise, two each": (lambda: real_conv(3, 6, 3, groups=3), [MAP]),
    **{f"sign, {ste}": (lambda ste=ste: with_random(layers.Sign(3, ste, learned=True)), [MAP])
       for ste in ("clipped", "identity", "approx", "swish")},
    "norm": (lambda: with_random(layers.BatchNormReal(3)), [MAP]),
    "norm of rows": (lambda: with_random(layers.BatchNormReal(5)), [ROWS])}


def slopes(f, at, dout, name, step=1e-6):
    found = np.empty(at[name].size)
    for i in range(found.size):
        ends = []
        for sign in (1, -1):
            moved = at[name].copy()
            moved.reshape(-1)[i] += sign * step
            ends.append((dout * f({**at, name: moved})).sum())
        found[i] = (ends[0] - ends[1]) / (2 * step)
    return found.reshape(at[name].shape)


def gradients(layer, inputs):
    """(dout, dx of each input, gradients of parameters by name)."""
    out, cache = layer.forward_train(*inputs)
    shape = (*out.shape[:-1], inputs[0].shape[-1]) if layer.gives == "bits" else out.shape
    dout = rng_of(9).normal(size=shape).astype(np.float32)
    dx, found = in_threads(lambda: _flat(layer.backward(dout, cache)))[:-1], layer.backward(dout, cache)[1]
    return dout, dx, found


def _flat(given):
    dx, found = given
    dxs = tuple(each.copy() for each in (dx if type(dx) is tuple else (dx,)))
    return (*dxs, np.concatenate([value.reshape(-1) for value in found.values()] or [np.empty(0)]))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layers_gradients_are_slopes(name):
    make, shapes = LAYERS[name]
    layer, inputs = make(), [spread(rng_of(3, i), *shape) for i, shape in enumerate(shapes)]
    f, at = Surrogate.of_layer(layer, *inputs)
    if layer.gives == "reals":
        np.testing.assert_allclose(layer.forward_train(*inputs)[0], f(at), rtol=1e-4, atol=1e-4)
    dout, dx, found = gradients(layer, inputs)
    assert found.keys() == layer.parameters.keys() and len(dx) == len(inputs)
    for i, each in enumerate(dx):
        close(each, slopes(f, at, dout.astype(np.float64), str(i)), 1e-4 if "norm" in name else 2e-5)
    for key, each in found.items():
        close(each, slopes(f, at, dout.astype(np.float64), key), 1e-4 if "norm" in name else 2e-5)


def test_a_gradient_that_is_wrong_by_a_thousandth_is_noticed(monkeypatch):
    right = layers.RealConv2d.backward

    def wrong(self, dout, cache):
        dx, found = right(self, dout, cache)
        return dx * np.float32(1.001), found

    monkeypatch.setattr(layers.RealConv2d, "backward", wrong)
    with pytest.raises(AssertionError):
        test_a_layers_gradients_are_slopes("conv")


@pytest.mark.tiny
@pytest.mark.jit_off
@pytest.mark.parametrize("name", ["prelu rows", "largest, padded", "average, padded", "depthwise", "groups",
                                  "sign, clipped", "norm of rows"])
def test_gradients_interpreted(name):
    test_a_layers_gradients_are_slopes(name)


def test_the_largest_of_several_that_tie_is_the_first():
    layer, x = layers.RealMaxPool2d(2), np.ones((1, 2, 2, 1), np.float32)
    out, cache = layer.forward_train(x)
    assert out.item() == 1
    assert layer.backward(np.full((1, 1, 1, 1), 5, np.float32), cache)[0].reshape(-1).tolist() == [5, 0, 0, 0]


@pytest.mark.parametrize("n_images", [1, 3, 7, 8, 9, 30])
def test_weight_sums_of_any_batch_hang_on_no_thread(n_images):
    """Sums over images stand in a fixed number of parts."""
    layer, x = real_conv(3, 5, 3, bias=True), rng_of(0).normal(size=(n_images, 4, 4, 3)).astype(np.float32)
    dout = rng_of(1).normal(size=(n_images, 4, 4, 5)).astype(np.float32)
    _, cache = layer.forward_train(x)
    found = in_threads(lambda: layer.backward(dout, cache)[1]["kernel"])
    close(found, slopes_of_kernel(layer, x, dout))


def slopes_of_kernel(layer, x, dout):
    f, at = Surrogate.of_layer(layer, x)
    return slopes(f, at, dout.astype(np.float64), "kernel")


# ---------------------------------------------------------------- whole graphs

def moved(model, seed):
    """Parameters away from where they start: slopes of 0.25, thresholds of 0."""
    rng = rng_of(seed)
    for layer in model.layers:
        for name, value in layer.parameters.items():
            if name != "weight":
                value += (0.2 * rng.normal(size=value.shape)).astype(np.float32)
    return model


CHECKED = {**MODELS, "smooth": smooth, "residual, clipped": lambda: graph_models.residual(ste="clipped"),
           "residual, swish": lambda: graph_models.residual(ste="swish")}


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("precision", slow_cases.first(1, ["fixed16", "float32"]))
def test_all_gradients_of_a_graph_are_slopes(name, precision):
    """Whatever several layers read has the sum of their gradients."""
    model, images = moved(CHECKED[name](), 5), small_split(12).images
    surrogate = Surrogate(model, images)
    scores, caches = model.forward_train(images)
    np.testing.assert_allclose(scores, surrogate.scores, rtol=1e-4, atol=1e-4)
    dscores = rng_of(2).normal(size=scores.shape).astype(np.float32)
    found = model.backward(dscores, caches, precision)
    rng, checked = rng_of(3), 0
    for i, each in enumerate(found):
        assert each.keys() == model.layers[i].parameters.keys()
        for key, gradient in each.items():
            chosen = rng.choice(gradient.size, min(gradient.size, 8), replace=False)
            wanted = surrogate.differences(dscores.astype(np.float64), f"{i}.{key}", chosen)
            size = np.abs(gradient).max() + 1e-3
            np.testing.assert_allclose(gradient.reshape(-1)[chosen], wanted, rtol=0, atol=size * (
                3e-4 if precision == "float32" else 3e-3), err_msg=f"{i}.{key}")
            checked += len(chosen)
    assert checked > 60


def test_pooling_with_its_convolution_is_pooling_alone():
    """Inside a graph too: a max-pool that alone reads a convolution is computed with it."""
    model = graph_models.dense_blocks()
    images, labels = small_split(20).images, small_split(20).labels
    apart = copy.deepcopy(model)
    for layer in apart.layers:
        if type(layer) is layers.MaxPool2d:
            layer.__class__ = Apart
    results = []
    for each in (model, apart):
        scores, caches = each.forward_train(images)
        _, dscores = cross_entropy(scores, labels)
        results.append((scores, [{key: value.copy() for key, value in layer.items()}
                                 for layer in each.backward(dscores, caches)]))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for one, other in zip(results[0][1], results[1][1]):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


class Apart(layers.MaxPool2d):
    """A max-pool that `Graph` does not know."""


def test_backward_and_update_at_once_are_one_after_the_other():
    for make in MODELS.values():
        split, states = small_split(20), []
        for at_once in (True, False):
            model, optimizer = make(), Adam()
            for step in range(1, 4):
                scores, caches = model.forward_train(split.images)
                _, dscores = cross_entropy(scores, split.labels)
                if at_once:
                    model.backward_update(dscores, caches, optimizer, 1.0, step)
                else:
                    model.update(model.backward(dscores, caches), optimizer, 1.0, step)
            states.append(b"".join(value.tobytes() for value in model.arrays().values()))
        assert states[0] == states[1]


def test_parts_of_a_batch_are_fixed():
    """The order of sums of real weights' gradients hangs on this number: another gives other bytes."""
    assert real_weights.PARTS == 8
