"""--fault: any fault by its constructor, in each command that breaks a memory."""

import json

import numpy as np
import pytest

import bnnsim
import bnnsim.ber_sweep as ber_sweep
import bnnsim.evaluate as evaluate
import bnnsim.plot as plot
import bnnsim.train as train
from bnnsim.campaign.result import SweepResult

PROTECTED = "Protected(BitFlips(0), 'secded(72,64)')"
NOISE = "EachRead(BitFlips(0.2))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """net.h5, trained a little."""
    folder = tmp_path_factory.mktemp("networks")
    model = bnnsim.architectures.build("FC70 FC10", (1, 28, 28), rng=0)
    bnnsim.fit(model, bnnsim.load_embedded()[0][:2000], 1, rng=0, progress=False)
    bnnsim.pack(model, {"dataset": "fashion-subset"}).save(folder / "net.h5")
    return folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A new working directory with net.h5 in it."""
    (tmp_path / "net.h5").symlink_to(folder / "net.h5")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SWEEP = ["net.h5", "--rates", "0.05", "--trials", "2", "--seed", "3", "--quiet"]


def test_ber_sweep_sweeps_the_rate_of_any_fault(here, capsys):
    """The same cells as from Python, a curve each, in the stored command, and the same from a file."""
    assert ber_sweep.main([*SWEEP, "--fault", PROTECTED, "--fault", "StuckAt(0.5,  0.5)", "--axis",
                           "share_of_cells", "--out", "s.h5"]) == 0
    found = SweepResult.load("s.h5")
    faults = {PROTECTED: bnnsim.faults.Protected(bnnsim.faults.BitFlips(0), "secded(72,64)"),
              "StuckAt(0.5, 0.5)": bnnsim.faults.StuckAt(0.5, 0.5)}
    wanted = bnnsim.sweep({"net": bnnsim.PackedNetwork.load("net.h5")}, bnnsim.load_embedded()[1], [0, 0.05], 2, 3,
                          faults=faults, axis="share_of_cells", progress=False)
    assert found.checksum == wanted.checksum and found.names == (f"net, {PROTECTED}", "net, StuckAt(0.5, 0.5)")
    capsys.readouterr()
    assert ber_sweep.main(["--print-command", "s.h5"]) == 0
    assert """--fault 'Protected(BitFlips(0), '"'"'secded(72,64)'"'"')' --fault 'StuckAt(0.5, 0.5)'""" in \
        capsys.readouterr().out
    config = {"networks": "net.h5", "rates": 0.05, "trials": 2, "seed": 3, "quiet": True, "out": "file.h5",
              "axis": "share_of_cells",
              "faults": list(faults)}
    (here / "c.json").write_text(json.dumps(config))
    assert ber_sweep.main(["--config", "c.json"]) == 0
    assert SweepResult.load("file.h5").checksum == found.checksum


