"""Buschjaeger et al. 2020, arXiv:2002.00909: the tolerance metric T, Theorem 1, and what follows from flip statistics.

Small networks of which every set of flips is tried.
"""

import naive_metrics
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import bnnsim
import bnnsim.metrics as metrics
import bnnsim.metrics.flip_statistics as flip_statistics
import bnnsim.metrics.neuron_tolerance as neuron_tolerance
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.tolerance import NEVER
from bnnsim.training.packing import pack


@st.composite
def networks(draw):
    """(network, images): up to three small hidden layers of any kind, thresholds that h does and does not take."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    offset, n_channels = draw(st.sampled_from((0, 3, 128))), draw(st.integers(1, 2))
    shape, layers = (draw(st.integers(2, 4)), draw(st.integers(2, 4)), n_channels), []
    size = (n_channels, *shape[:2])
    for i in range(draw(st.integers(1, 3))):
        units, level = draw(st.integers(1, 3)), (40 if i == 0 else 1)
        kernel = draw(st.sampled_from(((1, 1), (2, 1), (2, 2))))
        fits = len(shape) == 3 and shape[2] * kernel[0] * kernel[1] <= 9
        if fits and draw(st.booleans()):
            stride, padding, pool = draw(st.integers(1, 2)), draw(st.integers(0, 1)), draw(st.integers(1, 2))
            out = [(length + 2 * padding - k) // stride + 1 for length, k in zip(shape, kernel)]
            if min(out) >= pool:
                weight = rng.choice([-1, 1], (units, *kernel, shape[2]))
                layers.append({"weight": weight, "order": "HWC", "stride": stride, "padding": padding,
                               "pool": pool, "pad_value": draw(st.sampled_from((0, 1, -1)))})
                shape = (out[0] // pool, out[1] // pool, units)
        elif np.prod(shape) <= 10:
            weight = rng.choice([-1, 1], (units, int(np.prod(shape))))
            layers.append({"weight": weight})
            shape = (units,)
        if layers and "threshold" not in layers[-1]:
            spread = level * layers[-1]["weight"][0].size + 2
            layers[-1] |= {"threshold": rng.integers(-spread, spread + 1, units).astype(np.int32) // draw(
                st.sampled_from((1, 3))), "inverted": rng.random(units) < 0.5}
    assume(layers)
    layers.append({"weight": rng.choice([-1, 1], (2, int(np.prod(shape))))})
    images = rng.integers(0, 256, (2, *size)) * (rng.random((2, *size)) < 0.7)
    images = np.where(rng.random(images.shape) < 0.5, np.clip(images, 0, offset + 20), images)
    return PackedNetwork.from_arrays(layers, size, offset), images.astype(np.uint8)


def tolerances(network, images):
    """For each hidden layer (found (N, U), true by trying all flips (N, U), whether all comparisons are 0 (N, U))."""
    blocks = naive_metrics.of_packed(network)
    xs = naive_metrics.inputs(blocks, images, network.input_offset)
    for i, stage in enumerate(network.stages[:-1]):
        found = neuron_tolerance.neuron_tolerance(stage, network.run(0, images, i))
        true = np.array([[naive_metrics.tolerance(blocks[i], xs[i][n:n + 1], u) for u in range(found.shape[1])]
                         for n in range(len(images))], object)
        y = naive_metrics.outputs(blocks[i], xs[i]).reshape(len(images), -1, found.shape[1])
        yield stage, found, true, ((y > 0) == blocks[i]["inverted"]).all(1)


@settings(max_examples=120)
@given(networks())
def test_theorem_1(case):
    """Up to T flips of a neuron's weights change no output; where T is exact, some T + 1 flips do."""
    network, images = case
    for stage, found, true, all_zero in tolerances(network, images):
        for t, t_true, zero in zip(found.ravel(), true.ravel(), all_zero.ravel()):
            if stage.layer.pool == (1, 1) or zero:
                assert (t == NEVER and t_true is None) or t == t_true
            else:
                assert t_true is None or t <= t_true            # a bound


