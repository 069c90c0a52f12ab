"""Every layer against `naive`: forward, evaluation, and straight-through gradients against their definition.

A layer that is wrong here trains networks that look plausible and are worse than they should be.
"""

import naive
import numpy as np
import pytest
from naive_network import signs

import bnnsim.training.layers as layers
from bnnsim.training.gradients import scattered
from bnnsim.training.model import Sequential

pytestmark = pytest.mark.jit_off


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def random_pm1(rng, *shape):
    return rng.choice(np.array([-1, 1]), shape)


def random_gradient(rng, *shape):
    """float32 gradients whose rows and columns differ in size by a lot, as they do in training."""
    sizes = np.exp(rng.normal(0, 2, shape[-1:]))
    sizes = sizes * np.exp(rng.normal(0, 2, (shape[0], *[1] * (len(shape) - 1))))
    return (rng.normal(0, 1, shape) * sizes).astype(np.float32)


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


def fixed_sum(values, product):
    """float32 of the exactly summed fixed-point values: `product` takes the integers."""
    whole, scale = naive.fixed_point(values)
    return (product(whole) * scale).astype(np.float32)


def check_within_fixed_point(comp, exact, values, summands):
    """|error| <= scale / 2 * sum |operand|, for values rounded in one piece, and float32's rounding."""
    scale = np.abs(values).max() / naive.FULL_SCALE
    bound = scale / 2 * summands + 2.0**-23 * np.abs(exact)
    assert np.all(np.abs(comp - exact) <= bound)


# dense

DENSE = [(1, 1, 1), (63, 5, 3), (64, 7, 2), (65, 3, 5), (130, 70, 3)]


@pytest.mark.parametrize("n_features, units, n", DENSE)
def test_dense_forward(rng, n_features, units, n):
    layer, x = layers.Dense(n_features, units, rng), random_pm1(rng, n, n_features)
    ref = naive.dense(x, signs(layer.parameters["weight"]))
    same(layer.forward(naive.pack(x)), ref)
    same(layer.forward_train(naive.pack(x))[0], ref)


@pytest.mark.tiny
@pytest.mark.parametrize("n_features, units, n", DENSE)
def test_dense_gradients(rng, n_features, units, n):
    """dW = dH^T X and dX = dH W with the weights' signs: the straight-through estimator's definition."""
    layer, x = layers.Dense(n_features, units, rng), random_pm1(rng, n, n_features)
    dh = random_gradient(rng, n, units)
    weight = signs(layer.parameters["weight"])
    dx, found = layer.backward(dh, layer.forward_train(naive.pack(x))[1])
    exact, exact_dx = dh.T.astype(float) @ x, dh.astype(float) @ weight
    for u in range(units):
        same(found["weight"][u], fixed_sum(dh[:, u], lambda whole: whole @ x))
        check_within_fixed_point(found["weight"][u], exact[u], dh[:, u], n)
    for i in range(n):
        same(dx[i], fixed_sum(dh[i], lambda whole: whole @ weight))
        check_within_fixed_point(dx[i], exact_dx[i], dh[i], units)


@pytest.mark.parametrize("input_shape, units, offset",
                         [((1, 1, 1), 1, 0), ((3, 5, 5), 7, 128), ((2, 4, 9), 65, 255)])
def test_input_dense(rng, input_shape, units, offset):
    """Pixels enter as u - offset, flattened in H, W, C order; nothing flows back to them."""
    layer = layers.InputDense(input_shape, units, offset, rng)
    images = rng.integers(0, 256, (3, *input_shape), np.uint8)
    x, dh = naive.pixels(images, offset).reshape(3, -1), random_gradient(rng, 3, units)
    h, cache = layer.forward_train(images)
    same(h, naive.dense(x, signs(layer.parameters["weight"])))
    same(layer.forward(images), h)
    dx, found = layer.backward(dh, cache)
    assert dx is None
    for u in range(units):
        same(found["weight"][u], fixed_sum(dh[:, u], lambda whole: whole @ x))
        check_within_fixed_point(found["weight"][u], dh[:, u].astype(float) @ x, dh[:, u], np.abs(x).sum(0))


# conv

