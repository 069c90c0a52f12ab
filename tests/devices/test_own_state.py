"""States of a user's own: cells, error rates and chips take them, as exact as those that ship, or say what lacks."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from fault_parts import conv_network, network_of, padding_is_clear, within_5_sigma
from scipy.special import ndtr, ndtri
import slow_cases

import bnnsim.devices.quantile_sensing as quantile_sensing
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.devices import (Cell1T1R, Cell2T2R, Empirical, Failures, KnownState, LogNormal, NormalConductance, State,
                            Wear, fit)
from bnnsim.devices.goodness import akaike
from bnnsim.devices.overlap import overlap
from bnnsim.devices.distributions import KINDS


@dataclass(frozen=True)
class Plain:
    """Another state, of which only what `State` says can be seen: no closed form, no samples, no numbers."""

    inner: State

    ln_median = property(lambda self: self.inner.ln_median)

    def cdf(self, x):
        return self.inner.cdf(x)

    def sf(self, x):
        return self.inner.sf(x)

    def quantile(self, z):
        return self.inner.quantile(z)

    def density(self, x):
        return self.inner.density(x)

    def shifted(self, shift):
        return Plain(self.inner.shifted(shift))

    def scaled(self, factor):
        return Plain(self.inner.scaled(factor))


@dataclass(frozen=True)
class Logistic:
    """ln R is logistic: heavier tails than any state that ships. The least that cells ask for, and a spread to move."""

    ln_median: float
    width: float

    def cdf(self, x):
        return 1 / (1 + np.exp(-(np.asarray(x) - self.ln_median) / self.width))

    def sf(self, x):
        return 1 / (1 + np.exp((np.asarray(x) - self.ln_median) / self.width))

    def quantile(self, z):
        return self.ln_median + self.width * (np.log(ndtr(z)) - np.log(ndtr(-np.asarray(z))))

    def scaled(self, factor):
        return replace(self, width=self.width * factor)


DENSE, CONV = network_of("FC256 FC70 FC10", (1, 10, 10)), conv_network()
SHIPPED = {"log-normal": (LogNormal(5e3, 0.5), LogNormal(3e4, 0.9)),
           "conductance": (NormalConductance(2e-4, 5e-5), NormalConductance(6e-5, 2.5e-5)),
           "mixed": (LogNormal(5e3, 0.4), NormalConductance(6e-5, 2.5e-5))}
every = pytest.mark.parametrize("name", SHIPPED)


def plain(cell):
    return replace(cell, lrs=Plain(cell.lrs), hrs=Plain(cell.hrs))


def cells(lrs, hrs):
    return {"1T1R": Cell1T1R(lrs, hrs, reference_ohm=1.3e4), "2T2R": Cell2T2R(lrs, hrs),
            "dead 1T1R": Cell1T1R(lrs, hrs, 1.3e4, Failures(0.2, 0.7)),
            "all": Cell2T2R(lrs, hrs, 0.1, 0.3, 0.2, Failures(0.2, 0.7))}


# ---------------------------------------------------------------- error rates

@pytest.mark.parametrize("name, kind", [("log-normal", "1T1R"), ("log-normal", "2T2R"), ("log-normal", "all"),
                                        ("mixed", "dead 1T1R"), ("mixed", "2T2R")])
def test_integrals_are_as_good_as_closed_forms(name, kind):
    """The very distributions, without a closed form: the same rates to 1e-8, noise and dead devices included."""
    cell = cells(*SHIPPED[name])[kind]
    assert plain(cell).error_rates() == pytest.approx(cell.error_rates(), rel=1e-8)


@every
def test_the_equal_error_reference_is_found(name):
    cell = Cell1T1R(*SHIPPED[name])
    p01, p10 = plain(cell).error_rates()
    assert p01 == pytest.approx(p10, rel=1e-6) and p01 == pytest.approx(cell.error_rates().p01, rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_an_own_state_stands_beside_one_that_ships(noise):
    """First or second, beside a closed form, an integral, samples."""
    for state in (LogNormal(5e3, 0.5), NormalConductance(2e-4, 5e-5))[:1 if noise else 2]:
        for other in (LogNormal(3e4, 0.9), NormalConductance(6e-5, 2.5e-5), Empirical(np.geomspace(9e3, 1e5, 50))):
            ref = overlap(state, other, 0.1, noise)
            assert overlap(Plain(state), other, 0.1, noise) == pytest.approx(ref, rel=1e-8)
            assert overlap(other, Plain(state), -0.1, noise) == pytest.approx(1 - ref, rel=1e-8)


def test_jumps_are_integrated_as_sums_are():
    """An own state of four values, which does not say that there are no others; wherever they are among the nodes."""
    state, levels = NormalConductance(2e-4, 5e-5), Empirical((9e3, 9.001e3, 2e4, 5e4))
    for shift in np.linspace(-2, 2, 41):
        assert overlap(state, Plain(levels), shift) == pytest.approx(overlap(state, levels, shift), rel=1e-8)


def test_a_state_that_knows_what_it_is_gets_the_closed_form():
    """`ln_normal` and `widened` are asked of the object, not of its class."""
    @dataclass(frozen=True)
    class Mine(Plain):
        ln_normal = property(lambda self: self.inner.ln_normal)

        def widened(self, sigma):
            return Mine(self.inner.widened(sigma))

    lrs, hrs = SHIPPED["log-normal"]
    for cell in cells(lrs, hrs).values():
        assert replace(cell, lrs=Mine(lrs), hrs=Mine(hrs)).error_rates() == cell.error_rates()
    assert Cell1T1R(Mine(lrs), Mine(hrs)).ln_reference == Cell1T1R(lrs, hrs).ln_reference


# ---------------------------------------------------------------- chips

@every
@pytest.mark.parametrize("kind", slow_cases.first(2, ["all", "1T1R", "2T2R", "dead 1T1R"]))
@pytest.mark.parametrize("network", [DENSE, CONV], ids=["dense", "conv"])
def test_a_chip_is_the_one_that_compiled_loops_program(name, kind, network, monkeypatch):
    """Device by device the same draws and the same rules; blocks of rows do not show."""
    cell = cells(*SHIPPED[name])[kind]
    ref = cell.programmed(rows_per_amplifier=3).masks(network, 5, 2, 1)
    assert len(ref) >= 3
    for block in (1, 1000, 2**18):
        monkeypatch.setattr(quantile_sensing, "BLOCK_BITS", block)
        comp = plain(cell).programmed(rows_per_amplifier=3).masks(network, 5, 2, 1)
        assert comp.keys() == ref.keys() and all(np.array_equal(comp[i], ref[i]) for i in ref)
    one = replace(cell, hrs=Plain(cell.hrs)).programmed(rows_per_amplifier=3).masks(network, 5, 2, 1)
    assert all(np.array_equal(one[i], ref[i]) for i in ref)


@pytest.mark.jit_off
def test_samples_that_are_equal_fall_either_way_as_in_compiled_loops():
    lrs, hrs = Empirical((3e3, 4e3, 9e3, 9e3)), Empirical((4e3, 9e3, 2e4))
    network = network_of("FC20 FC10", (1, 3, 3))
    for cell in (Cell2T2R(lrs, hrs), Cell1T1R(lrs, hrs, 9e3)):
        ref, comp = cell.programmed().masks(network, 3), plain(cell).programmed().masks(network, 3)
        assert ref.keys() == comp.keys() and all(np.array_equal(comp[i], ref[i]) for i in ref)


OWN = Logistic(8.5, 0.3), Logistic(10.3, 0.5)


@pytest.mark.parametrize("cell", [Cell1T1R(*OWN), Cell2T2R(*OWN, 0.1, 0.2, 0.1)], ids=["1T1R", "2T2R"])
def test_chips_of_an_own_distribution_have_its_rates(cell):
    """Within 5 sigma; states of the same medians and variances that are normal would fail."""
    network = network_of("FC512 FC512 FC10", (1, 28, 28))
    masks, (p01, p10) = cell.programmed().masks(network, 4), cell.error_rates()
    ones = sum(int(np.bitwise_count(layer.words).sum()) for layer in network.layers)
    wrong1 = sum(int(np.bitwise_count(mask & network.layers[i].words).sum()) for i, mask in masks.items())
    wrong0 = sum(int(np.bitwise_count(mask & ~network.layers[i].words).sum()) for i, mask in masks.items())
    assert within_5_sigma(wrong1, ones, p10) and within_5_sigma(wrong0, network.n_bits - ones, p01)
    normal = replace(cell, **{name: LogNormal(math.exp(state.ln_median), state.width * math.pi / math.sqrt(3))
                              for name, state in (("lrs", cell.lrs), ("hrs", cell.hrs))}).error_rates()
    assert not within_5_sigma(wrong1, ones, normal.p10)


def test_own_states_go_through_a_sweep():
    """Errors nest along the spread, padding stays clear, one chip by seed and trial."""
    fault = Cell2T2R(*OWN).programmed()
    chips = [fault.at(sigma).masks(CONV, 0, 1) for sigma in (0.5, 0.8, 1.0)]
    for fewer, more in zip(chips[:-1], chips[1:]):
        assert fewer and all(not np.any(mask & ~more[i]) for i, mask in fewer.items())
    assert padding_is_clear(fault.apply(CONV, 0)) and fault.at(0.0).masks(CONV, 0) == {}
    split = Split(np.random.default_rng(0).integers(0, 256, (30, 1, 10, 10), np.uint8), np.arange(30) % 10, "random")
    found = sweep(DENSE, split, [0.5, 1.0], 2, 7, faults=fault, progress=False)
    assert found.accuracy[0, 1, 1] == fault.apply(DENSE, 7, 1).accuracy(split)


def test_own_states_wear_and_drift():
    wear = Wear((1, 1e6), lambda n: (Logistic(8.5, 0.3), Logistic(11 - 0.1 * math.log10(n), 0.5)))
    assert Cell2T2R(*wear.at(1e6)).error_rates().mean > Cell2T2R(*wear.at(1)).error_rates().mean
    cell = Cell2T2R(Plain(LogNormal(5e3, 0.3)), Plain(LogNormal(3e4, 0.6)))
    assert cell.shifted(0.0, -0.5).hrs == Plain(LogNormal(3e4, 0.6).shifted(-0.5))

    @dataclass(frozen=True)
    class Known(Logistic):
        KEYS = {"width": "log", "ln_median": "linear"}

    low, high = Wear((1, 100), [(Known(8.0, 0.2), Known(10.0, 0.4)), (Known(9.0, 0.8), Known(12.0, 0.4))]).at(10)
    assert (low.ln_median, low.width) == pytest.approx((8.5, 0.4)) and high.ln_median == pytest.approx(11.0)


# ---------------------------------------------------------------- what lacks

class Half:
    """A state that cannot be programmed."""

    ln_median = 9.0

    def cdf(self, x):
        return ndtr(x)


HIGH = LogNormal(5e5, 0.3)


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: Cell2T2R(Half(), HIGH), TypeError, "lrs must be a state such as LogNormal.*, or one of "
     "your own with ln_median, cdf, sf, quantile .*, got Half, which has no sf and no quantile"),
    (lambda: Cell1T1R(HIGH, 5e4), TypeError, "hrs must be a state such as .* got float, which has no ln_median and no"),
    (lambda: Cell1T1R(LogNormal, HIGH), TypeError, "lrs must be .* got LogNormal, a class"),
    (lambda: Cell2T2R(Logistic(20.0, 1.0), HIGH), ValueError, "are the two exchanged"),
    (lambda: Cell2T2R(OWN[0], HIGH).shifted(0.1, 0.1), TypeError, "own with shifted .* Logistic, .* no shifted"),
    (lambda: Wear((1, 9), [(OWN[0], HIGH)] * 2), TypeError, "another kind with KEYS, got Logistic; or pass a"),
    (lambda: Wear((1, 9), [(Empirical((1, 2)), HIGH)] * 2), TypeError, "must be all LogNormal .* got Empirical"),
])
def test_what_lacks_is_said_in_one_line(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- those that ship

@pytest.mark.jit_off
@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_states_that_ship_do_all_that_is_said(kind):
    """`KnownState`, every member: quantile turns cdf round, density integrates to it, numbers make the state again."""
    rng = np.random.default_rng(1)
    state = kind.from_samples(np.sort(1 / rng.normal(1e-4, 2e-5, 400)))
    said = [name for protocol in (State, KnownState) for name in vars(protocol) if not name.startswith("_")]
    assert {"cdf", "sf", "quantile", "density", "keys", "from_samples", "kernel_state"} <= set(said)
    assert all(hasattr(state, name) for name in [*said, *KnownState.__annotations__])
    assert set(state.keys()) == set(kind.KEYS) and kind(**state.keys()) == state
    z = np.linspace(-2, 2, 9)
    tolerance = 1 / 400 if kind is Empirical else 1e-9
    np.testing.assert_allclose(state.cdf(state.quantile(z)), ndtr(z), atol=tolerance)
    np.testing.assert_allclose(state.sf(state.quantile(z)), ndtr(-z), atol=tolerance)
    x = np.linspace(*state.quantile(np.array([-8.0, 8.0])) + [-0.01, 0.01], 20_001)
    assert np.trapezoid(state.density(x), x) == pytest.approx(1, abs=1e-2)
    assert abs(state.ln_median - float(state.quantile(0.0))) < 0.01 and state.shifted(0.5).scaled(1.01) != state
    assert float(ndtri(state.cdf(state.shifted(0.0).ln_median))) == pytest.approx(0, abs=0.01)


def test_a_fit_to_samples_is_told_where_it_fails(tmp_path):
    """With the place, whichever model: more samples than an Empirical may have, a conductance cut too much."""
    rng, path = np.random.default_rng(0), tmp_path / "t.csv"
    rows = [f"weak,LRS,{v!r}" for v in (5e3 * np.exp(rng.standard_normal(20_001))).tolist()]
    rows += [f"weak,HRS,{v!r}" for v in (5e5 * np.exp(rng.standard_normal(20))).tolist()]
    path.write_text("condition,state,resistance_ohm\n" + "\n".join(rows) + "\n")
    with pytest.raises(ValueError, match="condition weak: samples_ohm must be 2 to 20,000 samples, got 20,001"):
        fit(path, "empirical", n_resamples=100)
    with pytest.raises(ValueError, match="condition weak: sigma_siemens must leave at most 3 %"):
        fit(path, "normal-conductance", n_resamples=100)


def test_akaike_takes_any_state_with_a_density():
    x = np.random.default_rng(0).normal(9, 0.5, 200)
    assert akaike(Plain(LogNormal(math.exp(9), 0.5)), x) == akaike(LogNormal(math.exp(9), 0.5), x)