def test_where_a_window_shares_its_weights_t_is_a_bound_and_called_one():
    """Below the truth for some pooled comparison that holds; two entries need other flips than the larger one alone."""
    rng = np.random.default_rng(0)
    below = 0
    for _ in range(40):
        layers = [{"weight": rng.choice([-1, 1], (2, 2, 2, 1)), "pool": 2, "threshold": np.array([5, 40], np.int32)},
                  {"weight": rng.choice([-1, 1], (2, 2))}]
        network = PackedNetwork.from_arrays(layers, (1, 3, 3))
        images = rng.integers(0, 60, (2, 1, 3, 3)).astype(np.uint8)
        (_, found, true, zero), = tolerances(network, images)
        below += sum(t < t_true for t, t_true in zip(found.ravel(), true.ravel()) if t_true is not None)
        layer, = metrics.bit_error_tolerance(network, images).layers
        assert not layer.exact and "bound" in metrics.bit_error_tolerance(network, images).table()
    assert below > 0


@pytest.mark.jit_off
def test_equations_2_to_5():
    """T_jk = (|h - s| - 1) / 2, its least over positions, mean over neurons, mean over images; real s if given."""
    model = bnnsim.architectures.build("FC30 FC4", (1, 4, 4), rng=0)
    rng = np.random.default_rng(0)
    weight = rng.choice([-1, 1], (3, 2, 2, 2))
    layers = [{"weight": rng.choice([-1, 1], (2, 1, 1, 1)), "threshold": np.array([100, 90], np.int32)},
              {"weight": weight, "order": "HWC", "threshold": np.array([1, -2, 3], np.int32),
               "inverted": np.array([True, False, True])},
              {"weight": rng.choice([-1, 1], (4, 27))}]
    network = PackedNetwork.from_arrays(layers, (1, 4, 4))
    images = rng.integers(0, 256, (5, 1, 4, 4), np.uint8)
    s = [np.array([99.7, 90.2]), np.array([0.3, -2.5, 2.0])]
    found = metrics.bit_error_tolerance(network, images, s)
    blocks = naive_metrics.of_packed(network)
    x = naive_metrics.inputs(blocks, images, 0)
    second = ((np.abs(naive_metrics.sums(blocks[1], x[1]) - s[1]) - 1) / 2).min(1)              # (2), (3)
    first = ((np.abs(naive_metrics.sums(blocks[0], x[0]) - s[0]) - 1) / (2 * 255)).min(1)       # (6), (3)
    np.testing.assert_allclose(found.layers[1].paper_by_neuron, second.mean(0), atol=1e-6)
    np.testing.assert_allclose(found.layers[0].paper_by_neuron, first.mean(0), atol=1e-6)
    assert found.paper == pytest.approx(np.concatenate([first, second], 1).mean(1).mean(), abs=1e-6)  # (4), (5)
    assert len(metrics.real_thresholds(model)) == 1


@settings(max_examples=40)
@given(networks())
def test_layer_and_network_t_are_means_where_flips_matter(case):
    network, images = case
    result = metrics.bit_error_tolerance(network, images)
    every = []
    for layer, (_, found, _, _) in zip(result.layers, tolerances(network, images)):
        finite = found[found != NEVER]
        every.extend(finite)
        assert layer.n_never == np.count_nonzero(found == NEVER) and layer.counts.sum() == len(finite)
        if len(finite):
            assert layer.mean == pytest.approx(finite.mean()) and layer.least == finite.min()
        own = [[t for t in of_unit if t != NEVER] for of_unit in found.T]
        np.testing.assert_allclose(layer.by_neuron, [np.mean(ts) if ts else np.nan for ts in own])
    assert np.isnan(result.network) if not every else result.network == pytest.approx(np.mean(every))


def test_the_real_thresholds_of_a_trained_model_lie_where_the_packed_ones_do():
    """theta is the least integer on s's other side: |s - theta| <= 1, and the packed outputs are those of s."""
    model = bnnsim.architectures.build("FC40 FC30 FC10", (1, 28, 28), rng=0)
    bnnsim.fit(model, bnnsim.load_embedded()[0][:1000], epochs=1, rng=0, progress=False)
    for layer, s in zip(pack(model).layers, metrics.real_thresholds(model)):
        assert np.all((layer.threshold >= s - 1e-9) & (layer.threshold - s <= 1 + 1e-9))