PAD = {"zero": 0, "plus": 1, "minus": -1}
CONV = [(3, 5, 3, 1, 1, "zero"), (65, 3, 3, 1, 1, "zero"), (70, 6, 2, 1, 0, "zero"), (64, 2, 2, 2, 1, "zero"),
        (3, 70, (3, 2), 2, 2, "zero"), (5, 4, 3, 1, 1, "plus"), (66, 3, 2, 2, 1, "plus"),
        (5, 4, 3, 1, 2, "minus"),
        (130, 2, (2, 3), 2, 1, "minus"), (7, 3, 1, 1, 0, "zero")]
INPUT_CONV = [(1, 5, 3, 1, 1, "zero"), (3, 3, 2, 2, 1, "zero"), (3, 4, (3, 2), 1, 1, "plus"),
              (2, 66, 3, 2, 2, "minus")]


def fixed_conv_dweight(dh, x, layer, k):
    whole, scale = naive.fixed_point(dh[..., k])
    total = naive.conv_dweight(whole[..., None], x, layer.kernel, layer.stride[0], layer.padding[0],
                               layer.pad_value)[0]
    return (total * scale).astype(np.float32)


def check_conv_dweight(comp, dh, x, layer):
    geometry = (layer.kernel, layer.stride[0], layer.padding[0])
    read = naive.patches(x, *geometry, layer.pad_value)
    exact = np.einsum("nijk,nijabc->kabc", dh.astype(float), read)
    summands = np.abs(read).sum((0, 1, 2))
    for k in range(dh.shape[3]):
        same(comp[k], fixed_conv_dweight(dh, x, layer, k))
        check_within_fixed_point(comp[k], exact[k], dh[..., k], summands)


@pytest.mark.parametrize("channels, units, kernel, stride, padding, pad_value", CONV)
def test_conv(rng, channels, units, kernel, stride, padding, pad_value):
    """Forward, dW and dX; a padded position counts as 0, +1 or -1 in every channel, in dW too."""
    layer = layers.Conv2d(channels, units, kernel, stride, padding, pad_value, generator=rng)
    x, weight = random_pm1(rng, 2, 4, 5, channels), signs(layer.parameters["weight"])
    h, cache = layer.forward_train(naive.pack(x))
    same(h, naive.conv(x, weight, stride, padding, PAD[pad_value]))
    same(layer.forward(naive.pack(x)), h)
    assert layer.output_shape((4, 5, channels)) == h.shape[1:]
    dh = random_gradient(rng, *h.shape)
    dx, found = layer.backward(dh, cache)
    check_conv_dweight(found["weight"], dh, x, layer)
    for i in range(len(x)):
        geometry = weight, (1, *x.shape[1:]), stride, padding
        same(dx[i], fixed_sum(dh[i], lambda whole: naive.conv_dx(whole[None], *geometry)[0]))


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize("channels, units, kernel, stride, padding, pad_value", INPUT_CONV)
def test_input_conv(rng, channels, units, kernel, stride, padding, pad_value, offset):
    """Padding is in pixel levels after the offset: zero padding is exactly 0, also where black is -128."""
    layer = layers.InputConv2d(channels, units, kernel, stride, padding, pad_value, offset=offset,
                               generator=rng)
    images = rng.integers(0, 256, (2, channels, 4, 5), np.uint8)
    x = naive.pixels(images, offset)
    h, cache = layer.forward_train(images)
    same(h, naive.conv(x, signs(layer.parameters["weight"]), stride, padding, PAD[pad_value]))
    same(layer.forward(images), h)
    dh = random_gradient(rng, *h.shape)
    dx, found = layer.backward(dh, cache)
    assert dx is None
    check_conv_dweight(found["weight"], dh, x, layer)


# float32 on request

