"""The command lines evaluate, plot and summary: what they print and write, and one clear line for bad input."""

import csv
import io
import json

import numpy as np
import pytest

import bnnsim
import bnnsim.__main__ as __main__
import bnnsim.commands.inputs as inputs
import bnnsim.evaluate as evaluate
import bnnsim.metrics.evaluation as evaluation
import bnnsim.plot as plot
import bnnsim.statistics.intervals as intervals
import bnnsim.summary as summary
import bnnsim.training.checkpoint_file as checkpoint_file
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets.split import Split


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """net.h5 (trained a little), guess.h5 (not trained), cifar.h5, sweep.h5, chip.h5, checkpoint.h5, text.h5."""
    folder = tmp_path_factory.mktemp("files")
    train, test = bnnsim.load_embedded()
    model = bnnsim.architectures.build("FC32 FC10", (1, 28, 28), rng=0)
    guess = bnnsim.pack(model)
    bnnsim.fit(model, train[:2000], epochs=2, rng=0, progress=False)
    net = bnnsim.pack(model, {"dataset": "fashion-subset", "seed": "0"})
    net.save(folder / "net.h5")
    guess.save(folder / "guess.h5")
    bnnsim.pack(bnnsim.architectures.build("C8 MP2 FC10", (3, 32, 32), rng=0)).save(folder / "cifar.h5")
    bnnsim.sweep({"net": net, "guess": guess}, test[:100], [0, 0.01, 0.2], 3, rng=5, progress=False,
                 provenance={"command": "python -m bnnsim.ber_sweep net.h5"}).save(folder / "sweep.h5")
    checkpoint_file.save_checkpoint(folder / "checkpoint.h5", {}, {"a": np.zeros(3)}, {})
    chip = bnnsim.faults.FaultMap.record(bnnsim.faults.StuckAt(0.1, 0.2), net, 0,
                                         mapping=bnnsim.faults.ArrayMapping(16, 512))
    for name in ("chip.h5", "chip2.h5"):
        chip.save(folder / name)
    (folder / "text.h5").write_text("no HDF5")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    """The folder of files, as the working directory."""
    monkeypatch.chdir(folder)
    return folder


def test_a_label_one_beyond_the_classes_of_a_network_is_told():
    """Its images would count as wrong, whatever the network says."""
    network = bnnsim.pack(bnnsim.architectures.build("FC4 FC3", (1, 2, 2), rng=0))
    for label in (2, 3):
        split = Split(np.zeros((2, 1, 2, 2), np.uint8), [0, label], "two")
        if label < 3:
            inputs.check_fit("net", network, split)
        else:
            with pytest.raises(ValueError, match="net has 3 classes, but two has labels up to 3: choose another --dat"):
                inputs.check_fit("net", network, split)


# ---------------------------------------------------------------- evaluate

@pytest.mark.tiny
def test_evaluate_prints_accuracy_interval_and_classes(here, capsys):
    assert evaluate.main(["net.h5"]) == 0
    printed, noted = capsys.readouterr()
    _, test = bnnsim.load_embedded()
    network = bnnsim.PackedNetwork.load("net.h5")
    right = network.predict(test.images) == test.labels
    assert "all 2,000 images" in printed and noted == ""
    line = next(line for line in printed.splitlines() if line.startswith("net "))
    assert line.split()[:3] == ["net", f"{right.sum():,}", f"{100 * right.mean():.2f}"]
    low, high = map(float, line.split()[3].split(".."))
    assert low < 100 * right.mean() < high < low + 5
    shown = [line.split()[-1] for line in printed.splitlines()[-10:]]
    assert shown == [f"{100 * right[test.labels == c].mean():.2f}" for c in range(10)]
    assert "ankle boot" in printed.splitlines()[-1]


def test_evaluate_without_a_network_takes_the_shipped_one(capsys):
    assert evaluate.main([]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("fashion_fcnn"))
    assert float(line.split()[2]) > 85


@pytest.mark.tiny
def test_the_interval_is_wilsons():
    """Against the textbook formula with z = 1.96; all right is not certain."""
    n, p, z = 2000, 0.9, 1.959964
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    assert intervals.wilson(1800, n) == pytest.approx((centre - half, centre + half), abs=2e-5)
    low, high = intervals.wilson(200, 200)
    assert 0.97 < low < 0.99 and high == 1
    assert intervals.wilson(1, 1) == (0, 1)


