"""Float32 operations against loops that round one product and one sum at a time: equal to the bit, any shape."""

import naive
import naive_graph
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kernel_calls import in_threads

from bnnsim.kernels import threads
from bnnsim.packed.operations import (OPERATIONS, Add, Affine, AveragePool, Clip, Concatenate, GlobalAverage,
                                      LargestPool, Pixels, PReLU, RealConv, RealDense, Sign)
from bnnsim.packed.words import unpack_signs

EXTREMES = np.array([np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754942e-38, 3.4028235e38, -3.4028235e38, -0.0, 0.0, 1.0,
                     -1.0, 1e-30, 0.1, np.nextafter(np.float32(1), np.float32(2))], np.float32)
QUIET = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")     # interpreted, NumPy says so
CHANNELS = st.sampled_from([1, 2, 3, 7, 15, 16, 17, 33, 63, 64, 65, 70, 130])


def reals(rng, *shape, extreme=0.0):
    """Of many sizes, so that each rounding counts; a share of them extreme."""
    x = (rng.normal(size=shape) * 2.0 ** rng.integers(-12, 13, shape)).astype(np.float32)
    return np.where(rng.random(shape) < extreme, rng.choice(EXTREMES, shape), x)


def same(came, wanted):
    """Equal to the bit, but that what is no number has no sign and no payload."""
    assert (came.dtype, came.shape) == (wanted.dtype, wanted.shape)
    if came.dtype != np.float32:
        return np.testing.assert_array_equal(came, wanted)
    nothing = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(came), nothing)
    np.testing.assert_array_equal(came.view(np.uint32)[~nothing], wanted.view(np.uint32)[~nothing])


def signs_of(words, n_channels):
    rows = words.reshape(-1, words.shape[-1])
    np.testing.assert_array_equal(naive.pack(naive.unpack(rows, n_channels)), rows)      # padding bits are 0
    return unpack_signs(rows, n_channels).reshape(*words.shape[:-1], n_channels).astype(np.int64)


@st.composite
def maps(draw, most=5, axes=(2, 4)):
    """(shape of a map or of rows, generator, share of extreme values)."""
    n_axes, rng = draw(st.sampled_from(axes)), np.random.default_rng(draw(st.integers(0, 2**20)))
    sizes = [draw(st.integers(1, most)) for _ in range(n_axes - 1)]
    return (*sizes, draw(CHANNELS)), rng, draw(st.sampled_from([0.0, 0.0, 0.3]))


# ---------------------------------------------------------------- channel by channel

def check_channels(case):
    shape, rng, extreme = case
    x, y, z = (reals(rng, *shape, extreme=extreme) for _ in range(3))
    scale, shift = (reals(rng, shape[-1], extreme=extreme / 2) for _ in range(2))
    scale[rng.random(len(scale)) < 0.2] = rng.choice(x.reshape(-1))             # ties with a threshold, or a bound
    same(in_threads(Affine(scale, shift).run, x), naive_graph.affine(x, scale, shift))
    same(in_threads(PReLU(scale).run, x), naive_graph.prelu(x, scale))
    low, high = np.sort([shift[:1], scale[:1]], axis=0)
    same(in_threads(Clip(low, high).run, x), naive_graph.clip(x, low, high))
    words = in_threads(Sign(scale).run, x)
    np.testing.assert_array_equal(signs_of(words, shape[-1]), naive_graph.sign(x, scale))
    same(in_threads(Add().run, x, y, z), naive_graph.add(x, y, z))
    integers = rng.integers(-2**31, 2**31, shape).astype(np.int32)             # beyond 2**24 they are rounded first
    same(in_threads(Affine(scale, shift).run, integers), naive_graph.affine(integers, scale, shift))
    other = reals(rng, *shape[:-1], 5)
    same(in_threads(Concatenate().run, x, other, y), naive_graph.concatenate(x, other, y))


@given(maps())
def test_operations_of_channels(case):
    check_channels(case)


@pytest.mark.tiny
@QUIET
@pytest.mark.jit_off
@pytest.mark.parametrize("shape", [(1, 1), (2, 65), (2, 1, 3, 17)])
@pytest.mark.parametrize("extreme", [0.0, 0.4])
def test_operations_of_channels_interpreted(shape, extreme):
    check_channels((shape, np.random.default_rng(len(shape)), extreme))


@given(maps(axes=(4,)))
def test_pixels(case):
    shape, rng, extreme = case
    images = rng.integers(0, 256, (shape[0], shape[-1], *shape[1:3]), np.uint8)
    scale, shift = (reals(rng, shape[-1], extreme=extreme) for _ in range(2))
    same(in_threads(Pixels(scale, shift).run, images), naive_graph.pixels(images, scale, shift))