def float_layers(rng):
    """(layer, x, x as integers, exact dW of dh, exact dX of dh) of each kind of layer."""
    def dense(n_features, units, n):
        layer, x = layers.Dense(n_features, units, rng), random_pm1(rng, n, n_features)
        return (layer, naive.pack(x), x, lambda dh, x: dh.T @ x,
                lambda dh, w: dh @ w)

    def conv(channels, units, kernel, stride, padding, pad_value):
        layer = layers.Conv2d(channels, units, kernel, stride, padding, pad_value, generator=rng)
        x = random_pm1(rng, 9, 3, 4, channels)                  # a part more than float sums have, as few positions
        return (layer, naive.pack(x), x, lambda dh, x: exact_conv_dweight(dh, x, layer),
                lambda dh, w: exact_conv_dx(dh, w, x.shape, stride, padding))

    images = rng.integers(0, 256, (9, 3, 3, 4), np.uint8)
    first, first_conv = layers.InputDense((3, 3, 4), 7, 128, rng), layers.InputConv2d(3, 66, offset=5, generator=rng)
    flat = naive.pixels(images, 128).reshape(9, -1)
    return [dense(1, 1, 1), dense(130, 70, 3), dense(65, 7, 40), conv(65, 3, 3, 1, 1, "zero"),
            conv(70, 67, (3, 2), 2, 2, "plus"), conv(3, 6, 2, 1, 0, "minus"),
            (first, images, flat, lambda dh, x: dh.T @ x, None),
            (first_conv, images, naive.pixels(images, 5), lambda dh, x: exact_conv_dweight(dh, x, first_conv), None)]


def exact_conv_dweight(dh, x, layer):
    read = naive.patches(x, layer.kernel, layer.stride[0], layer.padding[0], layer.pad_value)
    return np.einsum("nijk,nijabc->kabc", dh, read)


def exact_conv_dx(dh, weight, x_shape, stride, padding):
    """`naive.conv_dx` of floats: of their integer multiples of 2^-40."""
    return naive.conv_dx(np.rint(dh * 2.0**40), weight, x_shape, stride, padding) / 2.0**40


@pytest.mark.parametrize("row", range(8))
def test_float32_gradients(rng, row):
    """Within float32's rounding of each sum, which 16-bit fixed point is not."""
    layer, x, whole, dweight, dinput = float_layers(rng)[row]
    h, cache = layer.forward_train(x)
    dh = rng.normal(size=h.shape).astype(np.float32)
    dx, found = layer.backward(dh, cache, "float32")
    sizes = np.abs(dh.astype(float))
    pairs = [(found["weight"].copy(), dweight(dh.astype(float), whole), dweight(sizes, np.abs(whole)))]
    if dinput:
        weight = signs(layer.parameters["weight"])
        pairs.append((dx, dinput(dh.astype(float), weight), dinput(sizes, np.abs(weight))))
    coarse = layer.backward(dh, cache)[1]["weight"]
    for comp, exact, size in pairs:
        size = size + (np.abs(dh).sum() if getattr(layer, "padding", 0) else 0)     # zero padding is corrected for
        assert np.all(np.abs(comp - exact) <= 2.0**-22 * size)
    assert h.size < 9 or np.abs(coarse - pairs[0][1]).max() > np.abs(pairs[0][0] - pairs[0][1]).max()


# bit errors on the way from the memory

def masked_conv(rng):
    layer = layers.Conv2d(70, 3, 2, generator=rng)
    return layer, random_pm1(rng, 2, 3, 3, 70)


def masked_dense(rng):
    return layers.Dense(70, 3, rng), random_pm1(rng, 4, 70)


@pytest.mark.parametrize("make", [masked_dense, masked_conv])
@pytest.mark.parametrize("native", [False, True])
def test_gradients_through_flipped_bits(rng, make, native):
    """h and dX are those of the words that were read; dW ignores the flips, or is M * (dH X^T): native."""
    layer, x = make(rng)
    flips = rng.random(layer.parameters["weight"].shape) < 0.3
    mask = naive.pack(np.where(flips, 1, -1))
    twin, _ = make(np.random.default_rng(31))
    twin.parameters["weight"] *= np.where(flips, -1, 1).astype(np.float32)
    twin.refresh()
    h, cache = layer.forward_train(naive.pack(x), layer.words ^ mask, mask if native else None)
    ref_h, ref_cache = twin.forward_train(naive.pack(x))
    same(h, ref_h)
    dh = random_gradient(rng, *h.shape)
    (dx, found), (ref_dx, ref) = layer.backward(dh, cache), twin.backward(dh, ref_cache)
    same(dx, ref_dx)
    same(found["weight"], np.where(flips, -1, 1) * ref["weight"] if native else ref["weight"])
    same(layer.words, naive.pack(signs(layer.parameters["weight"])))