@pytest.mark.parametrize("fault", ["BitFlips(0.05)", NOISE])
def test_evaluate_breaks_one_chip_as_the_sweep_does(here, capsys, fault):
    """The right answers of each class are those of the sweep's cell: also where each batch is another read."""
    assert evaluate.main(["net.h5", "--fault", fault, "--seed", "3", "--trial", "1", "--format", "json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    rate = 0.05 if fault != NOISE else 0.2
    swept = bnnsim.sweep(bnnsim.PackedNetwork.load("net.h5"), bnnsim.load_embedded()[1], [rate], 2, 3,
                         faults=eval(fault, vars(bnnsim.faults).copy()), progress=False)
    assert [row["right"] for row in found["rows"][1:]] == swept.right[0, 0, 1].tolist()
    assert (found["fault"], found["seed"], found["trial"]) == (fault, 3, 1)
    assert evaluate.main(["net.h5", "--fault", fault]) == 0
    assert capsys.readouterr().out.startswith(f"fault: {fault}\nseed: 0\ntrial: 0\nfashion-subset-test, all 2,000")


def test_train_meets_the_fault(here):
    arguments = "--network|FC16 FC10|--dataset|fashion-subset|--epochs|1|--quiet|--out|t.h5|--fault".split("|")
    assert train.main([*arguments, "Compose([BitFlips(0.1), StuckAt(0.02, 0.01)])"]) == 0
    model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    f = bnnsim.faults
    fault = f.Compose([f.BitFlips(0.1), f.StuckAt(0.02, 0.01)])
    bnnsim.fit(model, bnnsim.load_embedded()[0], 1, rng=0, faults=fault, progress=False)
    found = bnnsim.PackedNetwork.load("t.h5")
    assert found.checksum == bnnsim.pack(model).checksum and found.metadata["faults"] == repr(fault)


def test_plot_draws_the_broken_bits(here, monkeypatch):
    seen = []
    monkeypatch.setattr("bnnsim.figures.networks.fault_map", lambda *found, **_: seen.append(found))
    assert plot.main("net.h5|--kind|faults|--fault|StuckAt(0.1, 0)|--trial|2|--out|x.svg".split("|")) == 0
    network, broken, layer, _ = seen[0]
    assert broken.checksum == bnnsim.faults.StuckAt(0.1, 0).apply(network, 0, 2).checksum and layer == 0


BAD = [
    (ber_sweep, ["--fault", "BitFlip(0)"], "did you mean 'BitFlips'"),
    (ber_sweep, ["--fault", ""], "--fault must be text, got ''"),
    (ber_sweep, ["--fault", "ArrayMapping(64, 64)"], "BitFlips(0.01)"),
    (ber_sweep, ["--fault", "BitFlips(2)"], "p must be a probability"),
    (ber_sweep, ["--fault", "BitFlips(0)", "--fault", "StuckAt(0, 0)"], "--fault must be moved along one axis, got"),
    (ber_sweep, ["--fault", "StuckAt(0, 0)", "--axis", "bit_error_rate"], "axis must be 'share_of_stuck_cells', which"),
    (ber_sweep, ["--fault", "BitFlips(0)", "--layers", "0"], "give --layers or --fault, not both"),
    (evaluate, ["--fault", "BitFlip(0)"], "did you mean 'BitFlips'"),
    (evaluate, ["--fault", "BitFlips(0)", "--trial", "-1"], "trial must be >= 0"),
    (evaluate, ["net.h5", "--fault", "BitFlips(0.1, layers=[5])"], "layers must be in 0..1"),
    (train, ["--fault", "BitFlip(0)"], "did you mean 'BitFlips'"),
    (train, ["--fault", "BitFlips(0)", "--flip-rate", "0.1"], "give --flip-rate or --fault, not both"),
    (train, ["--fault", "BitFlips(0)", "--asymmetric", "0.1,0"], "give --asymmetric or --fault, not both"),
    (train, ["--fault", "BitFlips(0)", "--rescale", "0.1"], "with --fault use --reestimate"),
    (plot, ["net.h5", "--kind", "faults", "--fault", "BitFlip(0)", "--out", "x.png"], "did you mean 'BitFlips'"),
    (plot, ["net.h5", "--kind", "faults", "--fault", "BitFlips(0)", "--rate", "0.1", "--out", "x.png"], "not both"),
    (plot, ["net.h5", "--fault", "BitFlips(0)", "--out", "x.png"], "--fault goes with --kind faults, not with weights"),
]


@pytest.mark.parametrize(("module", "arguments", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(here, module, arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        module.main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1


def test_a_fault_without_a_rate_is_not_swept(here, capsys, monkeypatch):
    """It can be evaluated."""
    class Dead:
        """Every bit of the first layer reads 0."""

        def apply(self, network, rng=None, trial=0):
            return network.with_words({0: np.zeros_like(network.layers[0].words)})

    monkeypatch.setattr("bnnsim.faults.spec.parse_fault", lambda text: Dead())
    with pytest.raises(SystemExit):
        ber_sweep.main([*SWEEP, "--fault", "Dead()"])
    assert "Dead() has no rate that could be swept: try python -m bnnsim.evaluate --fault" in capsys.readouterr().err
    assert evaluate.main(["net.h5", "--fault", "Dead()"]) == 0