@QUIET
@pytest.mark.jit_off
def test_what_extreme_values_become():
    """As the docstrings promise: no number gives bit -1, is no maximum, and passes a clip."""
    nan, inf, tiny = np.float32(np.nan), np.float32(np.inf), np.float32(1e-45)
    x = np.array([[nan, inf, -inf, -0.0, tiny, -tiny]], np.float32)
    zero, one = np.zeros(6, np.float32), np.ones(6, np.float32)
    assert signs_of(Sign(zero).run(x), 6).tolist() == [[-1, 1, -1, 1, 1, -1]]
    assert signs_of(Sign(np.full(6, np.nan, np.float32)).run(x), 6).tolist() == [[-1] * 6]
    same(PReLU(one / 2).run(x), np.array([[nan, inf, -inf, -0.0, tiny, -0.0]], np.float32))
    relu = Clip(np.zeros(1, np.float32), np.array([3.4028235e38], np.float32)).run(x)
    same(relu, np.array([[nan, 3.4028235e38, 0, -0.0, tiny, 0]], np.float32))
    same(Affine(one, zero).run(x), np.array([[nan, inf, -inf, 0, tiny, -tiny]], np.float32))       # -0.0 + 0 is 0
    pool = LargestPool((1, 3), (1, 3)).with_winners(x.reshape(1, 1, 6, 1))
    same(pool[0].reshape(-1), np.array([inf, tiny], np.float32))
    assert pool[1].reshape(-1).tolist() == [1, 1]
    nothing = LargestPool((1, 2), (1, 2)).with_winners(np.full((1, 1, 2, 1), np.nan, np.float32))
    assert nothing[0].item() == -np.inf and nothing[1].item() == 0


# ---------------------------------------------------------------- windows

def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def pools(draw):
    shape, rng, extreme = draw(maps(most=7, axes=(4,)))
    size = draw(pairs(1, 4))
    padding = tuple(draw(st.integers(0, k - 1)) for k in size * 2)
    assume(all(shape[1 + a] + padding[a] + padding[a + 2] >= size[a] for a in (0, 1)))
    return shape, rng, extreme, (size, draw(pairs(1, 5)), padding)


def check_pools(case):
    shape, rng, extreme, windows = case
    x = reals(rng, *shape, extreme=extreme)
    x[rng.random(shape) < 0.3] = 0.5                                            # ties
    for whole in (0, 1):
        same(in_threads(AveragePool(*windows, whole).run, x), naive_graph.average_pool(x, *windows, whole))
    same(in_threads(GlobalAverage().run, x), naive_graph.global_average(x))
    for each in (x, rng.integers(-9, 9, shape).astype(np.int32)):
        wanted = naive_graph.largest_pool(each, *windows)
        for came, want in zip(in_threads(LargestPool(*windows).with_winners, each), wanted):
            same(came, want)


@settings(max_examples=25)
@given(pools())
def test_pools(case):
    check_pools(case)


@QUIET
@pytest.mark.jit_off
@pytest.mark.parametrize("extreme", [0.0, 0.4])
def test_pools_interpreted(extreme):
    check_pools(((2, 3, 4, 3), np.random.default_rng(0), extreme, ((2, 3), (2, 2), (1, 2, 0, 1))))


# ---------------------------------------------------------------- with weights

