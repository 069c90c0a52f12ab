"""Somebody else's network, given as +-1 arrays, against a naive evaluation of those arrays."""

import naive
import numpy as np
import pytest
from naive_network import signs

import bnnsim
from bnnsim.packed.network import PackedNetwork


@pytest.fixture
def rng():
    return np.random.default_rng(71)


def pm1(rng, *shape):
    return rng.choice([-1, 1], shape)


def norm(rng, units, size):
    """Batch norm about pre-activations of this size; gamma of both signs, and one 0."""
    gamma = rng.normal(0, 1, units)
    gamma[0] = 0
    return {"gamma": gamma, "beta": rng.normal(0, 1, units), "mean": rng.normal(0, size, units),
            "var": np.exp(rng.normal(np.log(size) * 2, 1, units)), "eps": 1e-3}


def ended(fields, h):
    """What follows the pre-activations of a layer: +-1, or scores where it is the last."""
    if "threshold" in fields:
        return naive.threshold_bits(h, np.asarray(fields["threshold"]),
                                    np.asarray(fields.get("inverted", 0)).astype(bool))
    if "gamma" not in fields:
        return h
    y = (h - fields["mean"]) / np.sqrt(fields["var"] + fields["eps"]) * fields["gamma"] + fields["beta"]
    return y


def evaluate(stack, images, offset):
    """Flattening is in the order that a dense layer's fields say."""
    x = naive.pixels(images, offset)
    for i, fields in enumerate(stack):
        weight = np.asarray(fields["weight"])
        if weight.ndim == 4:
            h = naive.conv(x, weight, fields.get("stride", 1), fields.get("padding", 0),
                           fields.get("pad_value", 0))
            h = naive.max_pool(h, fields.get("pool", 1))[0]
        else:
            if x.ndim == 4 and fields.get("flatten") == "CHW":
                x = np.moveaxis(x, 3, 1)
            h = x.reshape(len(x), -1) @ weight.T
        x = ended(fields, h)
        if i < len(stack) - 1 and "threshold" not in fields:
            x = signs(x)
    return x


def check(stack, shape, offset, rng):
    # else all images are alike to a dense layer
    bright = rng.random((20, *shape)) < rng.random((20, 1, 1, 1))
    images = rng.integers(0, 64, (20, *shape), np.uint8) + np.uint8(191) * bright
    comp = PackedNetwork.from_arrays(stack, shape, offset).scores(images)
    ref = evaluate(stack, images, offset)
    np.testing.assert_allclose(comp, ref, rtol=1e-12, atol=1e-9)
    assert len(np.unique(ref)) > 5


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize("order", ["HWC", "CHW"])
def test_dense_with_batch_norm(rng, offset, order):
    stack = [{"weight": pm1(rng, 70, 24), "flatten": order, **norm(rng, 70, 600)},
             {"weight": pm1(rng, 30, 70).astype(np.float32), **norm(rng, 30, 8)},
             {"weight": pm1(rng, 4, 30).astype(np.int8), **norm(rng, 4, 3)}]
    check(stack, (2, 3, 4), offset, rng)


def test_thresholds(rng):
    """Real thresholds too, and far ones; outputs inverted where asked; integer logits at the end."""
    stack = [{"weight": pm1(rng, 70, 16), "threshold": rng.normal(0, 400, 70),
              "inverted": rng.random(70) < 0.5},
             {"weight": pm1(rng, 66, 70), "threshold": np.r_[rng.integers(-8, 9, 64), -10**6, 10**6]},
             {"weight": pm1(rng, 5, 66)}]
    check(stack, (1, 4, 4), 128, rng)