def test_the_threshold_of_a_gamma_of_0_is_beyond_all_sums_on_the_side_of_its_output():
    """Of an output that is always +1 it is far below: the other sign would turn that unit over."""
    model = bnnsim.architectures.build("FC4 FC2", (1, 2, 2), rng=0)
    norm = model.layers[1]
    norm.parameters["gamma"][:] = [0, 0, 1, -1]
    norm.parameters["beta"][:] = [0.5, -0.5, 0, 0]
    s, = metrics.real_thresholds(model)
    outputs = norm.forward(np.zeros((1, 4), np.int32))
    assert s[:2].tolist() == [-1e300, 1e300] and np.all(np.abs(s[2:]) < 1e300)
    assert [bool(outputs[0, 0] >> np.uint64(unit) & np.uint64(1)) for unit in (0, 1)] == [0 >= s[0], 0 >= s[1]]


# ---------------------------------------------------------------- docs/equations.rst 9.1 and 9.2

CASES = [(60, 10, 0.05), (40, 30, 0.1), (-50, -20, 0.2)]        # h, theta, p of 784 summands


def exact(n, h, theta, p):
    """P((h' >= theta) differs from (h >= theta)): flips of the summands +1 and of those -1 are binomial."""
    n_plus = (n + h) // 2
    plus, minus = (binom.pmf(np.arange(k + 1), k, p) for k in (n_plus, n - n_plus))
    change = 2 * np.arange(n - n_plus + 1)[None] - 2 * np.arange(n_plus + 1)[:, None]
    differs = ((h + change) >= theta) != (h >= theta)
    return float((plus[:, None] * minus[None] * differs).sum())


def predicted(n, h, theta, p):
    """The same by the library, for a hidden layer of n +-1 inputs."""
    layers = [{"weight": np.ones((n, 1), int), "threshold": np.zeros(n, np.int32)},
              {"weight": np.ones((1, n), int), "threshold": np.array([theta], np.int32)},
              {"weight": np.ones((1, 1), int)}]
    stage = PackedNetwork.from_arrays(layers, (1, 1, 1)).stages[1]
    mean = flip_statistics.OwnFlips(stage).expected((np.full((1, 1), h, np.int32), np.full(1, float(n))), p)[0, 0]
    odds = (1 + float(mean)) / 2
    return 1 - odds if h >= theta else odds


@pytest.mark.parametrize(("case", "true", "normal"), list(zip(CASES, (0.00014, 0.429, 0.344), (0.00011, 0.429, 0.344))))
def test_flip_statistics_9_1(case, true, normal):
    assert exact(784, *case) == pytest.approx(true, abs=6e-4 if true > 0.01 else 6e-6)
    assert predicted(784, *case) == pytest.approx(normal, abs=6e-4 if true > 0.01 else 6e-6)


def test_the_continuity_correction_is_worth_it():
    """For 40 summands the corrected formula is off by under 0.01; with theta in place of s' by more."""
    from scipy.special import ndtr

    worst, without = 0, 0
    for h, theta, p in [(4, 2, 0.1), (6, -2, 0.2), (-4, 0, 0.1), (0, 4, 0.3)]:
        true = exact(40, h, theta, p)
        side = 1 if h >= theta else -1
        plain = ndtr(-side * ((1 - 2 * p) * h - theta) / (2 * np.sqrt(40 * p * (1 - p))))
        worst, without = max(worst, abs(predicted(40, h, theta, p) - true)), max(without, abs(plain - true))
    assert worst < 0.01 < without


@pytest.mark.parametrize(("case", "rescaled"), [(CASES[1], 0.296), (CASES[2], 0.224)])
def test_threshold_rescaling_9_2(case, rescaled):
    """The mean shrinks by 1 - 2 p, and so must the threshold."""
    h, theta, p = case
    moved = int(np.ceil(theta * (1 - 2 * p)))
    assert exact(784, h, moved, p) == pytest.approx(rescaled, abs=6e-4)
    assert predicted(784, h, moved, p) == pytest.approx(rescaled, abs=6e-4)
