"""Errors of reading against a naive network, drawn alike; their distributions against counting; seeds and threads."""

import math
import pickle

import naive_flips
import naive_read_errors as naive
import numpy as np
import pytest
import scipy.stats
from fault_parts import network_of, same, within_5_sigma

import bnnsim
import bnnsim.faults.read_errors as read_errors
from bnnsim.faults import (ActivationErrors, BitFlips, Compose, EachRead, PopcountErrors, PopcountNoise, Protected,
                           SenseErrors)
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.network import PackedNetwork

CHAINS = {"dense": ("FC70 FC9 FC5", (1, 4, 4)), "conv": ("C20 MP2 C9k3x3p1 FC20 FC3", (3, 4, 4)),
          "sum": ("C9 C5p1 SUM", (1, 3, 3))}
FAULTS = [ActivationErrors, PopcountErrors, PopcountNoise, SenseErrors]


def images_of(network, n=70, seed=3):
    return np.random.default_rng(seed).integers(0, 256, (n, *network.input_shape), np.uint8)


def naive_scores(network, images, fault, p, seed, trial=0, read=0):
    """What a definition gives."""
    stream = fault.STREAM
    root = naive.root_of(seed, stream, trial, read)

    def change_bits(i, b, x):
        return naive.flipped(x, p, naive.key_of(root, stream, i, b)) if type(fault) is ActivationErrors else x

    def change_sums(i, b, h, n_summands):
        return naive.moved(h, n_summands, STEPS[type(fault)](p), naive.key_of(root, stream, i, b)) \
            if type(fault) in STEPS else h

    return naive.scores(naive_flips.of_packed(network), images, network.input_offset, change_sums, change_bits)


def by_quantile(p, count):
    """Least k at which u < P(step <= k), of a distribution given as a function."""
    return lambda u, a, n: count(u, a, n, p)


def off_by_one(u, a, n, p):
    return -1 if u < p / 2 else 1 if u >= 1 - p / 2 else 0


def normal_steps(u, a, n, p):
    return round(p * n * scipy.stats.norm.ppf(u))


def sensed_steps(u, a, n, p):
    gained, lost = (scipy.stats.binom.pmf(np.arange(m + 1), m, p) for m in (n - a, a))
    cumulative = np.cumsum(np.convolve(gained, lost[::-1]))
    return int(np.searchsorted(cumulative, u, side="right")) - a


STEPS = {PopcountErrors: lambda p: by_quantile(p, off_by_one), PopcountNoise: lambda p: by_quantile(p, normal_steps),
         SenseErrors: lambda p: by_quantile(p, sensed_steps)}


@pytest.mark.jit_off
@pytest.mark.parametrize("fault", FAULTS)
def test_a_small_network_errs_as_the_definition_says(fault):
    network = network_of("FC7 FC5 FC3", (1, 2, 2))
    images = images_of(network, 5)
    comp = fault(0.2).apply(network, 4, 2, read=1).scores(images)
    np.testing.assert_array_equal(comp, naive_scores(network, images, fault(0.2), 0.2, 4, 2, 1))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("fault", FAULTS)
def test_networks_err_as_the_definition_says(fault, name):
    """Two blocks of images; padding with zeros, pooling, sums over positions."""
    network = network_of(*CHAINS[name])
    images = images_of(network, 66)
    p = 0.05
    comp = fault(p).apply(network, 4).scores(images)
    ref = naive_scores(network, images, fault(p), p, 4)
    np.testing.assert_array_equal(comp, ref)
    assert not np.array_equal(comp, network.scores(images))