def test_evaluate_in_other_formats(here, capsys):
    assert evaluate.main(["net.h5", "guess.h5", "--dataset", "fashion-subset", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 2 * 11 and rows[0]["class"] == "all"
    for network in (rows[:11], rows[11:]):
        assert int(network[0]["right"]) == sum(int(row["right"]) for row in network[1:])
        assert all(float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) for row in network)
    assert evaluate.main(["net.h5", "guess.h5", "--dataset", "fashion-subset", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[1]["rows"][0]["accuracy"] == float(rows[11]["accuracy"])
    assert found[0]["checksum"] == bnnsim.PackedNetwork.load("net.h5").checksum


def test_predictions_are_written_for_each_image(here, tmp_path):
    out = tmp_path / "predictions.csv"
    assert evaluate.main(["net.h5", "guess.h5", "--dataset", "fashion-subset", "--out", str(out)]) == 0
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0] == ["image", "label", "net", "guess"]
    _, test = bnnsim.load_embedded()
    written = np.array(rows[1:], int)
    assert np.array_equal(written[:, :2].T, [range(2000), test.labels])
    assert np.array_equal(written[:, 2], bnnsim.PackedNetwork.load("net.h5").predict(test.images))


def test_an_accuracy_near_chance_brings_a_hint(here, capsys):
    assert evaluate.main(["guess.h5", "--dataset", "fashion-subset", "--format", "csv"]) == 0
    printed, noted = capsys.readouterr()
    assert noted.count("\n") == 1 and "note: guess" in noted and "note" not in printed
    assert all(word in noted for word in ("input offset", "flatten", "bit convention", "guessing"))


def test_a_split_of_one_class_brings_no_hint(here):
    network = bnnsim.PackedNetwork.load("guess.h5")
    split = Split(np.zeros((5, 1, 28, 28), np.uint8), np.zeros(5, np.uint8), "zeros")
    one = evaluation.Evaluation("guess", network, split, np.ones(5, int))
    assert evaluate.hint(one) is None and [row["class"] for row in one.rows()] == ["all", "class 0"]


# ---------------------------------------------------------------- summary

def test_summary_of_a_network_tells_layers_origin_and_checksum(here, capsys):
    assert summary.main(["net.h5"]) == 0
    printed = capsys.readouterr().out
    network = bnnsim.PackedNetwork.load("net.h5")
    assert network.summary() in printed and network.checksum in printed and "dataset: fashion-subset" in printed
    assert "1 x 28 x 28 pixels minus 0" in printed
    assert "memory: 3.5 kB, 102.0 as float32: 28.8 times as much" in printed
    assert "operations: 25,408 MACs an image, 1.3 % binary" in printed


def test_summary_in_other_arrays(here, capsys):
    mapping = bnnsim.faults.ArrayMapping(128, 50, "columns")
    words = ["net.h5", "--arrays", "128x50", "--units-on", "columns"]
    network = bnnsim.PackedNetwork.load("net.h5")
    assert summary.main(words) == 0 and network.summary(mapping) in capsys.readouterr().out
    assert summary.main([*words, "--format", "json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    assert found["arrays"] == {"rows": 128, "columns": 50, "units_on": "columns"}
    assert [layer["arrays"] for layer in found["layers"]] == [7, 1]
    total = found["total"]
    assert total["arrays"] == 8 and total["used"] == mapping.utilisation(network)
    assert total["devices_2t2r"] == 2 * total["devices_1t1r"] == 2 * network.n_bits
    assert total["compression"] == 4 * (total["binary"] + total["other"]) / total["n_bytes"]


def test_summary_of_results_tells_what_was_run_and_how_to_run_it_again(here, capsys):
    assert summary.main(["sweep.h5"]) == 0
    printed = capsys.readouterr().out
    result = SweepResult.load("sweep.h5")
    assert "command: python -m bnnsim.ber_sweep net.h5" in printed and "seed: 5" in printed
    assert "cells: 14," in printed and result.checksum in printed and "rates: 0, 0.01, 0.2" in printed
    assert "fashion-subset-test[:100] (100 images)" in printed and "numpy: " in printed


def test_summary_counts_the_cells_that_were_run(here):
    """Condition 0 of a card errs as the others do, and so do dead cells at rate 0: no chip stands for all there."""
    network, split = bnnsim.PackedNetwork.load("net.h5"), bnnsim.load_embedded()[1][:20]
    card = bnnsim.devices.load_card("hfo2_2t2r")
    found = bnnsim.sweep_card(card, network, split, "condition", trials=3, rng=0, progress=False).result
    assert summary.describe_results(found)["n_cells"] == 3 * len(found.rates) and 0 in found.rates
    dirty = bnnsim.faults.Compose([bnnsim.faults.BitFlips(0), bnnsim.faults.StuckAt(0.5, 0.0)])
    found = bnnsim.sweep(network, split, [0, 0.1], 3, rng=0, faults=dirty, progress=False)
    assert summary.describe_results(found)["n_cells"] == 6
    found = bnnsim.sweep(network, split, [0, 0.1], 3, rng=0, progress=False)
    assert summary.describe_results(found)["n_cells"] == 4


def test_summary_of_a_fault_map_tells_what_is_broken(here, capsys):
    chip = bnnsim.faults.FaultMap.load("chip.h5")
    assert summary.main(["chip.h5"]) == 0
    printed = capsys.readouterr().out
    flipped, zeros, ones = chip.counts()[1]
    assert f"layer 1: 320 cells, {flipped} flipped, {zeros} stuck at 0, {ones} stuck at 1" in printed
    assert "mapping: 5 arrays of 16 x 512 cells, units on rows" in printed
    assert f"checksum: {chip.checksum}" in printed and "fault: StuckAt(p_zero=0.1, p_one=0.2" in printed
    assert summary.main(["chip.h5", "--format", "json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    assert found["kind"] == "fault map" and found["layers"][1]["stuck at 1"] == ones
    assert found["mapping"] == {"rows": 16, "columns": 512, "units_on": "rows", "arrays": 5}


def test_summary_as_json_takes_both(here, capsys):
    assert summary.main(["net.h5", "sweep.h5", "--format", "json"]) == 0
    network, result = json.loads(capsys.readouterr().out)
    assert network["file"] == "net.h5" and network["binary_weights"] == 784 * 32 + 320
    assert [layer["units"] for layer in network["layers"]] == [32, 10]
    assert result["n_cells"] == 14 and result["seed"] == "5" and len(result["series"]) == 2


def test_summary_without_a_file_shows_the_shipped_network(capsys):
    assert summary.main([]) == 0
    assert "5,820,416" in capsys.readouterr().out


# ---------------------------------------------------------------- plot

@pytest.mark.parametrize("arguments", [
    ["sweep.h5"],
    ["sweep.h5", "--band", "range"],
    ["sweep.h5", "copy/sweep.h5"],
    ["sweep.h5", "--kind", "classes", "--network", "guess"],
    ["sweep.h5", "--kind", "classes", "--network", "1"],
    ["sweep.h5", "--kind", "chips", "--rate", "0.2"],
    ["net.h5"],
    ["fashion_fcnn"],
    ["fashion_residual", "--kind", "graph"],
    ["net.h5", "--kind", "faults", "--rate", "0.1", "--layer", "1", "--seed", "3", "--trial", "2"],
    ["chip.h5", "--array", "1"],
])
def test_plot_writes_each_kind(arguments, here, tmp_path, capsys):
    (here / "copy").mkdir(exist_ok=True)
    (here / "copy" / "sweep.h5").write_bytes((here / "sweep.h5").read_bytes())
    out = tmp_path / "figure.png"
    assert plot.main([*arguments, "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert str(out) in capsys.readouterr().out


def test_plot_of_faults_shows_the_chip_that_was_asked_for(here, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("bnnsim.figures.networks.fault_map", lambda *found, **_: seen.append(found))
    network = bnnsim.PackedNetwork.load("net.h5")
    plot.main("net.h5 --kind faults --rate 0.1 --layer 1 --seed 3 --trial 2 --out x.svg".split())
    wanted = bnnsim.faults.BitFlips(0.1).apply(network, 3, 2)
    assert seen[0][1].checksum == wanted.checksum and seen[0][2] == 1


# ---------------------------------------------------------------- bad input

BAD = [
    (evaluate, "missing.h5", "missing.h5"),
    (evaluate, "text.h5", "wanted an HDF5 file"),
    (evaluate, "sweep.h5", "wanted a 'bnnsim-network' file"),
    (evaluate, "net.h5 --dataset fashon", "did you mean 'fashion'"),
    (evaluate, "cifar.h5 --dataset fashion-subset", "cifar takes images of 3 x 32 x 32, but those of fashion-"),
    (evaluate, "net.h5 --data nowhere --dataset fashion", "--data must be a folder"),
    (evaluate, "net.h5 --data .", "--data must be left out for 'fashion-subset', which comes with the library"),
    (evaluate, "net.h5 --out p.txt", "must end in .csv"),
    (evaluate, "net.h5 --out no/such/folder/p.csv", "does not exist"),
    (evaluate, "--format xml", "format must be one of 'table', 'csv', 'json', got 'xml'"),
    (summary, "missing.h5", "missing.h5"),
    (summary, "text.h5", "text.h5: wanted an HDF5 file"),
    (summary, "checkpoint.h5", "checkpoint.h5: wanted a packed network, the results of a campaign or a fault map, but"),
    (summary, ".", "got a folder"),
    (plot, "--out a.png", "FILE.h5"),
    (plot, "sweep.h5", "--out"),
    (plot, "sweep.h5 --out a.jpg", "must end in .png"),
    (plot, "sweep.h5 --kind pie --out a.png", "kind must be one of 'ber', 'classes'"),
    (plot, "missing.h5 --out a.png", "missing.h5"),
    (plot, "fashion_fcn --out a.png", "fashion_fcn: no such file, and what comes with bnnsim is"),
    (plot, "sweep.h5 --kind classes --network nat --out a.png", "--network must be one of net, guess, or its number"),
    (plot, "sweep.h5 --kind classes --network 2 --out a.png", "must be one of net, guess, or its number, got 2"),
    (plot, "sweep.h5 --kind chips --out a.png", "needs --rate"),
    (plot, "sweep.h5 --kind chips --rate 0.1 --out a.png", "rate must be one of the result's, 0, 0.01, 0.2; got 0.1"),
    (plot, "sweep.h5 --kind chips --rate 0.2 --band range --out a.png", "--band goes with --kind ber, not with chips"),
    (plot, "sweep.h5 --kind weights --out a.png", "takes one network file"),
    (plot, "sweep.h5 net.h5 --out a.png", "takes one network file"),
    (plot, "net.h5 --kind ber --out a.png", "net.h5 is a network"),
    (plot, "net.h5 --kind array --out a.png", "--kind array takes one fault map, but net.h5 is a network"),
    (plot, "chip.h5 chip2.h5 --out a.png", "--kind array takes one fault map, but got chip.h5, chip2.h5"),
    (plot, "chip.h5 --kind weights --out a.png", "takes one network file, but chip.h5 is a fault map"),
    (plot, "chip.h5 --array 99 --out a.png", "array must be in [0, "),
    (plot, "net.h5 --array 1 --out a.png", "--array goes with --kind array, not with weights"),
    (plot, "net.h5 --kind faults --out a.png", "needs --rate"),
    (plot, "net.h5 --kind faults --rate 1.5 --out a.png", "rate must be a probability"),
    (plot, "net.h5 --kind faults --rate 0.1 --layer 9 --out a.png", "layer must be in [0, 1], got 9"),
    (plot, "net.h5 --kind faults --rate 0.1 --seed -1 --out a.png", "seed"),
    (plot, "net.h5 --kind faults --rate 0.1 --trial -1 --out a.png", "trial must be >= 0"),
]


@pytest.mark.parametrize(("module", "arguments", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(module, arguments, message, here, capsys):
    with pytest.raises(SystemExit) as stop:
        module.main(arguments.split())
    printed, error = capsys.readouterr()
    assert stop.value.code == 2 and printed == ""
    assert message in error and error.count("\n") == 1
    assert not (here / "a.png").exists()


def test_the_command_knows_them(here, capsys):
    assert __main__.main(["summary", "net.h5"]) == 0
    assert "25,088" in capsys.readouterr().out
    assert {"evaluate", "plot", "summary"} <= set(__main__.COMMANDS)