@pytest.mark.parametrize("order", ["HWC", "CHW"])
def test_conv(rng, order):
    """Strides, even kernels, pooling, padding of each kind, 70 channels, flattened either way."""
    stack = [{"weight": pm1(rng, 70, 3, 3, 3), "order": "HWC", "padding": 1, "pool": 2, **norm(rng, 70, 500)},
             {"weight": pm1(rng, 10, 2, 2, 70), "padding": 1, "pad_value": -1, "stride": 2,
              **norm(rng, 10, 15)},
             {"weight": pm1(rng, 6, 1, 2, 10), "padding": 1, "pad_value": 1,
              "threshold": rng.integers(-3, 4, 6),
              "inverted": rng.integers(0, 2, 6)},
             {"weight": pm1(rng, 7, 5 * 3 * 6), "flatten": order, **norm(rng, 7, 10)}]
    check(stack, (3, 8, 7), 128, rng)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("given", ["threshold", "norm"])
def test_the_sign_of_0(rng, given, strict):
    """Ties in half of the sums' parity, gamma of both signs and 0; an inverted threshold is inverted afterwards."""
    weight, last = pm1(rng, 8, 4), pm1(rng, 3, 8)
    t, gamma = np.array([-2, 0, 2, 1.5, -4, 4, 0, 0]), np.array([1, -1, -2, 1, 0.5, -1, 0, 0])
    beta = np.array([0, 0, 0, 0, 0, 0, 0, 1.0])
    inverted = rng.integers(0, 2, 8)
    fields = {"threshold": t, "inverted": inverted} if given == "threshold" else \
        {"gamma": gamma, "mean": t, "var": np.ones(8), "beta": beta}
    network = PackedNetwork.from_arrays([{"weight": weight, "strict": strict, **fields}, {"weight": last}], (1, 2, 2),
                                        input="binary")
    x = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    h = x @ weight.T
    y = h - t if given == "threshold" else (h - t) * gamma + beta
    bits = (y > 0) if strict else (y >= 0)
    bits = bits != (inverted == 1) if given == "threshold" else bits
    np.testing.assert_array_equal(network.scores((x + 1).astype(np.uint8).reshape(-1, 1, 2, 2)),
                                  np.where(bits, 1, -1) @ last.T)
    assert np.any(y == 0)