@pytest.mark.parametrize("fault", FAULTS)
def test_each_image_has_draws_of_its_own(fault):
    """One image a hundred times: a model with one draw for all of a read, as of stored bits, would give one answer."""
    network = network_of(*CHAINS["conv"])
    images = np.repeat(images_of(network, 1), 100, axis=0)
    assert len(np.unique(fault(0.5).apply(network, 4).scores(images), axis=0)) > 10
    one_draw = EachRead(BitFlips(0.5)).apply(network, 4).scores(images)
    assert len(np.unique(one_draw, axis=0)) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_is_the_same_in_any_threads_and_another_one_differs(fault):
    network = network_of(*CHAINS["conv"])
    images = images_of(network, 200)

    def scores(*args, **kwargs):
        return fault(0.1).apply(network, *args, **kwargs).scores(images)

    with bnnsim.threads(1):
        one = scores(1, 0)
    with bnnsim.threads(3):
        np.testing.assert_array_equal(scores(1, 0), one)
    for other in (scores(2, 0), scores(1, 1), scores(1, 0, read=1)):
        assert not np.array_equal(other, one)
    np.testing.assert_array_equal(scores(1, 0)[:64], fault(0.1).apply(network, 1).scores(images[:64]))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_error_is_the_network_itself(fault):
    network = network_of(*CHAINS["conv"])
    assert fault(0.0).apply(network, 1) is network
    tiny = fault(1e-15).apply(network, 1)
    np.testing.assert_array_equal(tiny.scores(images_of(network)), network.scores(images_of(network)))
    assert same(tiny, network) and tiny.n_bits == network.n_bits


# ---------------------------------------------------------------- what they do to a layer

def changed_sums(fault, h, layer=1, spec="FC64 FC40 FC5", key=(1, 2)):
    """A layer's sums with errors."""
    stage = network_of(spec, (1, 4, 4)).stages[layer]
    key = np.array(key, np.uint64)
    return fault.of_sums(stage, getattr(fault, fault.AXIS), h.copy(), key)


def test_activation_errors_are_binomial_and_nest():
    network = network_of("FC640 FC10", (1, 4, 4))
    stage, words = network.stages[0], np.zeros((100, 10), np.uint64)
    few, more = (ActivationErrors(p).of_bits(stage, p, words, np.array([5, 6], np.uint64)) for p in (0.02, 0.2))
    assert within_5_sigma(int(np.bitwise_count(more).sum()), 64000, 0.2)
    assert within_5_sigma(int(np.bitwise_count(few).sum()), 64000, 0.02) and not np.any(few & ~more)
    all_wrong = ActivationErrors(1.0).apply(network, 0)
    inverted = network.with_arrays({0: {"inverted": ~network.layers[0].inverted}})
    np.testing.assert_array_equal(all_wrong.scores(images_of(network)), inverted.scores(images_of(network)))


def test_popcounts_are_off_by_one_at_their_rate_either_way_and_nest():
    h = np.zeros((500, 1, 40), np.int32)
    few, more = (changed_sums(PopcountErrors(p), h) for p in (0.03, 0.3))
    assert set(np.unique(more)) == {-2, 0, 2} and np.all((few == 0) | (few == more))
    for off in (-2, 2):
        assert within_5_sigma(int((more == off).sum()), h.size, 0.15)
        assert within_5_sigma(int((few == off).sum()), h.size, 0.015)
    assert set(np.unique(changed_sums(PopcountErrors(0.3, step=3), h))) == {-6, 0, 6}


def test_counts_stay_within_what_there_is_to_count():
    full = np.full((50, 1, 40), 64, np.int32)
    assert changed_sums(PopcountErrors(1.0, step=50), full).max() == 64
    assert changed_sums(PopcountErrors(1.0, step=50), -full).min() == -64


def test_popcount_noise_has_its_spread():
    h = np.zeros((5000, 1, 40), np.int32)
    found = changed_sums(PopcountNoise(0.05), h) / 2
    sigma = math.sqrt((0.05 * 64) ** 2 + 1 / 12)                                 # of rounding, too
    assert abs(found.std() / sigma - 1) < 0.02 and abs(found.mean()) < 5 * sigma / math.sqrt(h.size)
    assert np.array_equal(found, np.rint(found))


def sensed_one_by_one(h, n, p, rng):
    """Products drawn one by one: each wrong with probability p."""
    a = (h + n) // 2
    products = np.where(np.arange(n) < a[..., None], 1, -1)
    return np.where(rng.random(products.shape) < p, -products, products).sum(axis=-1)


