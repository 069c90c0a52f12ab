"""Sweeps over something else than a bit error rate, and faults that are drawn at each read."""

from dataclasses import dataclass

import numpy as np
import pytest

import bnnsim.campaign.cells as cells
import bnnsim.campaign.sweeps as sweeps
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets.split import Split
from bnnsim.devices import Cell2T2R, LogNormal
from bnnsim.faults import (ArrayMapping, ArrayVariation, AsymmetricFlips, BitFlips, Clusters, Compose, EachRead,
                           Protected, StuckAt, StuckLines, WeakAmplifiers)
from bnnsim.figures.sweeps import ber_curve
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack


@dataclass(frozen=True)
class Voltage:
    """Errors that grow as the voltage falls from 1 V: a device of somebody else's."""

    volt: float = 1.0

    def at(self, volt):
        return Voltage(volt)

    def apply(self, network, rng=None, trial=0):
        return AsymmetricFlips(0.5 * (1 - self.volt), 0.1 * (1 - self.volt)).apply(network, rng, trial)


@pytest.fixture(scope="module")
def network():
    return pack(build("FC64 FC10", (1, 8, 8), rng=0))


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(1)
    return Split(rng.integers(0, 256, (1200, 1, 8, 8), np.uint8), rng.integers(0, 10, 1200), "random")


def accuracy(network, split):
    return np.mean(network.predict(split.images) == split.labels)


def test_a_sweep_over_volts_gives_what_the_fault_gives_at_each(network, split, tmp_path):
    out, volts = tmp_path / "volts.h5", [0.0, 1.0, 0.6]
    result = sweeps.sweep(network, split, volts, 3, 7, faults=Voltage(), axis="voltage_volt", out=out, progress=False)
    ref = [[accuracy(Voltage(volt).apply(network, 7, trial), split) for trial in range(3)] for volt in volts]
    np.testing.assert_array_equal(result.accuracy[0], ref)
    assert result.std()[0, 0] > 0, "0 V is no rate of 0: its chips differ"
    loaded = SweepResult.load(out)
    assert loaded.axis == "voltage_volt" and loaded.checksum == result.checksum
    assert "voltage (V)" in loaded.table().splitlines()[0]
    more = sweeps.sweep(network, split, [*volts, -0.5 + 0.9], 3, 7, faults=Voltage(), axis="voltage_volt", out=out,
                        resume=True, progress=False)
    assert set(more.rates.tolist()) == {*volts, 0.4}
    figure = ber_curve(result, tmp_path / "volts.png")
    assert figure.axes[0].get_xlabel() == "voltage (V)" and figure.axes[0].get_xscale() == "linear"


def test_results_over_different_axes_do_not_mix(network, split, tmp_path):
    volts = sweeps.sweep(network, split, [0.5, 1], 2, 0, faults=Voltage(), axis="voltage_volt", progress=False)
    rates = sweeps.sweep(network, split, [0, 0.1], 2, 0, out=tmp_path / "rates.h5", progress=False)
    with pytest.raises(ValueError, match="one axis"):
        ber_curve({"volts": volts, "rates": rates})
    with pytest.raises(ValueError, match="tolerated needs probabilities"):
        volts.tolerated()
    with pytest.raises(ValueError, match="is of another campaign"):
        sweeps.sweep(network, split, [0.5, 1], 2, 0, faults=Voltage(), axis="p", out=tmp_path / "rates.h5",
                     resume=True, progress=False)


@pytest.mark.parametrize("axis, rates, error, message", [
    (None, [2.0], ValueError, "axis must say what rates are"),
    ("share_of_dead_cells", [2.0], ValueError, "probability"),
    ("bit_error_rate", [-0.1], ValueError, "probability"), ("volt", [float("nan")], ValueError, "rates"),
    ("", [1], TypeError, "axis must be the name"), (3, [1], TypeError, "axis must be the name"),
    ("volt", [1, 1.0], ValueError, "differ")])
def test_bad_axes(network, split, axis, rates, error, message):
    with pytest.raises(error, match=message):
        sweeps.sweep(network, split, rates, 2, 0, faults=Voltage(), axis=axis, progress=False)