# max-pool, flatten

@pytest.mark.parametrize("size, height, width", [(2, 4, 6), (2, 5, 7), (3, 5, 3), (1, 2, 3)])
def test_max_pool(rng, size, height, width):
    """Rows and columns that fill no window are left out, and get no gradient; of ties the first gets it."""
    layer, h = layers.MaxPool2d(size), rng.integers(-4, 5, (2, height, width, 3)).astype(np.int32)
    ref, winner = naive.max_pool(h, size)
    out, cache = layer.forward_train(h)
    same(out, ref)
    same(layer.forward(h), ref)
    dout = random_gradient(rng, *out.shape)
    dh, gradients = layer.backward(dout, cache)
    same(scattered(dh), naive.max_pool_backward(dout, winner, size, h.shape))
    assert gradients == {} and dh.shape == h.shape


@pytest.mark.parametrize("size, height, width", [(2, 4, 6), (2, 5, 7), (3, 5, 3)])
@pytest.mark.parametrize("first", [False, True])
def test_a_convolution_reads_a_pooled_gradient_as_the_array_it_stands_for(rng, first, size, height, width):
    """Three quarters of that array are zeros, which are never written; what they stand for must not change."""
    layer = layers.InputConv2d(2, 19, offset=3, generator=rng) if first else layers.Conv2d(70, 19, generator=rng)
    x = rng.integers(0, 256, (3, 2, height, width), np.uint8) if first else \
        naive.pack(random_pm1(rng, 3, height, width, 70))
    h, cache = layer.forward_train(x)
    out, pool_cache = layers.MaxPool2d(size).forward_train(h)
    pooled = layers.MaxPool2d(size).backward(random_gradient(rng, *out.shape), pool_cache)[0]
    dx, found = layer.backward(pooled, cache)
    found = found["weight"].copy()
    ref_dx, ref = layer.backward(scattered(pooled), cache)
    same(found, ref["weight"])
    assert ref_dx is None if first else np.array_equal(dx, ref_dx)


@pytest.mark.parametrize("channels", [3, 64, 70, 128])
def test_flatten(rng, channels):
    """H, W, C order with no gaps, also where channels do not fill words."""
    layer, x = layers.Flatten(channels), random_pm1(rng, 2, 2, 3, channels)
    out, cache = layer.forward_train(naive.pack(x))
    same(out, naive.pack(x.reshape(2, -1)))
    same(layer.forward(naive.pack(x)), out)
    dout = random_gradient(rng, 2, 6 * channels)
    same(layer.backward(dout, cache)[0], dout.reshape(2, 2, 3, channels))


# batch norm

def norm_layer(rng, cls, units):
    layer = cls(units)
    layer.parameters["gamma"][:] = rng.normal(0, 1, units)
    layer.parameters["beta"][:] = rng.normal(0, 0.5, units)
    layer.parameters["gamma"][:2] = 0, 3                    # a constant unit, and one that is often masked
    return layer


@pytest.mark.parametrize("cls, shape", [(layers.BatchNorm, (9, 3)), (layers.BatchNormSign, (9, 3)),
                                        (layers.BatchNormSign, (2, 3, 4, 66))])
def test_batch_norm(rng, cls, shape):
    """Batch statistics in training; the straight-through mask |BN(h)| <= 1 only where a sign follows."""
    layer, h = norm_layer(rng, cls, shape[-1]), rng.integers(-50, 51, shape).astype(np.int32)
    rows = h.reshape(-1, shape[-1])
    inverse = 1 / np.sqrt(rows.var(0) + 1e-5)
    scale, beta = layer.parameters["gamma"] * inverse, layer.parameters["beta"]
    y = naive.batch_norm(rows, rows.mean(0), scale, beta)
    out, cache = layer.forward_train(h)
    if cls is layers.BatchNormSign:
        same(out, naive.pack(signs(y).reshape(shape)))
    else:
        np.testing.assert_allclose(out, y.reshape(shape), rtol=1e-12, atol=1e-12)
    dout = random_gradient(rng, *shape)
    dy = naive.through_sign(dout.reshape(rows.shape), y, "identity" if cls is layers.BatchNorm else "clipped")
    assert np.array_equal(dy, dout.reshape(rows.shape)) == (cls is layers.BatchNorm)
    ref_dh, ref_dgamma, ref_dbeta = naive.batch_norm_backward(dy, rows, rows.mean(0), inverse, scale)
    dh, gradients = layer.backward(dout, cache)
    np.testing.assert_allclose(dh.reshape(rows.shape), ref_dh, rtol=1e-6, atol=1e-6 * np.abs(ref_dh).max())
    np.testing.assert_allclose(gradients["gamma"], ref_dgamma, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradients["beta"], ref_dbeta, rtol=1e-6, atol=1e-6)


