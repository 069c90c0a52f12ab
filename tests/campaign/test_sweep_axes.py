"""Sweeps over something else than a bit error rate, and faults that are drawn at each read."""

from dataclasses import dataclass

import numpy as np
import pytest

import bnnsim.campaign.cells as cells
import bnnsim.campaign.sweeps as sweeps
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets.split import Split
from bnnsim.faults import AsymmetricFlips, BitFlips, Compose, EachRead
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
    assert "voltage_volt" in loaded.table().splitlines()[0]
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
    with pytest.raises(ValueError, match="tolerated needs bit error rates"):
        volts.tolerated()
    with pytest.raises(ValueError, match="is of another campaign"):
        sweeps.sweep(network, split, [0.5, 1], 2, 0, axis="p", out=tmp_path / "rates.h5", resume=True, progress=False)


@pytest.mark.parametrize("axis, rates, error, message", [
    (None, [2.0], ValueError, "probability"), ("volt", [float("nan")], ValueError, "rates"),
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
