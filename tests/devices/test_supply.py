"""Pairs sensed at a low supply: margins of single pairs against plain Python, error rates against counted reads."""

import math
import pickle
from dataclasses import replace

import naive_devices as slow
import numpy as np
import pytest
from fault_parts import conv_network, count, flips, network_of, padding_is_clear, same, weights, within_5_sigma

from bnnsim import threads
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.devices import Cell1T1R, Cell2T2R, Empirical, Failures, LogNormal, NormalConductance, SupplySensing
from bnnsim.devices.monte_carlo import Programmed
from bnnsim.seeding import stream_key

LRS, HRS = LogNormal(5e3, 0.3), LogNormal(5e4, 0.6)
CELL = Cell2T2R(LRS, HRS, offset=0.05, offset_sigma=0.1, read_sigma=0.15)
AT = SupplySensing(CELL, 1.2, 0.6)
SMALL, CONV = network_of("FC9 FC5", (1, 2, 3)), conv_network()


def naive_margins(network, i, cell, trial, root=7, rows=1):
    """ln R_second - ln R_first - offset of each pair of a layer, the other way round where 0 is stored."""
    layer = network.layers[i]
    bits = weights(layer).reshape(-1, layer.n_in)
    n_words, taps = layer.words.shape[-1], layer.fan_in // layer.n_in
    key = {name: tuple(map(int, stream_key(root, name, trial, i, 0)))
           for name in ("device states", "amplifier offsets", "device failures")}
    lrs, hrs = slow.log_normal(5e3, 0.3), slow.log_normal(5e4, 0.6)
    out = np.zeros(bits.shape)
    for n, f in np.ndindex(*bits.shape):
        unit, tap = divmod(n, taps)
        place, amplifier = (64 * (row * n_words) + f for row in (n, unit // rows * taps + tap))
        low = [slow.is_lrs(wanted, key["device failures"], 2 * place + d, cell.failures.p_failed,
                           cell.failures.share_lrs) for d, wanted in enumerate((bool(bits[n, f]), not bits[n, f]))]
        first, second = ((lrs if low[d] else hrs)(slow.output(key["device states"], 2 * place + d)) for d in (0, 1))
        first += cell.offset + cell.offset_sigma * slow.normal(slow.output(key["amplifier offsets"], amplifier))
        out[n, f] = (second - first) * (1 if bits[n, f] else -1)
    return out.reshape(layer.units, -1)


@pytest.mark.parametrize("cell, rows", [(CELL, 1), (replace(CELL, failures=Failures(0.3, 0.7)), 2)])
def test_margins_are_those_of_plain_python(cell, rows):
    fault = Programmed(cell, rows)
    for network, i in ((SMALL, 0), (SMALL, 1), (CONV, 1)):
        found = fault.margins(network, 7, 2)[i]
        if found.size < 500:
            np.testing.assert_allclose(found, naive_margins(network, i, cell, 2, rows=rows), rtol=1e-9, atol=1e-11)
        assert found.shape == (network.layers[i].units, network.layers[i].fan_in)


@pytest.mark.parametrize("states", [(LRS, HRS), (NormalConductance(2e-4, 6e-5), HRS), (Empirical((3e3, 9e3)), HRS)],
                         ids=["log-normal", "conductance", "samples"])
def test_without_noise_pairs_of_a_margin_below_0_are_those_that_read_wrong(states):
    fault = SupplySensing(Cell2T2R(*states, offset_sigma=0.4), 1.2, 0.6, 0.8, rows_per_amplifier=3)
    assert fault.when == "write"
    broken, rates = fault.apply(CONV, 3, 1), fault.pair_error_rates(CONV, 3, 1)
    assert padding_is_clear(broken) and not same(broken, CONV)
    for i, (layer, after) in enumerate(zip(CONV.layers, broken.layers)):
        np.testing.assert_array_equal(rates[i], weights(layer) != weights(after))


def test_without_noise_equal_samples_read_wrong_where_the_amplifier_falls_wrong():
    """Instruments give few different readings: every such pair was told never to err, and half of them did."""
    fault = SupplySensing(Cell2T2R(Empirical((3e3, 9e3)), Empirical((9e3, 3e4))), 1.2, 0.6, 0.8)
    broken, rates = fault.apply(CONV, 3, 1), fault.pair_error_rates(CONV, 3, 1)
    for i, (layer, after) in enumerate(zip(CONV.layers, broken.layers)):
        np.testing.assert_array_equal(rates[i], weights(layer) != weights(after))
    every = np.concatenate([each.ravel() for each in rates.values()])
    assert within_5_sigma(int(every.sum()), every.size, fault.error_rates().mean) and every.any()
    assert list(replace(fault, layers=(1,)).pair_error_rates(CONV, 3, 1)) == [1]


def test_reads_err_as_often_as_their_pair_says():
    """Counts over 400 reads within 5 sigma of each pair's own rate; one rate for all pairs is far off."""
    fault, n = AT.at(0.68), 400
    rate = np.concatenate([each.ravel() for each in fault.pair_error_rates(SMALL, 3, 1).values()])
    counts = np.zeros(len(rate))
    for read in range(n):
        broken = fault.apply(SMALL, 3, 1, read)
        counts += np.concatenate([(weights(a) != weights(b)).ravel() for a, b in zip(SMALL.layers, broken.layers)])

    def excess(p):
        """Sum of squared deviations in sigmas less their number, of mean 0 and spread sqrt(2 n)."""
        free = n * p * (1 - p) > 1
        return ((counts - n * p)[free] ** 2 / (n * p * (1 - p))[free]).sum() - free.sum(), free.sum()

    found, free = excess(rate)
    assert abs(found) < 5 * math.sqrt(2 * free) and free > 60
    assert excess(np.full(len(rate), rate.mean()))[0] > 100 * math.sqrt(2 * free)
    assert counts[rate < 1e-4].sum() == 0 and (rate < 1e-4).any()


def test_pairs_have_the_mean_rate_of_the_cell():
    """Over 150,000 pairs within 5 sigma; the wrong law, spreads that do not grow, is not."""
    network = network_of("FC512 FC256 FC10", (1, 7, 7))
    for volt in (1.2, 0.75, 0.65):
        rates = np.concatenate([each.ravel() for each in AT.at(volt).pair_error_rates(network, 1).values()])
        bits = np.concatenate([weights(layer).ravel() for layer in network.layers]).astype(bool)
        for stored, ref, still in zip((0, 1), AT.at(volt).error_rates(), AT.error_rates()):
            own = rates[bits == stored]
            reach = 5 * own.std() / math.sqrt(len(own))
            assert abs(own.mean() - ref) < reach and (volt == 1.2 or abs(own.mean() - still) > 2 * reach)


def test_the_supply_scales_what_disturbs():
    """docs/frontier/supply.rst 1: by (nominal - threshold) / (supply - threshold); devices stay what they are."""
    low = AT.at(0.7)
    assert low.factor == pytest.approx(6) and AT.factor == 1 and AT.supplied is CELL
    assert low.supplied.read_sigma == pytest.approx(0.9) and low.supplied.offset_sigma == pytest.approx(0.6)
    assert low.supplied.offset == pytest.approx(0.3) and (low.supplied.lrs, low.supplied.hrs) == (LRS, HRS)
    assert same(AT.apply(CONV, 1, 2, 3), CELL.programmed().apply(CONV, 1, 2, 3))
    marked = SupplySensing(replace(CELL, origin=("a card", "measured")), 1.2, 0.6)
    assert marked.origin == marked.at(1.2).origin == ("a card", "measured") and marked.at(0.8).origin[1] == "derived"
    assert pickle.loads(pickle.dumps(low)) == low and low.at(1.2).supplied == CELL


def test_errors_of_sound_pairs_nest_as_the_supply_falls():
    """Where devices are the right way round, what errs at a supply errs at a lower one, in the same read."""
    sound = {i: margin >= 0 for i, margin in Programmed(Cell2T2R(LRS, HRS)).margins(CONV, 3).items()}
    before = {i: np.zeros_like(each) for i, each in sound.items()}
    for volt in (1.2, 0.9, 0.7, 0.63):
        broken = AT.at(volt).apply(CONV, 3, 0, 5)
        wrong = {i: (weights(a) != weights(b)) & sound[i] for i, (a, b) in enumerate(zip(CONV.layers, broken.layers))}
        assert not any((before[i] & ~wrong[i]).any() for i in wrong)
        assert sum(each.sum() for each in wrong.values()) > sum(each.sum() for each in before.values())
        before = wrong
    far = sum(map(count, flips(CONV, AT.at(0.63).apply(CONV, 3, 0, 6))))
    assert far != sum(map(count, flips(CONV, AT.at(0.63).apply(CONV, 3, 0, 5))))


def test_a_sweep_over_supplies():
    """In volts; on any number of threads the same."""
    split = Split(np.random.default_rng(0).integers(0, 256, (30, 1, 2, 3), np.uint8), np.arange(30) % 5, "random")
    found = []
    for n in (1, 2):
        with threads(n):
            found.append(sweep(SMALL, split, [0.65, 1.2], 2, 7, faults=AT, progress=False))
    assert found[0].checksum == found[1].checksum and found[0].axis == "supply_volt"
    assert found[0].accuracy[0, 0, 1] == AT.at(0.65).apply(SMALL, 7, 1, 0).accuracy(split)


BAD = [
    (lambda: SupplySensing(Cell1T1R(LRS, HRS), 1.2, 0.6), TypeError, "cell must be a Cell2T2R, .* got Cell1T1R"),
    (lambda: SupplySensing(CELL, 0.6, 0.6), ValueError, "nominal_volt must be above threshold_volt, 0.6, .* got 0.6"),
    (lambda: SupplySensing(CELL, 1.2, 0), ValueError, "threshold_volt must be > 0"),
    (lambda: SupplySensing(CELL, math.inf, 0.6), ValueError, "nominal_volt must be finite"),
    (lambda: SupplySensing(CELL, "1.2", 0.6), TypeError, "nominal_volt must be a real number"),
    (lambda: AT.at(0.5).apply(SMALL), ValueError, "volt must be above threshold_volt, 0.6, .* got 0.5"),
    (lambda: AT.at(math.nan), ValueError, "volt must be finite"),
    (lambda: AT.at(-1.0), ValueError, "volt must be >= 0"),
    (lambda: AT.at(0).error_rates(), ValueError, "volt must be above threshold_volt"),
    (lambda: replace(AT, rows_per_amplifier=0), ValueError, "rows_per_amplifier must be >= 1"),
    (lambda: replace(AT, layers=[-1]), ValueError, "layers must be >= 0"),
    (lambda: AT.apply("x"), TypeError, "network must be a PackedNetwork"),
    (lambda: AT.pair_error_rates(SMALL, -1), ValueError, "rng must be a seed"),
    (lambda: Cell1T1R(LRS, HRS).programmed().margins(SMALL), TypeError, "cell must be a Cell2T2R, whose pairs"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
