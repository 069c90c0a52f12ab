"""Refresh schedules: costs against a day that is lived read by read, intervals against a search along the curve."""

import math

import numpy as np
import pytest
from fault_parts import network_of
from hypothesis import given, strategies

from bnnsim.devices import RefreshSchedule, longest_interval, mean_accuracy
from bnnsim.faults import ReadDisturb

NETWORK = network_of("FC40 FC10", (1, 5, 5))
DISTURB = ReadDisturb(30.0, 90.0)


def a_day(rewrites, interval, reads, rng):
    """(bits written, bit reads, writes by bit) of a day; a bit is disturbed at each read, until it is written."""
    ones = np.concatenate([np.unpackbits(layer.words.view(np.uint8), bitorder="little", axis=-1)[:, :layer.n_in].ravel()
                           for layer in NETWORK.layers])
    p = np.where(ones == 1, 1 - math.exp(-1 / 90), 1 - math.exp(-1 / 30))
    wrong, writes, n_reads = np.zeros(ones.size, bool), np.zeros(ones.size, int), 0
    for n in range(1, reads + 1):
        wrong |= rng.random(ones.size) < p
        n_reads += ones.size
        if n % interval == 0:
            n_reads += ones.size * (rewrites == "wrong")
            writes[wrong | (rewrites == "all")] += 1
            wrong[:] = False
    return writes.sum(), n_reads, writes


@pytest.mark.parametrize("rewrites", ["all", "wrong"])
def test_a_day_costs_what_it_costs_read_by_read(rewrites):
    written, read, writes = a_day(rewrites, 6, 1200, np.random.default_rng(0))
    cost = RefreshSchedule(6, 1200, rewrites).cost(NETWORK, DISTURB, 2e-12, 3e-15, 1e6, 0.5)
    assert cost.refreshes_per_day == 200
    assert abs(cost.written_bits_per_day - written) <= 5 * math.sqrt(written) * (rewrites == "wrong")
    assert cost.write_joule_per_day == pytest.approx(2e-12 * cost.written_bits_per_day)
    assert cost.read_joule_per_day == pytest.approx(3e-15 * read)
    assert cost.cycles_per_day == pytest.approx(0.5 * cost.written_bits_per_day / NETWORK.n_bits)
    assert cost.lifetime_day == pytest.approx(1e6 / cost.cycles_per_day)
    assert cost.cycles_per_day == pytest.approx(0.5 * writes.mean(), rel=0.02)


def test_what_is_wrong_is_not_linear_in_the_interval():
    """A model of p = n / N per interval writes twice as much as is needed, and fails."""
    written, _, _ = a_day("wrong", 60, 1200, np.random.default_rng(0))
    cost = RefreshSchedule(60, 1200, "wrong").cost(NETWORK, DISTURB, 1, 1, 1)
    assert abs(cost.written_bits_per_day - written) <= 5 * math.sqrt(written)
    ones = sum(int(np.bitwise_count(layer.words).sum()) for layer in NETWORK.layers)
    linear = 20 * (ones * 60 / 90 + (NETWORK.n_bits - ones) * 60 / 30)
    assert abs(linear - written) > 5 * math.sqrt(written)


curves = strategies.lists(strategies.tuples(strategies.floats(0.1, 100), strategies.floats(0, 1)), min_size=1,
                          max_size=8)


@given(curves, strategies.floats(0, 1), strategies.floats(0, 0.5))
def test_the_longest_interval_is_where_the_curve_first_falls_too_low(steps, clean, drop):
    reads = np.concatenate([[0], np.cumsum([step for step, _ in steps])])
    accuracy = np.array([clean, *(a for _, a in steps)])
    found, where = longest_interval(reads, accuracy, drop)
    along = np.linspace(0, found, 200)
    assert np.all(np.interp(along, reads, accuracy) >= clean - drop - 1e-9)
    if where == "inside":
        assert np.interp(found, reads, accuracy) == pytest.approx(clean - drop, abs=1e-9)
        assert accuracy[np.searchsorted(reads, found, "right")] < clean - drop
    else:
        assert found == reads[-1] and np.all(accuracy >= clean - drop - 1e-9)