@pytest.mark.parametrize(("p", "a"), [(0.01, 40), (0.1, 5), (0.3, 64), (0.5, 20)])
def test_sensed_sums_are_distributed_as_products_drawn_one_by_one(p, a):
    """A chi-square test; binomials that forget which products are +1 fail it."""
    h = np.full((2000, 1, 40), 2 * a - 64, np.int32)
    found = changed_sums(SenseErrors(p), h).reshape(-1)
    counted = sensed_one_by_one(h.reshape(-1)[:40000], 64, p, np.random.default_rng(0))
    assert homogeneous(found[:40000], counted) > 1e-4
    blind = h.reshape(-1)[:40000] + 2 * (np.random.default_rng(1).binomial(64, p, 40000)
                                         - np.random.default_rng(2).binomial(64, p, 40000)) // 2 * 2
    assert homogeneous(blind, counted) < 1e-6


def homogeneous(x, y):
    """p value of two samples having one distribution."""
    values = np.unique(np.concatenate([x, y]))
    table = np.array([[np.sum(sample == value) for value in values] for sample in (x, y)])
    rare = table.sum(axis=0) < 20
    table = np.concatenate([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)], axis=1)
    return scipy.stats.chi2_contingency(table[:, table.sum(axis=0) > 0])[1]


def test_sensing_errors_are_read_errors_of_a_layer_that_is_used_once():
    """Of a dense layer each bit is sensed once an image: mean and spread are those of flips drawn anew for each."""
    network = network_of("FC64 FC40 FC5", (1, 4, 4))
    one = images_of(network, 1)
    images = np.repeat(one, 3000, axis=0)
    stage = network.stages[1]
    x = network.run(0, images[:1], 1)
    own = [BitFlips(0.1, (1,)).apply(network, 9, read).stages[1].sums(x)[0, 0] for read in range(3000)]
    h = np.repeat(stage.sums(x), 3000, axis=0)
    sensed = SenseErrors(0.1).of_sums(stage, 0.1, h, np.array([3, 4], np.uint64))[:, 0]
    assert np.all(np.abs(sensed.mean(0) - np.mean(own, 0)) < 5 * np.std(own, 0) * math.sqrt(2 / 3000))
    assert np.all(np.abs(sensed.std(0) / np.std(own, 0) - 1) < 0.12)


def test_tables_are_ordered_in_the_rate():
    """More errors of +1 products and of -1 products alike: steps of one draw go the way of the mean."""
    h = np.full((300, 1, 40), 64, np.int32)
    steps = [changed_sums(SenseErrors(p), h) for p in (0.0, 0.01, 0.1, 0.4)]
    assert np.array_equal(steps[0], h) and all(np.all(a >= b) for a, b in zip(steps, steps[1:]))


# ---------------------------------------------------------------- as a fault among others

def test_errors_add_up_and_stored_bits_may_break_too():
    network = network_of(*CHAINS["dense"])
    images = images_of(network)
    flips = BitFlips(0.1).apply(network, 7, 1)
    both = Compose([BitFlips(0.1), ActivationErrors(0.1)]).apply(network, 7, 1)
    other = Compose([ActivationErrors(0.1), BitFlips(0.1)])
    assert same(both, flips) and not np.array_equal(both.scores(images), flips.scores(images))
    assert not same(other.apply(network, 7, 1), network) and other.when == "read"
    assert not np.array_equal(other.apply(network, 7, 1).scores(images), ActivationErrors(0.1).apply(
        network, 7, 1).scores(images))
    twice = Compose([PopcountErrors(0.2), ActivationErrors(0.1)]).apply(network, 7)
    assert len(twice.noise) == 2 and same(twice, network)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(twice)).scores(images), twice.scores(images))


def test_a_sweep_is_its_reads_in_batches_of_500():
    network = network_of("FC20 FC10", (1, 4, 4))
    images = images_of(network, 700)
    split = bnnsim.Split(images, np.random.default_rng(0).integers(0, 10, 700).astype(np.uint8), "random")
    result = bnnsim.sweep(network, split, [0, 0.1], 2, 5, faults=ActivationErrors(0), progress=False)
    assert result.axis == "bit_error_rate_of_activations" and np.all(result.ber == 0)
    for trial in range(2):
        found = [ActivationErrors(0.1).apply(network, 5, trial, read).predict(part)
                 for read, part in enumerate((images[:500], images[500:]))]
        assert result.accuracy[0, 1, trial] == np.mean(np.concatenate(found) == split.labels)


