"""Layers that the architectures of graphs brought: against loops over their definitions, on integers, so exactly."""

import numpy as np
import pytest

import bnnsim
from bnnsim import layers
from bnnsim.packed.words import pack_bits

pytestmark = pytest.mark.jit_off


@pytest.fixture
def rng():
    return np.random.default_rng(15)


def integers(rng, shape):
    """Small integers in float32, whose sums are exact."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def naive_blur(x, taps, stride, padding):
    """Each channel of a map (H, W, C) filtered, by rows and columns, padded with 0; float64."""
    top, left, bottom, right = padding
    x, k = np.pad(x.astype(np.float64), ((top, bottom), (left, right), (0, 0))), len(taps)
    rows, columns = range(0, x.shape[0] - k + 1, stride), range(0, x.shape[1] - k + 1, stride)
    weight = np.outer(taps, taps) / np.sum(taps) ** 2
    return np.array([[np.einsum("ijc,ij->c", x[i:i + k, j:j + k], weight) for j in columns] for i in rows])


@pytest.mark.parametrize("size, taps", [(2, [1, 1]), (3, [1, 2, 1]), (5, [1, 4, 6, 4, 1])])
@pytest.mark.parametrize("stride, padding", [(2, (1, 1, 1, 1)), (1, (0, 1, 2, 0)), (3, (0, 0, 0, 0))])
def test_a_blur_pool_is_its_filter(rng, size, taps, stride, padding):
    """The way back is the filter's transpose: <blur(x), d> = <x, back(d)> for all x and d."""
    layer, x = layers.BlurPool2d(3, size, stride, padding), integers(rng, (2, 6, 7, 3))
    out, cache = layer.forward_train(x)
    ref = np.stack([naive_blur(image, taps, stride, padding) for image in x])
    np.testing.assert_array_equal(out, ref)
    np.testing.assert_array_equal(layer.forward(x), ref)
    assert layer.output_shape((6, 7, 3)) == ref.shape[1:] and layer.parameters == {}
    d = integers(rng, ref.shape)
    dx, found = layer.backward(d, cache)
    assert found == {} and float((ref * d).sum()) == float((x * dx.astype(np.float64)).sum())
    e = np.zeros_like(x)
    e[1, 2, 3, 1] = 1
    assert float((layer.forward(e) * d).sum()) == float(dx[1, 2, 3, 1])
    assert layer.settings()["kernel"] == (size, size)


def test_a_blur_pool_of_another_size_is_refused():
    with pytest.raises(ValueError, match="size must be one of 2, 3, 5, got 4"):
        layers.BlurPool2d(3, 4)


def test_pre_activations_as_reals_are_the_same_numbers(rng):
    layer, h = layers.AsReals(3), rng.integers(-2**20, 2**20, (2, 4, 4, 3)).astype(np.int32)
    out, cache = layer.forward_train(h)
    assert out.dtype == np.float32 and layer.output_shape((4, 4, 3)) == (4, 4, 3)
    np.testing.assert_array_equal(out, h)
    np.testing.assert_array_equal(layer.forward(h.astype(np.float32)), h)
    d = integers(rng, h.shape)
    np.testing.assert_array_equal(layer.backward(d, cache)[0], d)


@pytest.mark.parametrize("settings", [{}, {"pad_value": "plus"}, {"pad_value": "minus", "padding": (0, 1, 2, 0)},
                                      {"kernel": (1, 2), "padding": 0, "dilation": (1, 2)}, {"groups": 2},
                                      {"stride": (2, 1)}], ids=str)
def test_a_latent_convolution_of_weights_of_size_one_is_a_binary_one(rng, settings):
    """Forward and both gradients: the two stages compute the same where latent weights are their signs."""
    binary = layers.Conv2d(6, 4, **settings, generator=rng)
    binary.parameters["weight"][...] = np.where(binary.parameters["weight"] >= 0, 1, -1)
    latent = layers.LatentConv2d(binary)
    bits = rng.integers(0, 2, (3, 6, 5, 6)).astype(np.uint8)
    (h, cache), (out, latent_cache) = (layer.forward_train(pack_bits(bits)) for layer in (binary, latent))
    np.testing.assert_array_equal(out, h)
    assert latent.output_shape((6, 5, 6)) == binary.output_shape((6, 5, 6)) == out.shape[1:]
    d = integers(rng, h.shape)
    (dx, found), (latent_dx, latent_found) = binary.backward(d, cache, "float32"), latent.backward(d, latent_cache)
    np.testing.assert_array_equal(latent_dx, dx)
    np.testing.assert_array_equal(latent_found["kernel"], found["weight"])


def test_a_latent_convolution_uses_real_weights_of_its_own(rng):
    binary = layers.Conv2d(3, 2, generator=rng)
    latent, x = layers.LatentConv2d(binary), rng.integers(0, 2, (1, 1, 1, 3)).astype(np.uint8)
    kernel = binary.parameters["weight"].copy()
    binary.parameters["weight"][...] = 0
    ref = (kernel[:, 1, 1] * (2.0 * x[0, 0, 0] - 1)).sum(axis=1)
    np.testing.assert_allclose(latent.forward(pack_bits(x))[0, 0, 0], ref, rtol=1e-6)
    with pytest.raises(ValueError, match="must not be .replicate."):
        layers.LatentConv2d(layers.Conv2d(3, 2, pad_value="replicate", generator=rng))


def test_the_first_stage_has_no_packed_form(rng):
    wiring = bnnsim.Wiring()
    conv = layers.LatentConv2d(layers.Conv2d(2, 2, generator=rng))
    wiring.add(layers.Pixels(2), layers.Sign(2), conv, layers.GlobalAverage(), layers.RealDense(2, 2, generator=rng))
    with pytest.raises(TypeError, match=r"layers\[2\], LatentConv2d, has no packed form"):
        bnnsim.pack(bnnsim.Graph(wiring.nodes, (2, 4, 4)))


def test_a_convolution_of_pixels_has_no_gradient_of_them(rng):
    """A model's gradients are those that the layer by itself has, in both ways to go back."""
    wiring = bnnsim.Wiring()
    stem = layers.RealConv2d(2, 3, bias=True, generator=rng)
    wiring.add(layers.Pixels(2), stem, layers.GlobalAverage(), layers.RealDense(3, 2, generator=rng))
    alone = layers.RealConv2d(2, 3, bias=True, generator=rng)
    alone.parameters["kernel"][...] = stem.parameters["kernel"]
    model, images = bnnsim.Graph(wiring.nodes, (2, 4, 5)), rng.integers(0, 256, (3, 2, 4, 5)).astype(np.uint8)
    scores, caches = model.forward_train(images)
    found = model.backward(np.ones(scores.shape, np.float32), caches)
    assert stem.of_pixels and found[0] == {} and not alone.of_pixels
    dmap = model.layers[3].backward(np.ones(scores.shape, np.float32), caches[3])[0]
    dx, ref = alone.backward(model.layers[2].backward(dmap, caches[2])[0], caches[1])
    assert dx.shape == (3, 4, 5, 2) and stem.backward(np.zeros((3, 4, 5, 3), np.float32), caches[1])[0] is None
    assert found[1].keys() == ref.keys() == {"kernel", "bias"}
    assert all(np.array_equal(found[1][name], ref[name]) for name in ref)
    before = stem.parameters["kernel"].copy()
    model.backward_update(np.ones(scores.shape, np.float32), caches, bnnsim.optimizers.Sgd(0.1), 1.0, 1)
    assert caches == [] and not np.array_equal(before, stem.parameters["kernel"])