@given(curves, strategies.floats(0.05, 1))
def test_the_mean_accuracy_is_the_integral_along_the_curve(steps, share):
    reads = np.concatenate([[0], np.cumsum([step for step, _ in steps])])
    accuracy = np.array([0.9, *(a for _, a in steps)])
    end = float(share * reads[-1])
    middles = (np.arange(20_000) + 0.5) / 20_000 * end
    assert mean_accuracy(reads, accuracy, end) == pytest.approx(np.interp(middles, reads, accuracy).mean(), abs=1e-3)


SCHEDULE = RefreshSchedule(10, 100)


@pytest.mark.parametrize("call, error, message", [
    (lambda: RefreshSchedule(0, 1), ValueError, "interval_reads must be > 0"),
    (lambda: RefreshSchedule(1, math.inf), ValueError, "reads_per_day must be finite"),
    (lambda: RefreshSchedule(1, 1, "none"), ValueError, "rewrites must be one of 'all', 'wrong'"),
    (lambda: SCHEDULE.cost(NETWORK, 0.1, 1, 1, 1), TypeError, "disturb must be a bnnsim.faults.ReadDisturb, got float"),
    (lambda: SCHEDULE.cost(3, DISTURB, 1, 1, 1), TypeError, "network must be a PackedNetwork"),
    (lambda: SCHEDULE.cost(NETWORK, DISTURB, -1, 1, 1), ValueError, "energy_write_joule must be >= 0"),
    (lambda: SCHEDULE.cost(NETWORK, DISTURB, 1, math.nan, 1), ValueError, "energy_read_joule must be finite"),
    (lambda: SCHEDULE.cost(NETWORK, DISTURB, 1, 1, 0), ValueError, "endurance_cycles must be > 0"),
    (lambda: SCHEDULE.cost(NETWORK, DISTURB, 1, 1, 1, 0), ValueError, "cycles_per_write must be > 0"),
    (lambda: RefreshSchedule(1, 1, "wrong").cost(NETWORK, ReadDisturb(9, 9, 2.0), 1, 1, 1), ValueError,
     "rewrites must be 'all' where a disturbance remembers"),
    (lambda: longest_interval("a", [1]), TypeError, "reads must be a sequence of numbers.*got 'a' of type str"),
    (lambda: longest_interval(["a"], [1]), TypeError, "reads must be a sequence of numbers, got 'a' in it"),
    (lambda: longest_interval([0, 1], 0.9), TypeError, "accuracy must be a sequence of numbers.*got 0.9 of type float"),
    (lambda: longest_interval([0, [1, 2]], [1, 1]), TypeError, r"numbers, got \[1, 2\] in it"),
    (lambda: mean_accuracy([], [], 1), ValueError, "reads must be a sequence of numbers.*one at least, got none"),
    (lambda: longest_interval([1, 2], [0.9, 0.8]), ValueError, "reads must ascend from 0"),
    (lambda: longest_interval([0, 2, 1], [0.9, 0.8, 0.7]), ValueError, "reads must ascend from 0"),
    (lambda: longest_interval([0], [0.9]), ValueError, "reads must ascend from 0, two or more"),
    (lambda: longest_interval([0, 1], [0.9]), ValueError, "with one accuracy each"),
    (lambda: longest_interval([0, 1], [90, 80]), ValueError, "accuracy shares of 1"),
    (lambda: longest_interval([0, 1], [0.9, math.nan]), ValueError, "accuracy shares of 1"),
    (lambda: longest_interval([0, 1], [0.9, 0.8], 2), ValueError, "drop must be a probability"),
    (lambda: mean_accuracy([0, 1], [0.9, 0.8], 0), ValueError, "interval_reads must be > 0"),
    (lambda: mean_accuracy([0, 1], [0.9, 0.8], 2), ValueError, "interval_reads must be <= 1")])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
