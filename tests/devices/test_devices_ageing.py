"""Ageing: interpolation inside of the data only, drift in log t with Arrhenius, Weibull failures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnnsim.devices import Cell2T2R, LogNormal, NormalConductance, Retention, Wear, Weibull
from bnnsim.devices.ageing import interpolated

FRESH = LogNormal(5e3, 0.2), LogNormal(2e5, 0.4)
WORN = LogNormal(4e3, 0.3), LogNormal(2e4, 0.8)
WEAR = Wear((1, 1e6), [FRESH, WORN])
KEPT = Retention(0.02, -0.1, 1.0, 300.0, 0.8, 1e8, 273.0, 400.0)

pytestmark = pytest.mark.jit_off


def test_tables_are_straight_in_log_cycles():
    """Half-way in decades: the geometric mean of medians, the mean of sigmas; at the ends the rows themselves."""
    lrs, hrs = WEAR.at(1e3)
    assert hrs.median_ohm == pytest.approx(math.sqrt(2e5 * 2e4)) and hrs.sigma_ln == pytest.approx(0.6)
    assert lrs.median_ohm == pytest.approx(math.sqrt(5e3 * 4e3))
    for cycles, states in ((1, FRESH), (1e6, WORN)):
        for comp, ref in zip(WEAR.at(cycles), states):
            assert (comp.median_ohm, comp.sigma_ln) == pytest.approx((ref.median_ohm, ref.sigma_ln))
    conductances = Wear((10, 1000), [(NormalConductance(2e-4, 2e-5), NormalConductance(2e-5, 4e-6))] * 2)
    assert conductances.at(100)[0].mean_siemens == pytest.approx(2e-4)


def test_callables_are_asked():
    wear = Wear((1, 1e8), lambda n: (LogNormal(5e3, 0.2), LogNormal(1e5 / (1 + math.log10(n)), 0.4)))
    assert wear.at(1e4)[1].median_ohm == pytest.approx(2e4)
    with pytest.raises(ValueError, match="cycles must be within 1 to 1e.08, got 1e.09"):
        wear.at(1e9)
    assert wear.at(1e9, extrapolate=True)[1].median_ohm == pytest.approx(1e4)


def test_cells_get_worse_with_cycles():
    rates = [Cell2T2R(*WEAR.at(n)).error_rates().mean for n in (1, 1e2, 1e4, 1e6)]
    assert rates == sorted(rates) and rates[-1] > 1000 * rates[0]


@given(st.floats(1.0, 1e6))
def test_interpolation_stays_between_rows(cycles):
    hrs = WEAR.at(cycles)[1]
    assert 2e4 * (1 - 1e-9) <= hrs.median_ohm <= 2e5 * (1 + 1e-9) and 0.4 - 1e-9 <= hrs.sigma_ln <= 0.8 + 1e-9


def test_interpolation_against_numpy():
    grid, values = [1.0, 10.0, 1e3, 1e4], [3.0, 1.0, 4.0, 1.5]
    for at in (1.0, 2.0, 10.0, 500.0, 9999.0, 1e4):
        assert interpolated("x", at, grid, values) == pytest.approx(np.interp(at, grid, values))
        assert interpolated("x", at, grid, values, log=True) == \
            pytest.approx(np.interp(math.log(at), np.log(grid), values))
    assert interpolated("x", 1e5, grid, values, log=True, extrapolate=True) == pytest.approx(-1.0)
    assert interpolated("x", 0.1, grid, values, log=True, extrapolate=True) == pytest.approx(5.0)


def test_drift_is_straight_in_log_time():
    """-0.1 in ln R per decade, from t0 on; nothing at t = 0."""
    assert KEPT.shifts(0.0) == (0.0, 0.0)
    for decade in (3, 6, 8):
        low, high = KEPT.shifts(10.0**decade - 1)
        assert (low, high) == pytest.approx((0.02 * decade, -0.1 * decade))


def test_heat_speeds_drift_up_by_arrhenius():
    """0.8 eV from 300 K to 360 K: a factor of exp(0.8 / k (1 / 300 - 1 / 360)) = 174 in time."""
    factor = math.exp(0.8 / 8.617333262e-5 * (1 / 300 - 1 / 360))
    assert 150 < factor < 200 and factor == pytest.approx(174, rel=0.02)
    assert KEPT.shifts(100.0, 360.0) == pytest.approx(KEPT.shifts(100.0 * factor, 300.0))
    assert abs(KEPT.shifts(1e4, 280.0)[1]) < abs(KEPT.shifts(1e4, 300.0)[1])


def test_the_longest_time_counts_as_itself_at_any_temperature():
    """Rounding of the equivalent time refused the end of the data."""
    for kelvin in range(301, 401):
        factor = math.exp(0.8 / 8.617333262e-5 * (1 / 300 - 1 / kelvin))
        assert KEPT.shifts(1e8 / factor, kelvin)[1] == pytest.approx(-0.8)


def test_drift_of_data_from_a_few_kelvin_is_not_cut_off():
    """Of 997 decades from 4 K to 300 K it ended at 260, those that a float has."""
    cold = Retention(0.02, -0.1, 1.0, 4.0, 0.8, 1e8)
    decades = 2 + 0.8 / 8.617333262e-5 * (1 / 4 - 1 / 300) / math.log(10)
    assert cold.shifts(100.0, 300.0, extrapolate=True) == pytest.approx((0.02 * decades, -0.1 * decades), rel=1e-12)
    assert cold.shifts(0.0, 300.0, extrapolate=True) == (0.0, 0.0) and decades > 990


def test_weibull():
    worn = Weibull(1e7, 2.0, 0.7)
    assert worn.failures(1e7).p_failed == pytest.approx(1 - math.exp(-1)) and worn.failures(1e7).share_lrs == 0.7
    assert worn.failures(0).p_failed == 0 and worn.failures(1e3).p_failed == pytest.approx(1e-8, rel=1e-6)
    for p in (1e-9, 0.01, 0.9):
        assert worn.failures(worn.lifetime_cycles(p)).p_failed == pytest.approx(p)
    assert Weibull(1.0, 100.0).failures(1e10).p_failed == 1


BAD = [
    (lambda: WEAR.at(1e7), ValueError, "cycles must be within the data, 1 to 1e.06, got 1e.07; add rows"),
    (lambda: WEAR.at(5, extrapolate="no"), TypeError, "extrapolate must be True or False, got 'no'"),
    (lambda: KEPT.shifts(5, extrapolate="no"), TypeError, "extrapolate must be True or False, got 'no'"),
    (lambda: WEAR.at(0.5), ValueError, "cycles must be within the data"),
    (lambda: interpolated("x", 2.0, [1.0], [3.0]), ValueError, "x must be within the data, only 1, got 2; add rows"),
    (lambda: interpolated("x", 2.0, [1.0], [3.0], extrapolate=True), ValueError, "only 1"),
    (lambda: interpolated("x", -1.0, [1.0, 2.0], [3.0, 4.0], True, True), ValueError, "x must be > 0"),
    (lambda: Wear((1, 1), [FRESH, WORN]), ValueError, "cycles must be two or more ascending"),
    (lambda: Wear(5, [FRESH, WORN]), TypeError, "cycles must be a sequence of numbers of cycles, .* got 5"),
    (lambda: Wear((1, 10), FRESH), TypeError, "a pair of states must be a sequence of two, .lrs, hrs., got LogNormal"),
    (lambda: Wear((0, 1), [FRESH, WORN]), ValueError, r"cycles\[0\] must be >= 1"),
    (lambda: Wear((1, 10), [FRESH]), ValueError, "states must be 2 pairs"),
    (lambda: Wear((1, 10), [FRESH, WORN[::-1]]), ValueError, "hrs must have a median above"),
    (lambda: Wear((1, 10), [FRESH, (NormalConductance(2e-4, 1e-5), WORN[1])]), TypeError, "all LogNormal or all"),
    (lambda: Wear((1, 10), lambda n: WORN[::-1]).at(5), ValueError, "are the two exchanged"),
    (lambda: KEPT.shifts(1e9), ValueError, "time_second must be within the data, up to 1e.08 s at 300 K, got 1e.09 s"),
    (lambda: KEPT.shifts(1e7, 400.0), ValueError, "got 1e.07 s at 400 K, which counts as"),
    (lambda: KEPT.shifts(1.0, 500.0), ValueError, "temperature_kelvin must be within the data, 273 to 400, got 500"),
    (lambda: KEPT.shifts(-1.0), ValueError, "time_second must be >= 0"),
    (lambda: Retention(0, -0.1, 0.0, 300.0, 1.0, 1e8), ValueError, "time0_second must be > 0"),
    (lambda: Retention(0, -0.1, 1.0, 300.0, 1.0, 1e8, 310.0, 400.0), ValueError, "temperature0_kelvin must lie in"),
    (lambda: Retention(0, -0.1, 1.0, 300.0, 1.6e2, 1e8), ValueError, "activation_electronvolt must be <= 10"),
    (lambda: Weibull(-1, 2), ValueError, "scale_cycles must be > 0"),
    (lambda: Weibull(1e6, 2).lifetime_cycles(1.0), ValueError, "p_failed must lie between 0 and 1"),
]


@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_extrapolation_must_be_asked_for():
    assert WEAR.at(1e7, extrapolate=True)[1].median_ohm < 2e4
    assert KEPT.shifts(1e9, extrapolate=True)[1] == pytest.approx(-0.9, abs=1e-6)
    assert KEPT.shifts(1.0, 500.0, extrapolate=True)[1] < 0