def test_read_noise_is_drawn_anew_for_every_batch_of_images(network, split):
    """1,200 images are three reads; each has the errors of its own number."""
    fault = EachRead(BitFlips(0.1))
    result = sweeps.sweep(network, split, [0.1], 2, 5, faults=EachRead(BitFlips(0)), predictions=True, progress=False)
    for trial in range(2):
        ref = [fault.apply(network, 5, trial, read=read).predict(split.images[500 * read:500 * read + 500])
               for read in range(3)]
        np.testing.assert_array_equal(result.predictions[0, 0, trial], np.concatenate(ref))
    wrong = fault.apply(network, 5, 0, read=0).predict(split.images)
    assert np.any(wrong != result.predictions[0, 0, 0]) and cells.READ_IMAGES == 500


def test_a_rate_of_zero_is_one_chip_only_where_all_are_alike(network, split):
    """A part of a composed fault errs at rate 0 too: one chip would hide its spread."""
    mixed = Compose([BitFlips(0), BitFlips(0.2)])
    both = sweeps.sweep(network, split, [0], 4, 5, faults={"mixed": mixed, "plain": BitFlips(0)}, progress=False)
    np.testing.assert_array_equal(both.accuracy[0, 0], [accuracy(mixed.apply(network, 5, t), split) for t in range(4)])
    assert both.std()[0, 0] > 0 and both.interval()[0, 0, 1] > both.interval()[0, 0, 0]
    assert both.std()[1, 0] == 0 and both.interval()[1, 0, 0] == both.interval()[1, 0, 1]


# ---------------------------------------------------------------- what a rate is, and what bit error rate it makes

MAPPING = ArrayMapping(16, 16)
CELLS = Cell2T2R(LogNormal(5e3, 0.8), LogNormal(5e4, 1.0))
MOVED = [                           # fault, axis, head of its tables, whether 0 is no error
    (BitFlips(0), "bit_error_rate", "BER", True),
    (BitFlips([0.2, 0]), "largest_bit_error_rate_of_a_layer", "largest BER of a layer", True),
    (Protected(BitFlips(0), "secded(8,4)"), "bit_error_rate", "BER", True),
    (EachRead(BitFlips(0)), "bit_error_rate", "BER", True),
    (AsymmetricFlips(0.1, 0.3), "mean_bit_error_rate_of_0_and_1", "mean BER of 0 and 1", True),
    (StuckAt(0.1, 0.1), "share_of_stuck_cells", "share of stuck cells", True),
    (StuckLines(MAPPING, "row", 0.1, 0.1), "share_of_stuck_rows", "share of stuck rows", True),
    (StuckLines(MAPPING, "column", 0.1, 0.1), "share_of_stuck_columns", "share of stuck columns", True),
    (WeakAmplifiers(MAPPING, 0), "share_of_weak_amplifiers", "share of weak amplifiers", True),
    (Clusters(MAPPING, 0), "share_of_cluster_centres", "share of cluster centres", True),
    (ArrayVariation(BitFlips(0), MAPPING, 0, 1), "median_bit_error_rate_of_arrays", "median BER of arrays", True),
    (Compose([StuckAt(0, 0), BitFlips(0)]), "share_of_stuck_cells", "share of stuck cells", True),
    (Compose([StuckAt(0, 0), BitFlips(0)], axis=1), "bit_error_rate", "BER", True),
    (CELLS.programmed(), "sigma_factor", "sigma factor", False),
    (Protected(CELLS.programmed(), "secded(8,4)"), "sigma_factor", "sigma factor", False),
]


@pytest.mark.parametrize("fault, axis, head, is_share", MOVED, ids=[str(i) for i in range(len(MOVED))])
def test_every_fault_says_what_its_rate_is(network, split, fault, axis, head, is_share, tmp_path):
    """A factor on sigma, volts and shares of stuck cells passed as BER: in table, csv, file, figure and `tolerated`."""
    result = sweeps.sweep(network, split, [0, 0.3], 2, 1, faults=fault, out=tmp_path / "r.h5", progress=False)
    loaded = SweepResult.load(tmp_path / "r.h5")
    assert loaded.axis == axis == result.rows()[0]["axis"] and loaded.checksum == result.checksum
    assert head in loaded.table().splitlines()[0] and f",{axis}," in loaded.csv()
    written = ber_curve(loaded).axes[0].get_xlabel()
    assert written == ("bit error rate of the memory cells" if head == "BER" else
                       head.replace("BER", "bit error rate")), written
    if is_share:
        assert loaded.tolerated(0.5).axis == axis
    else:
        with pytest.raises(ValueError, match="tolerated needs probabilities"):
            loaded.tolerated()
        with pytest.raises(ValueError, match="leave it out"):
            sweeps.sweep(network, split, [0.1], 2, faults=fault, axis="bit_error_rate", progress=False)


