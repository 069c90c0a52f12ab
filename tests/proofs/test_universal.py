"""Constructions of the approximation theorems: exact, or within eps everywhere; and what cannot be."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnsim
import bnnsim.proofs.universal as universal
import bnnsim.proofs.universal_parts as universal_parts
from bnnsim.packed.network import PackedNetwork


def parity(x):
    return np.prod(x, axis=1) < 0


# ---------------------------------------------------------------- binary inputs

@given(st.integers(1, 6).flatmap(lambda d: st.lists(st.booleans(), min_size=2**d, max_size=2**d)))
def test_every_truth_table_is_exact(table):
    """Constants too; one hidden neuron for each point of the rarer kind, two where there is none."""
    d = len(table).bit_length() - 1
    network, points = universal.boolean(np.array(table), d), list(itertools.product((-1, 1), repeat=d))
    assert universal_parts.values(network, points).tolist() == [1.0 if true else -1.0 for true in table]
    assert network.predict(universal_parts.encode(network, points)).tolist() == table
    assert network.layers[0].units == (min(sum(table), 2**d - sum(table)) or 2)


def test_parity_of_ten_inputs():
    """What no single threshold does; as a function and as a table."""
    points = universal_parts.vertices(10)
    network = universal.boolean(parity, 10)
    assert len(network.layers) == 2 and network.layers[0].units == 512
    np.testing.assert_array_equal(universal_parts.values(network, points), np.where(parity(points), 1, -1))
    assert universal.boolean(parity(points), 10).checksum == network.checksum


@pytest.mark.jit_off
@settings(max_examples=20)
@given(st.integers(1, 3), st.floats(0.1, 3), st.integers(0, 1000), st.floats(-1e3, 1e3))
def test_real_values_at_vertices_are_within_eps(d, eps, seed, shift):
    table = np.random.default_rng(seed).normal(shift, 2, 2**d)
    network = universal.on_vertices(table, d, eps)
    assert np.abs(universal_parts.values(network, universal_parts.vertices(d)) - table).max() <= eps
    assert universal_parts.largest_error(network, table) <= eps


# ---------------------------------------------------------------- real inputs

@st.composite
def problems(draw):
    """(function, Lipschitz constant, eps, bounds, levels): least of cones, which meet their constant."""
    d = draw(st.integers(1, 3))
    low = draw(st.lists(st.floats(-5, 5), min_size=d, max_size=d))
    width = draw(st.lists(st.floats(0.1, 4), min_size=d, max_size=d))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    peaks = np.array(low) + np.array(width) * rng.random((3, d))
    constant, levels = draw(st.floats(0.1, 5)), draw(st.sampled_from((7, 100, 254, 255)))
    share = draw(st.floats(0.15 if d == 1 else 0.3, 1.5))
    eps = constant * max(width) * (share + 1 / (2 * levels))

    def function(x):
        return 3 + constant * np.abs(x[:, None] - peaks).max(axis=2).min(axis=1)

    return function, constant, eps, [(a, a + b) for a, b in zip(low, width)], levels


@settings(max_examples=60)
@given(problems())
def test_a_lipschitz_function_is_within_eps_everywhere(problem):
    """On a grid with the borders of the box, and at random points, which are not pixels."""
    function, constant, eps, bounds, levels = problem
    size = universal.lipschitz_size(*problem[1:])
    network = universal.lipschitz(*problem)
    assert universal_parts.largest_error(network, function, 2000, rng=0) <= eps
    assert size.eps_quantisation + size.eps_cell + size.eps_readout <= eps
    first, second, output = network.layers
    assert first.units == size.first and second.units <= size.second and network.n_bits <= size.weights


@settings(max_examples=20)
@given(problems(), st.data())
def test_exactly_one_cell_fires(problem, data):
    """The copies of one neuron of layer 2, or none where its value is the middle one: never two cells."""
    network = universal.lipschitz(*problem)
    d, levels = network.input_shape[2], problem[4]
    pixels = np.array(data.draw(st.lists(st.lists(st.integers(0, levels), min_size=d, max_size=d), min_size=1,
                                         max_size=9)), np.uint8)[:, None, None]
    bits = network.run(0, pixels, 2)
    words = network.layers[1].words
    for row in bits:
        fires = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")[:len(words)])
        assert len(np.unique(words[fires], axis=0)) <= 1


def test_a_smaller_eps_is_closer_and_a_wrong_threshold_is_noticed():
    """The error that is measured is real: it falls with eps, and one shifted layer breaks the promise."""
    errors = []
    for eps in (1.0, 0.5, 0.25):
        network = universal.lipschitz(universal.saddle, 4, eps, [(-1, 1)] * 2)
        errors.append(universal_parts.largest_error(network, universal.saddle, rng=0))
        assert errors[-1] <= eps
    assert errors[0] > errors[1] > errors[2] > 0.05
    first = network.layers[0]
    fields = {**first.fields(), "threshold": first.threshold + 60}
    broken = PackedNetwork([type(first)(**fields), *network.layers[1:]], network.input_shape, 0, network.metadata)
    assert universal_parts.largest_error(broken, universal.saddle, rng=0) > eps


def test_networks_are_stored_swept_and_drawn(tmp_path):
    """They are networks like others: a file keeps their domain, faults break them, figures show them."""
    network = universal.lipschitz(universal.saddle, 4, 0.5, [(-1, 1)] * 2)
    network.save(tmp_path / "saddle.h5")
    again = PackedNetwork.load(tmp_path / "saddle.h5")
    x = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    np.testing.assert_array_equal(universal_parts.values(again, x), universal_parts.values(network, x))
    labels = (universal_parts.values(network, x) > 0).astype(np.uint8)
    split = bnnsim.Split(universal_parts.encode(network, x), labels, "saddle")
    result = bnnsim.sweep(network, split, [0, 0.3], trials=2, rng=0, progress=False)
    assert result.accuracy[0, 0, 0] == 1 and result.accuracy[0, 1].max() < 1
    bnnsim.plotting.first_layer_weights(network, tmp_path / "weights.png")


# ---------------------------------------------------------------- one hidden layer

@given(st.integers(1, 40), st.integers(0, 10**6))
def test_no_network_of_one_hidden_layer_is_closer_to_the_saddle_than_1(units, seed):
    """The law behind it, for any weights, thresholds, signs and scale: the four values at (+-1, 0), (0, +-1)."""
    rng = np.random.default_rng(seed)
    hidden = {"weight": rng.choice([-1, 1], (units, 2)), "threshold": rng.integers(-260, 520, units),
              "inverted": rng.random(units) < 0.5}
    signs, scale, shift = rng.choice([-1, 1], units), rng.exponential(), rng.normal()
    domain = {"bounds": [[-1, 1]] * 2, "levels": 254, "binary": False}
    network = universal_parts.network_of([hidden], signs, scale, shift, domain, 0)
    right, left, up, down = universal_parts.values(network, [[1, 0], [-1, 0], [0, 1], [0, -1]])
    assert right + left == pytest.approx(up + down, abs=1e-9 * (1 + abs(shift) + scale * units))
    assert max(abs(right - 1), abs(left - 1), abs(up + 1), abs(down + 1)) >= 1 - 1e-9 * (1 + abs(shift) + scale * units)


def test_fitted_at_any_width_the_error_stays_at_1():
    """Products of the inputs are sums of ridge functions, and approximated; so is all of one input; not the saddle."""
    box = [(-1, 1)] * 2
    functions = universal.saddle, lambda x: x[:, 0] * x[:, 1]
    errors = {width: [universal_parts.largest_error(universal.one_hidden_layer(one, box, width, 1e-3), one, 65**2, 0)
                      for one in functions] for width in (7, 31, 127)}
    assert all(one >= 1 - 1e-9 for one, _ in errors.values())
    assert errors[7][1] > errors[31][1] > errors[127][1] and errors[127][1] < 0.05

    def wave(x):
        return np.sin(6 * x[:, 0])

    networks = [universal.one_hidden_layer(wave, box[:1], width, 1e-3, n_grid=255) for width in (15, 63, 253)]
    found = [universal_parts.largest_error(network, wave, rng=0) for network in networks]
    assert found[0] > found[1] > found[2] and found[2] < 0.05


# ---------------------------------------------------------------- bad input

BOX = [(0, 1), (0, 1)]
NETWORK = universal.boolean([False, True, True, False], 2)


def flat(x):
    return np.zeros(len(x))


BAD = [
    (lambda: universal.boolean(parity, 23), ValueError, r"d must be at most 2\d: d = 23 has 2\*\*23 = 8,388,608 "),
    (lambda: universal.boolean(parity, 500), ValueError, r"d = 500 has 2\*\*500 points"),
    (lambda: universal.boolean(parity, 0), ValueError, "d must be >= 1"),
    (lambda: universal.boolean(parity, 2.0), TypeError, "d must be an integer"),
    (lambda: universal.boolean([0, 1, 1], 2), ValueError, r"one real number for each of the 4 points, shape .4,."),
    (lambda: universal.boolean([0, 1, 2, 0], 2), ValueError, "must be True or False at each point, got 2.0"),
    (lambda: universal.boolean(lambda x: "yes", 2), ValueError, "one real number for each"),
    (lambda: universal.on_vertices([0, 1, np.nan, 0], 2, 0.1), ValueError, "must be finite, got nan at index"),
    (lambda: universal.on_vertices([0, 1, 2, 0], 2, 0), ValueError, "eps must be > 0"),
    (lambda: universal.on_vertices([0, 1, 1e9, 0], 2, 0.1), ValueError, "needs .* binary weights, more than"),
    (lambda: universal.lipschitz(flat, 1, 0.001, BOX), ValueError, "eps must be above 0.001961.*256 levels.*got 0.001"),
    (lambda: universal.lipschitz(lambda x: x[:, 0], 1, 0.0022, BOX), ValueError,
     r"eps = 0.0022 needs .* neurons in layer 1, .* cells and up to .* weights.*; eps = 0.0\d* would fit"),
    (lambda: universal.lipschitz(flat, 1, 0.5, BOX * 20), ValueError, "cells.*; fewer inputs would fit"),
    (lambda: universal.lipschitz(universal.saddle, 1, 0.5, BOX), ValueError,
     r"breaks its Lipschitz constant 1: it moves by .* from \[.*\] to \[.*\].*the constant is at least"),
    (lambda: universal.lipschitz(lambda x: np.sign(x[:, 0] - 0.4), 100, 0.5, BOX), ValueError, "breaks its Lipschitz"),
    (lambda: universal.lipschitz(lambda x: 1 / (x[:, 0] - x[:, 0]), 1, 0.5, BOX), ValueError, "must be finite"),
    (lambda: universal.lipschitz(flat, np.inf, 0.5, BOX), ValueError, "lipschitz must be finite"),
    (lambda: universal.lipschitz(flat, -1, 0.5, BOX), ValueError, "lipschitz must be >= 0"),
    (lambda: universal.lipschitz(flat, 1, np.nan, BOX), ValueError, "eps must be finite"),
    (lambda: universal.lipschitz(flat, 1, 0.5, [(1, 1)]), ValueError, "low < high"),
    (lambda: universal.lipschitz(flat, 1, 0.5, [(0, np.inf)]), ValueError, "bounds must be finite"),
    (lambda: universal.lipschitz(flat, 1, 0.5, (0, 1)), ValueError, r"bounds must be a \(low, high\) for each input"),
    (lambda: universal.lipschitz(flat, 1, 0.5, BOX, 256), ValueError, "levels must be in"),
    (lambda: universal.one_hidden_layer(flat, BOX, 0, 0.1), ValueError, "n_thresholds must be >= 1"),
    (lambda: universal.one_hidden_layer(flat, BOX * 15, 10, 0.1), ValueError, r"n_grid \*\* d must be"),
    (lambda: universal.one_hidden_layer(flat, BOX, 65, 0.1, n_grid=400), ValueError,
     "n_grid and n_thresholds must make a table .* at most 16,777,216 numbers.* got 160,000 x 130 of 400 and 65"),
    (lambda: universal_parts.encode(NETWORK, [[1, 0.5]]), ValueError, r"x\[0, 1\] must be -1 or 1, got 0.5"),
    (lambda: universal_parts.encode(NETWORK, [[1, np.nan]]), ValueError, "must be -1 or 1, got nan"),
    (lambda: universal_parts.encode(NETWORK, [1, 1]), ValueError, r"x must have shape .n, 2., got .2,."),
    (lambda: universal_parts.values(universal.lipschitz(flat, 1, 0.5, BOX), [[0, 2]]), ValueError,
     r"in \[0, 1\], got 2"),
    (lambda: universal_parts.values(PackedNetwork(NETWORK.layers, (1, 1, 2), 1), [[1, 1]]), ValueError,
     "must be one that bnnsim.universal made"),
]


@pytest.mark.parametrize("call, error, message", BAD)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