def test_gradient_passes_at_exactly_one():
    """The mask is |BN(h)| > 1: an output of exactly 1 still learns, the next float above does not."""
    layer = layers.BatchNormSign(2, eps=0.0)
    layer.parameters["gamma"][1] = np.nextafter(np.float32(1), np.float32(2))
    h = np.array([[-1, -1], [1, 1]], np.int32)
    _, gradients = layer.backward(np.array([[1, 1], [3, 3]], np.float32), layer.forward_train(h)[1])
    same(gradients["beta"], [4, 0])


def test_running_statistics(rng):
    """Deployment uses them: momentum 0.1 from (0, 1), and the unbiased variance, as in PyTorch."""
    layer, mean, variance = layers.BatchNormSign(3), np.zeros(3), np.ones(3)
    for _ in range(4):
        h = rng.integers(-9, 10, (7, 3)).astype(np.int32)
        layer.forward_train(h)
        mean, variance = 0.9 * mean + 0.1 * h.mean(0), 0.9 * variance + 0.1 * h.var(0, ddof=1)
    np.testing.assert_allclose(layer.running["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running["variance"], variance, rtol=1e-12)
    scale = layer.parameters["gamma"] / np.sqrt(variance + layer.eps)
    same(layer.forward(h), naive.pack(signs(naive.batch_norm(h, mean, scale, layer.parameters["beta"]))))


def test_a_constant_unit_and_a_batch_of_one_are_finite():
    """A dead unit (variance 0), or a last batch of one image, must not give NaN."""
    layer, h = layers.BatchNormSign(2), np.full((1, 2), 7, np.int32)
    dh, gradients = layer.backward(np.ones((1, 2), np.float32), layer.forward_train(h)[1])
    for value in (dh, *gradients.values(), *layer.running.values()):
        assert np.isfinite(value).all()


def test_logits(rng):
    layer, h = layers.Logits(4), rng.integers(-99, 100, (3, 4)).astype(np.int32)
    out, cache = layer.forward_train(h)
    assert out.dtype == np.float64
    same(out, h)
    same(layer.forward(h), h)
    dh, gradients = layer.backward(np.ones((3, 4), np.float32), cache)
    assert dh.dtype == np.float32 and gradients == {}


# initial weights, neighbours

@pytest.mark.parametrize("make, fan_in, fan_out", [
    (lambda rng: layers.Dense(600, 40, rng), 600, 40),
    (lambda rng: layers.Conv2d(30, 40, 3, generator=rng), 270, 360)])
def test_initial_weights_fill_the_interval(rng, make, fan_in, fan_out):
    """U(+-sqrt(1.5 / (fan_in + fan_out))): another width changes what a learning rate means."""
    weight, bound = make(rng).parameters["weight"], np.sqrt(1.5 / (fan_in + fan_out))
    assert weight.dtype == np.float32 and np.abs(weight).max() <= bound
    n = weight.size
    assert abs(weight.mean()) < 5 * bound / np.sqrt(3 * n)
    assert abs((weight.astype(float)**2).mean() - bound**2 / 3) < 5 * bound**2 * np.sqrt(4 / 45 / n)


IMAGE = (2, 6, 6)
RNG = np.random.default_rng(0)


def conv_in(units=5):
    return layers.InputConv2d(2, units, offset=0, generator=RNG)


def dense_in(units=5):
    return layers.InputDense(IMAGE, units, 0, RNG)


MISFITS = {
    "batch norm of another width": ([dense_in(), layers.BatchNormSign(4)], "BatchNormSign.4. cannot follow"),
    "dense of another width": ([dense_in(), layers.BatchNormSign(5), layers.Dense(6, 3, RNG)],
                               "Dense.6 features"),
    "dense behind a conv": ([conv_in(), layers.BatchNormSign(5), layers.Dense(5, 3, RNG)], "Dense"),
    "conv of other channels": ([conv_in(), layers.BatchNormSign(5), layers.Conv2d(4, 3, generator=RNG)],
                               "Conv2d of 4 channels cannot follow"),
    "conv behind a dense": ([dense_in(), layers.BatchNormSign(5), layers.Conv2d(5, 3, generator=RNG)],
                            "Conv2d of 5"),
    "flatten of other channels": ([conv_in(), layers.BatchNormSign(5), layers.Flatten(4)],
                                  "Flatten of 4 channels"),
    "flatten behind a dense": ([dense_in(), layers.BatchNormSign(5), layers.Flatten(5)],
                               "Flatten of 5 channels"),
    "images of other channels": ([layers.InputConv2d(3, 5, offset=0, generator=RNG)], "images of 3 channels"),
    "images of another shape": ([layers.InputDense((1, 6, 6), 5, 0, RNG)], "expects images of shape"),
    "pool behind a dense": ([dense_in(), layers.MaxPool2d(2)], "MaxPool2d.2. needs an input"),
    "pool larger than its input": ([conv_in(), layers.MaxPool2d(7)], "at least 7 x 7"),
    "kernel larger than its input": ([layers.InputConv2d(2, 5, 9, offset=0, generator=RNG)], "9 x 9 kernel"),
    "logits of another width": ([dense_in(), layers.Logits(4)], "Logits.4. cannot follow"),
    "no sign between two dense": ([dense_in(), layers.Dense(5, 3, RNG), layers.BatchNorm(3)],
                                  r"layers\[1\], Dense, takes bits, but gets pre-activations"),
    "no sign before flatten": ([conv_in(), layers.Flatten(5)], "Flatten, takes bits"),
    "pool behind the sign": ([conv_in(), layers.BatchNormSign(5), layers.MaxPool2d(2)],
                             "MaxPool2d, takes pre-act"),
    "batch norm twice": ([dense_in(), layers.BatchNormSign(5), layers.BatchNorm(5)],
                         "BatchNorm, takes pre-act"),
    "a second input layer": ([dense_in(), layers.BatchNormSign(5), dense_in()], "InputDense, takes pixels"),
    "a hidden layer first": ([layers.Dense(72, 5, RNG)], "Dense, takes bits, but gets pixels"),
    "scores of a conv": ([conv_in(), layers.BatchNorm(5)], "must give scores"),
    "bits at the end": ([dense_in(), layers.BatchNormSign(5)], "must give scores"),
    "no layers": ([], "must give scores"),
}


@pytest.mark.parametrize("row", MISFITS)
def test_a_layer_that_does_not_fit_its_neighbour_is_refused(row):
    """Kernels trust shapes and types: a misfit that got through would read foreign memory."""
    stack, message = MISFITS[row]
    with pytest.raises(ValueError, match=message):
        Sequential(stack, IMAGE)


@pytest.mark.parametrize("make, error, message", [
    (lambda: layers.Dense(0, 3, RNG), ValueError, "n_features must be >= 1"),
    (lambda: layers.Dense(3, 2.0, RNG), TypeError, "units must be an integer"),
    (lambda: layers.InputDense(IMAGE, 3, 256, RNG), ValueError, "offset must be in"),
    (lambda: layers.Conv2d(3, 3, 0, generator=RNG), ValueError, "kernel must be >= 1"),
    (lambda: layers.Conv2d(3, 3, stride=0, generator=RNG), ValueError, "stride must be >= 1"),
    (lambda: layers.Conv2d(3, 3, padding=-1, generator=RNG), ValueError, "padding must be >= 0"),
    (lambda: layers.Conv2d(3, 3, pad_value="zeros", generator=RNG), ValueError, "did you mean 'zero'"),
    (lambda: layers.MaxPool2d(16), ValueError, "size must be in"),
    (lambda: layers.BatchNorm(0), ValueError, "units must be >= 1")])
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()