@pytest.mark.parametrize("fault, low, high", [
    (BitFlips(0), 0.1, 0.1), (StuckAt(0.5, 0.5), 0.05, 0.05), (StuckLines(MAPPING, "row", 0.5, 0.5), 0.02, 0.09),
    (Clusters(MAPPING, 0, radius=1), 0.15, 0.25), (BitFlips(0, layers=[1]), 0.1 * 640 / 4736, 0.1 * 640 / 4736),
    (Protected(BitFlips(0), "repetition(3)"), 0.028, 0.028), (EachRead(BitFlips(0)), 0.1, 0.1)],
    ids=["flips", "stuck", "lines", "clusters", "a layer", "code", "reads"])
def test_the_bit_error_rate_that_a_fault_makes_stands_beside_its_rate(network, split, fault, low, high):
    """A "BER" of 0.1 was 0.05 for stuck cells, 0.2 for clusters."""
    result = sweeps.sweep(network, split, [0, 0.1], 6, 1, faults=fault, progress=False)
    ref = [[_wrong(network, fault.at(rate), trial) for trial in range(6)] for rate in (0.0, 0.1)]
    np.testing.assert_array_equal(result.ber[0], ref)
    of_rate = result.rows()[1]["ber"]
    assert 0.85 * low <= of_rate <= 1.15 * high, of_rate
    assert not result.ber[0, 0].any() and f"{of_rate:.3g}" in result.table().splitlines()[2]


def _wrong(network, fault, trial):
    """Bits that read wrong, counted one by one: of a fault drawn at each read, the mean over the three of them."""
    reads = range(3) if isinstance(fault, EachRead) else [None]
    broken = [_read(network, fault, trial, number) for number in reads]
    counts = [sum(bin(a ^ b).count("1") for layer, read in zip(network.layers, one.layers)
                  for a, b in zip(layer.words.ravel().tolist(), read.words.ravel().tolist())) for one in broken]
    return sum(counts) / (len(counts) * network.n_bits)


def _read(network, fault, trial, number):
    return fault.apply(network, 1, trial) if number is None else fault.apply(network, 1, trial, read=number)


def test_one_sweep_has_one_axis(network, split):
    both = {"flips": BitFlips(0), "stuck": StuckAt(0, 0)}
    with pytest.raises(ValueError, match=r"one axis, got 'bit_error_rate' .network, flips. and 'share_of_stuck_cells'"):
        sweeps.sweep(network, split, [0.1], 2, faults=both, progress=False)
    named = sweeps.sweep(network, split, [0.1], 2, faults=both, axis="share_of_cells_hit", progress=False)
    assert named.axis == "share_of_cells_hit" and "share of cells hit" in named.table()


@pytest.mark.parametrize("name", ["x" * 101, "", "two\nlines", "nul\0", 42])
def test_a_name_that_no_file_can_have_is_refused_before_the_work(network, split, name, monkeypatch):
    monkeypatch.setattr(cells, "run_cell", None)
    with pytest.raises(TypeError, match="must be the name of what rates are"):
        sweeps.sweep(network, split, [0.1], 2, faults=Voltage(), axis=name, progress=False)

    class Said(Voltage):
        moves = name

    with pytest.raises(TypeError, match="`moves` of the fault of .* must be the name of what rates are"):
        sweeps.sweep(network, split, [0.1], 2, faults=Said(), progress=False)


def test_a_name_that_one_fault_denies_is_refused(network, split):
    both = {"flips": BitFlips(0), "stuck": StuckAt(0, 0)}
    with pytest.raises(ValueError, match="axis must be true of all faults, got 'bit_error_rate'"):
        sweeps.sweep(network, split, [0.1], 2, faults=both, axis="bit_error_rate", progress=False)


def test_a_memory_that_errs_at_zero_has_no_tolerated_rate(network, split):
    """Its accuracy at rate 0 passed as the clean one."""
    dirty = Compose([BitFlips(0), StuckAt(0.9, 0.0)])
    with pytest.raises(ValueError, match="needs a memory without errors at rate 0, but there bits read wrong"):
        sweeps.sweep(network, split, [0, 0.1], 2, 1, faults=dirty, progress=False).tolerated()


def test_one_chip_has_no_interval_in_tables(network, split):
    line = sweeps.sweep(network, split, [0.1], 1, 1, progress=False).table().splitlines()[1]
    assert ".." not in line