@st.composite
def convolutions(draw):
    shape, rng, extreme = draw(maps(axes=(4,)))
    kernel, groups = draw(pairs(1, 3)), draw(st.sampled_from([g for g in (1, 2, 3, 5, 65) if shape[3] % g == 0]))
    groups = draw(st.sampled_from([groups, groups, shape[3]]))                  # depthwise
    units = groups * draw(st.sampled_from([1, 1, 2, 3, 17]))
    fields = {"stride": draw(pairs(1, 3)), "padding": tuple(draw(st.integers(0, 3)) for _ in range(4)),
              "dilation": draw(pairs(1, 3)), "groups": groups}
    for a in (0, 1):
        reach = fields["dilation"][a] * (kernel[a] - 1) + 1
        assume(shape[1 + a] + fields["padding"][a] + fields["padding"][a + 2] >= reach)
    assume(units * shape[3] // groups * kernel[0] * kernel[1] * shape[0] < 60_000)
    return shape, rng, extreme, (units, *kernel, shape[3] // groups), fields


def check_conv(case):
    shape, rng, extreme, sizes, fields = case
    x, weight = reals(rng, *shape, extreme=extreme), reals(rng, *sizes, extreme=extreme / 8)
    bias = reals(rng, sizes[0]) * (rng.random(sizes[0]) < 0.5).astype(np.float32)
    operation = RealConv(weight, bias, **fields)
    wanted = naive_graph.real_conv(x, weight, bias, **fields)
    assert operation.output_shape(shape[1:]) == wanted.shape[1:]
    same(in_threads(operation.run, x), wanted)
    same(np.concatenate([operation.run(x[n:n + 1]) for n in range(len(x))]), wanted)     # image by image: the same


@settings(max_examples=60)
@given(convolutions())
def test_convolutions(case):
    check_conv(case)


CONVS = [((2, 3, 3, 5), (3, 2, 3, 5), dict(stride=(2, 1), padding=(0, 2, 1, 0))),
         ((1, 3, 4, 6), (6, 3, 1, 1), dict(groups=6, padding=(3, 0, 0, 1), dilation=(2, 2))),
         ((1, 2, 2, 6), (4, 1, 1, 3), dict(groups=2, padding=(1, 1, 1, 1)))]


@QUIET
@pytest.mark.jit_off
@pytest.mark.parametrize("shape, sizes, fields", CONVS)
def test_convolutions_interpreted(shape, sizes, fields):
    check_conv((shape, np.random.default_rng(1), 0.1, sizes, fields))


@pytest.mark.parametrize("n_in", [1, 2, 3, 64, 65, 128, 191])
@pytest.mark.parametrize("units", [1, 15, 16, 17, 32, 47, 64, 65, 97])
def test_every_remainder_of_units_and_channels(n_in, units):
    """A kernel's blocks end somewhere: also exactly."""
    rng = np.random.default_rng(n_in * 100 + units)
    x, weight, bias = reals(rng, 3, n_in), reals(rng, units, n_in), reals(rng, units)
    same(RealDense(weight, bias).run(x), naive_graph.real_dense(x, weight, bias))
    maps_, kernel = reals(rng, 1, 2, 3, n_in), reals(rng, units, 2, 2, n_in)
    same(RealConv(kernel, bias).run(maps_), naive_graph.real_conv(maps_, kernel, bias))


@given(maps(most=4))
def test_dense_reads_maps_in_h_w_c_order(case):
    shape, rng, extreme = case
    x, units = reals(rng, *shape, extreme=extreme / 8), int(rng.integers(1, 20))
    weight, bias = reals(rng, units, x[0].size), reals(rng, units)
    assume(weight.size < 20_000)
    same(in_threads(RealDense(weight, bias).run, x), naive_graph.real_dense(x, weight, bias))


def test_nothing_is_fused_and_nothing_reordered():
    """A fused multiply-add, another order, or sums in pairs give other bits in each of these."""
    tenth, third = np.float32(0.1), np.float32(1 / 3)
    fused = np.float32(np.float64(tenth) * np.float64(third) - np.float64(tenth * third))
    assert fused != 0
    x, weight = np.array([[tenth]]), np.array([[third]])
    assert RealDense(weight, np.array([-(tenth * third)])).run(x).item() == 0
    assert Affine(weight[0], np.array([-(tenth * third)])).run(x).item() == 0
    large = np.array([[1e8, 1.0, -1e8, 1.0]], np.float32)
    assert RealDense(np.ones((1, 4), np.float32), np.zeros(1, np.float32)).run(large).item() == 1.0
    assert Add().run(*large.T[:, :, None]).item() == 1.0
    assert GlobalAverage().run(large.reshape(1, 2, 2, 1)).item() == 0.25
    assert GlobalAverage().run(large[:, [0, 2, 1, 3]].reshape(1, 2, 2, 1)).item() == 0.5


def test_what_lies_in_the_padding_is_left_out():
    """Infinite weights there do not make a sum of nothing no number."""
    x, weight = np.ones((1, 1, 1, 1), np.float32), np.full((1, 3, 3, 1), np.inf, np.float32)
    weight[0, 1, 1] = 2
    assert RealConv(weight, np.zeros(1, np.float32), padding=(1, 1, 1, 1)).run(x).item() == 2
    far = RealConv(weight, np.full(1, 7, np.float32), padding=(9, 9, 9, 9)).run(x)
    assert far[0, 0, 0, 0] == 7 and np.isinf(far).sum() == 8


@pytest.mark.parametrize("n_images", [1, 2, 3, 5])
def test_more_threads_than_images(n_images):
    rng = np.random.default_rng(0)
    x, conv = reals(rng, n_images, 5, 5, 33), RealConv(reals(rng, 34, 3, 3, 33), reals(rng, 34), padding=(1, 1, 1, 1))
    wanted = naive_graph.real_conv(x, conv.weight, conv.bias, padding=(1, 1, 1, 1))
    for n in (1, 2, 7):
        with threads(n):
            same(conv.run(x), wanted)


def test_operations_are_files_words():
    """Each kind's fields say all that it is: `fields` of one, given back, make the same one."""
    rng = np.random.default_rng(0)
    for word, kind in OPERATIONS.items():
        made = kind(**{name: (1, 1) if n == 2 else (0,) * n if n else 1 for name, n in kind.settings.items()},
                    **{name: reals(rng, *range(2, 2 + axes)) for name, axes in kind.arrays.items()})
        fields = made.fields()
        assert fields.pop("operation") == word == kind.word
        again = kind(**fields)
        assert all(np.array_equal(getattr(again, name), getattr(made, name)) for name in fields)
        assert made.n_parameters == sum(value.size for value in fields.values() if isinstance(value, np.ndarray))