def test_pixels_are_no_bits(rng):
    """A network that reads +-1 gives wrong classes of pixels 0..255, and of 0 and 1: as the hint says, it is right."""
    stack = [{"weight": pm1(rng, 8, 16), "threshold": np.zeros(8)}, {"weight": pm1(rng, 3, 8)}]
    network = PackedNetwork.from_arrays(stack, (1, 4, 4), input="binary")
    pixels = bnnsim.Split(rng.integers(0, 256, (9, 1, 4, 4), np.uint8), rng.integers(0, 3, 9), "pixels", 3)
    for use in (network.accuracy, lambda split: bnnsim.sweep(network, split, [0.1], 2, rng=0, progress=False),
                lambda split: network.scores(split.images // 255 + np.uint8(1)),
                lambda split: bnnsim.certificates.certified_flips(network, split.images)):
        with pytest.raises(ValueError, match=r"0 \(-1\) and 2 \(\+1\), got pixel \d+: pass bnnsim\.interop\.binary_im"):
            use(pixels)
    bits = bnnsim.interop.binary_images(pixels.images, 100)
    np.testing.assert_array_equal(network.scores(bits), evaluate(stack, bits, 1))


def test_a_norm_without_gamma_and_beta(rng):
    stack = [{"weight": pm1(rng, 9, 16), "mean": rng.normal(0, 300, 9), "var": np.ones(9)}, {"weight": pm1(rng, 4, 9)}]
    whole = [{**stack[0], "gamma": np.ones(9), "beta": np.zeros(9)}, stack[1]]
    assert PackedNetwork.from_arrays(stack, (1, 4, 4)).checksum == PackedNetwork.from_arrays(whole, (1, 4, 4)).checksum


def test_a_network_in_pytorch_s_layouts(rng):
    """Conv weights (K, C, kh, kw), features in C, H, W order: as the docstring says to pass them on."""
    conv, dense = pm1(rng, 5, 2, 3, 3), pm1(rng, 4, 5 * 6 * 5)
    first, images = norm(rng, 5, 400), rng.integers(0, 256, (3, 2, 6, 5), np.uint8)
    padded = np.pad(images.astype(int), ((0, 0), (0, 0), (1, 1), (1, 1)))
    h = np.array([[[[np.sum(padded[n, :, i:i + 3, j:j + 3] * conv[k]) for j in range(5)] for i in range(6)]
                   for k in range(5)] for n in range(3)])
    unit = {name: np.reshape(value, (-1, 1, 1)) if np.ndim(value) else value for name, value in first.items()}
    ref = signs(ended(unit, h)).reshape(3, -1) @ dense.T
    network = PackedNetwork.from_arrays([{"weight": conv.transpose(0, 2, 3, 1), "padding": 1, **first},
                                         {"weight": dense, "flatten": "CHW"}], (2, 6, 5))
    np.testing.assert_array_equal(network.scores(images), ref)


def test_the_arrays_are_left_alone(rng):
    """They are somebody else's: neither changed nor kept."""
    stack = [{"weight": pm1(rng, 6, 16), "threshold": rng.integers(-99, 99, 6)}, {"weight": pm1(rng, 3, 6)}]
    images = rng.integers(0, 256, (4, 1, 4, 4), np.uint8)
    before = [{name: value.copy() for name, value in fields.items()} for fields in stack]
    network = PackedNetwork.from_arrays(stack, (1, 4, 4), metadata={"from": "afar"})
    ref = network.scores(images)
    for fields, old in zip(stack, before):
        for name, value in fields.items():
            np.testing.assert_array_equal(value, old[name])
            value[...] = 1
    np.testing.assert_array_equal(network.scores(images), ref)
    assert network.metadata == {"from": "afar"}


HIDDEN = {"weight": np.ones((3, 4)), "gamma": np.ones(3), "beta": np.zeros(3), "mean": np.zeros(3),
          "var": np.ones(3)}
LAST = {"weight": np.ones((2, 3))}


def without(*names):
    return {name: value for name, value in HIDDEN.items() if name not in names}


BAD = {
    "zero weight": (dict(HIDDEN, weight=np.zeros((3, 4))), "only .1 and -1; all are 0: whether"),
    "latent weights": (dict(HIDDEN, weight=np.linspace(-1, 1, 12).reshape(3, 4)),
                       r"layers\[0\] weight must hold only .* for latent weights"),
    "NaN weight": (dict(HIDDEN, weight=np.full((3, 4), np.nan)), "weight must be finite, got nan"),
    "bits": (dict(HIDDEN, weight=np.ones((3, 4), bool)), "must be a .-1 array"),
    "three axes": (dict(HIDDEN, weight=np.ones((3, 2, 2))), "must be a .-1 array"),
    "fan-in": (dict(HIDDEN, weight=np.ones((3, 5))), "n_in must be 4, the number of values before it"),
    "fan-in, CHW": (dict(HIDDEN, weight=np.ones((3, 5)), flatten="CHW"), "must have 4 columns, got 5"),
    "channels": (dict(HIDDEN, weight=np.ones((3, 2, 2, 2))), "n_in must be 1, the channels before it, got 2"),
    "PyTorch's order": (dict(HIDDEN, weight=np.ones((3, 1, 1, 2))), "got .3, 1, 1, 2., which looks like PyTorch"),
    "unknown order": (dict(HIDDEN, weight=np.ones((3, 1, 1, 1)), order="KCHW"), "order must be one of 'HWC', 'CHW'"),
    "order of a dense": (dict(HIDDEN, order="CHW"), "order belongs to a conv layer"),
    "gamma length": (dict(HIDDEN, gamma=np.ones(4)), r"layers\[0\] gamma must have shape .3,., .*got .4,."),
    "scalar mean": (dict(HIDDEN, mean=0.0), r"mean must have shape .3,."),
    "no weight": (without("weight"), "must have 'weight'"),
    "unknown key": (dict(HIDDEN, biases=np.zeros(3)),
                    r"layers\[0\] must have 'weight' and may have .*; got .*bias"),
    "no end": ({"weight": np.ones((3, 4))}, "must have a threshold, or batch norm"),
    "no variance": (without("var"), "missing var"),
    "no mean": (without("mean", "gamma"), "takes gamma as 1 and beta as 0 where they are not given; missing mean"),
    "strict": (dict(HIDDEN, strict=1), "strict must be True"),
    "both": (dict(HIDDEN, threshold=np.zeros(3)), "a threshold or batch norm, not both"),
    "both, without gamma": (dict(without("gamma"), threshold=np.zeros(3)), "not both"),
    "inverted without threshold": (dict(HIDDEN, inverted=np.ones(3)), "inverted belongs to a threshold"),
    "var 0": (dict(HIDDEN, var=np.array([1, 0, 1.0])), "var must be >= 0 and var . eps > 0"),
    "var < 0": (dict(HIDDEN, var=np.array([1, -1e-9, 1.0]), eps=1e-3), "var must be >= 0"),
    "NaN gamma": (dict(HIDDEN, gamma=np.array([1, np.nan, 1])),
                  r"layers\[0\] gamma must be finite, got nan at index"),
    "NaN var": (dict(HIDDEN, var=np.array([1, np.nan, 1])), r"layers\[0\] var must be finite"),
    "infinite mean": (dict(HIDDEN, mean=np.array([1, np.inf, 1])), r"layers\[0\] mean must be finite"),
    "NaN eps": (dict(HIDDEN, eps=np.nan), "eps must be finite"),
    "eps < 0": (dict(HIDDEN, eps=-1e-3), "eps must be >= 0"),
    "NaN threshold": ({"weight": np.ones((3, 4)), "threshold": [0, np.nan, 1]}, "threshold must be finite"),
    "threshold length": ({"weight": np.ones((3, 4)), "threshold": [0, 1]}, "threshold must have shape"),
    "stride": (dict(HIDDEN, weight=np.ones((3, 1, 1, 1)), stride=0), "stride must be"),
    "stride of a dense": (dict(HIDDEN, stride=2), "stride must be"),
    "pad value": (dict(HIDDEN, weight=np.ones((3, 1, 1, 1)), pad_value=2), "pad_value must be"),
    "kernel": (dict(HIDDEN, weight=np.ones((3, 3, 3, 1))), "must fit its input of 2 x 2"),
    "pool": (dict(HIDDEN, weight=np.ones((3, 1, 1, 1)), pool=3), "must fit its input of 2 x 2"),
    "flatten": (dict(HIDDEN, flatten="WHC"), "flatten must be one of 'HWC', 'CHW'"),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_input(row):
    """What is silently ignored or guessed here is a network that is slightly another."""
    fields, message = BAD[row]
    last = {"weight": np.ones((2, 12))} if np.ndim(fields.get("weight")) == 4 else LAST
    with pytest.raises(TypeError if row == "strict" else ValueError, match=message):
        PackedNetwork.from_arrays([fields, last], (1, 2, 2))


@pytest.mark.parametrize("fields, message", [
    (dict(LAST, threshold=np.zeros(2), mean=np.zeros(2), var=np.ones(2)), "a threshold or batch norm, not both"),
    (dict(LAST, mean=np.zeros(2)), "missing var"), (dict(LAST, strict=True), "must not have strict: the last layer"),
    ({"weight": np.ones((2, 1, 1, 3))}, r"layers\[1\] is conv behind a dense layer")])
def test_bad_last_layer(fields, message):
    with pytest.raises(ValueError, match=message):
        PackedNetwork.from_arrays([HIDDEN, fields], (1, 2, 2))


def test_no_layers():
    with pytest.raises(ValueError, match="layers must be a sequence of dicts of arrays, one a layer, one at least"):
        PackedNetwork.from_arrays([], (1, 2, 2))
    with pytest.raises(TypeError, match="layers must be a sequence of dicts of arrays, one a layer, got 3"):
        PackedNetwork.from_arrays(3, (1, 2, 2))