def test_what_is_shared_of_the_clean_network_does_not_hide_the_errors():
    network = network_of(*CHAINS["dense"])
    images = images_of(network, 300)
    broken = ActivationErrors(0.3).apply(network, 1)
    np.testing.assert_array_equal(CleanPass(network, images).predict(broken), broken.predict(images))


def test_rates_by_layer():
    network = network_of(*CHAINS["dense"])
    images = images_of(network)
    one = ActivationErrors((0, 0.2, 0)).apply(network, 1).scores(images)
    np.testing.assert_array_equal(one, ActivationErrors(0.2, layers=(1,)).apply(network, 1).scores(images))
    assert PopcountErrors(0.1).apply(network).noise[0][1] == (0, 0.1, 0.1)
    assert ActivationErrors(0.1).apply(network).noise[0][1] == (0.1, 0.1, 0)
    assert PopcountErrors((0, 0.1, 0.2)).at(0.4) == PopcountErrors((0, 0.2, 0.4)) or \
        PopcountErrors((0, 0.1, 0.2)).at(0.4).scaled()[0] == (0, 0.2, 0.4)


def graph():
    import small_graphs

    return small_graphs.packed()


DENSE = network_of(*CHAINS["dense"])
LABELLED = bnnsim.Split(images_of(DENSE), np.zeros(70, np.int64), "black", DENSE.n_classes, "made here")
BAD = [
    (lambda: ActivationErrors(1.5), ValueError, r"p must be a probability in \[0, 1\], got 1.5"),
    (lambda: PopcountNoise(-0.1), ValueError, "spread must be a probability"),
    (lambda: PopcountErrors(0.1, step=0), ValueError, r"step must be in \[1, 1048576\], got 0"),
    (lambda: PopcountErrors(0.1, layers=(0,)).apply(DENSE), ValueError, "popcount errors, but layer 0 reads pixels"),
    (lambda: SenseErrors((0.1, 0, 0)).apply(DENSE), ValueError, "sense errors, but layer 0 reads pixels"),
    (lambda: ActivationErrors(0.1, layers=(2,)).apply(DENSE), ValueError, "layer 2 gives scores, no bits"),
    (lambda: ActivationErrors(0.1, layers=(7,)).apply(DENSE), ValueError, r"layers must be in 0..2"),
    (lambda: ActivationErrors(0.1).apply(graph()), TypeError, "layers in a row, got a PackedGraph"),
    (lambda: Protected(SenseErrors(0.1)).apply(DENSE), TypeError, "SenseErrors errs where a PackedNetwork is read"),
    (lambda: ActivationErrors(0.1).apply(DENSE, 0, -1), ValueError, "trial must be >= 0"),
    (lambda: ActivationErrors(0.1).apply(DENSE).run(0, images_of(DENSE)), TypeError, "gives scores of the images"),
    (lambda: ActivationErrors(0.1).apply(DENSE).save("noisy.h5"), TypeError, "errors of reading are no part of a netw"),
    (lambda: bnnsim.export_network(ActivationErrors(0.1).apply(DENSE), "noisy.npz"), TypeError,
     "network must be one without errors of reading, got what a fault of reading gave"),
    (lambda: bnnsim.metrics.hard_images(ActivationErrors(0.1).apply(DENSE), LABELLED, BitFlips(0.1)), TypeError,
     "network must be one without errors of reading"),
    (lambda: bnnsim.metrics.ensemble(ActivationErrors(0.1).apply(DENSE), LABELLED, EachRead(BitFlips(0.1))),
     TypeError, "network must be one without errors of reading"),
    (lambda: ActivationErrors(0.1).apply(DENSE).checksum, TypeError, "errors of reading are no part of a network's f"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_fault_that_reads_each_bit_anew_is_no_error_of_reading():
    """`EachRead` draws the memory once a read; the network is a plain one."""
    assert type(EachRead(BitFlips(0.1)).apply(DENSE)) is PackedNetwork
    assert read_errors.SenseErrors.OF_SUMS and not read_errors.ActivationErrors.OF_SUMS
