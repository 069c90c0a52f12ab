"""The examples run at a small size, and leave what they say; they stay short.

Most run in this process, which has loaded bnnsim and its kernels already, and get a thousand images to train on.
README's first command, and the one that starts a cluster, whose workers load the script anew, get a process of their
own.
"""

import argparse
import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import small_files

import bnnsim
import bnnsim.commands.scripts as scripts
from bnnsim.campaign.result import SweepResult

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ALONE = ("cluster_sweep", "train_fashion")                        # in a process of their own
SMALL = {                                                         # options, and the files that must be there
    "analog_columns": ("--images 20 --epochs 1", "out/analog_columns.json out/analog_columns.png"),
    "sweep_pretrained": ("--images 50 --trials 2", "out/pretrained.csv out/pretrained.h5 out/pretrained.png"),
    "compare_networks": ("--images 50 --trials 2", "out/compare.h5 out/compare.png"),
    "ensembles": ("--images 300 --epochs 1 --reads 4", "out/ensembles.json out/ensembles.png"),
    "errors_elsewhere": ("--images 200 --trials 2 --epochs 1",
                         "out/errors_elsewhere.json out/errors_elsewhere.png"),
    "chosen_flips": ("--epochs 1 --images 20 --shipped 1 --flips 60 --trials 1",
                     "out/certificates.json out/certificates.png"),
    "fault_maps": ("--images 50 --rows 256", "out/array.png out/chip.h5"),
    "fit_my_cells": ("--images 50 --trials 2", "out/card.json out/my_cells.png out/states-0.png out/states-1.png"),
    "fragile_blocks": ("--images 50 --trials 2 --epochs 1", "out/fragile.png"),
    "low_supply": ("--images 50 --chips 2 --reads 1 --volts 1.2 0.62", "out/supply.json out/supply.png"),
    "grow_network": ("--start fashion_cnn --network 'C64 MP2 C64 MP2 FC32 FC10' --keep 2 --dataset fashion-subset "
                     "--images 256 --epochs 1 1 --tolerant 1 --out out",
                     "out/part0.h5 out/part1.h5 out/network.h5 out/tolerant_checkpoint.h5 out/tolerant.h5"),
    "map_stuck_cells": ("--images 50 --trials 1 --few 1 --shares 0.3", "out/mapping.json out/mapping.png"),
    "instrument_csvs": ("--images 50", ""),
    "own_data": ("--examples 120 --epochs 2 --trials 2", "out/own_data.pdf out/own_data.png"),
    "rram_energy": ("--images 50 --trials 2", "out/energy.h5 out/energy.png out/pareto.png out/redundancy.png"),
    "custom_network": ("--images 1000 --trials 2", "out/custom.h5 out/custom.png"),
    "chip_yield": ("--images 50 --trials 2 --told 2 --chips 4 --repetitions 2", "out/yields.json out/yields.png"),
    "cluster_sweep": ("--images 20 --trials 1", "cluster_sweep.h5 cluster_sweep.png"),
    "precision": ("--dataset fashion-subset --networks FC10 --epochs 1 --seeds 1", ""),
    "ternary_pairs": ("--images 100 --epochs 1", "out/ternary.json out/ternary.png"),
    "technologies": ("--images 10 --trials 1 --standard-only", "out/device_library.json out/technologies.png"),
    "shortcuts": ("--images 50 --trials 2 --epochs 1 --width 4", "out/shortcuts.png"),
    "two_tasks": ("--width 64 --epochs 1", "out/two_tasks.json out/two_tasks.png"),
    "wear_in_use": ("--images 100 --epochs 1", "out/wear.json out/wear.png"),
    "train_residual": ("--dataset fashion-subset --images 256 --epochs 1 1 --width 4 --out out",
                       "out/part1.h5 out/part2.h5 out/network.h5"),
    "train_cifar10": ("--data cifar --epochs 2 --trials 2 --out out",
                      "out/checkpoint.h5 out/training.png out/network.h5 out/sweep.h5 out/sweep.png"),
    "train_fashion": ("--dataset fashion-subset --images 500 --epochs 1 --trials 2",
                      "out/training.png out/network.h5 out/sweep.h5 out/sweep.png"),
}
LONG = ("analog_columns", "chip_yield", "chosen_flips", "ensembles", "errors_elsewhere", "fragile_blocks",
        "instrument_csvs", "low_supply", "map_stuck_cells", "rram_energy", "shortcuts", "technologies",
        "train_fashion", "wear_in_use")                              # the longest, and what .ci/run runs itself: slow
STARTS = {".json": b"{", ".h5": b"\x89HDF", ".png": b"\x89PNG", ".csv": b"series,", ".pdf": b"%PDF"}
COUNTED = "--images", "--epochs", "--trials", "--examples", "--width"
DATA = "cifar/", "out/pictures/", "out/signals.npz", "out/table.csv"         # what is put there to be trained on


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function of a name and options that gives what an example prints; errors and warnings end the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BNNSIM_OFFLINE", "1")

    def alone(path, options):
        environment = {**os.environ, "PYTHONPATH": str(Path(bnnsim.__file__).resolve().parent.parent),
                       "PYTHONWARNINGS": "error"}
        done = subprocess.run([sys.executable, path, *options], env=environment, capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fewer(load):
        return lambda *args, **how: [half[:1000] for half in load(*args, **how)]

    def here(path, options):
        monkeypatch.setattr(sys, "argv", [str(path), *options])
        for name in ("load_dataset", "load_embedded"):
            monkeypatch.setattr(bnnsim, name, fewer(getattr(bnnsim, name)))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            runpy.run_path(str(path), run_name="__main__")
        return printed.getvalue()

    return lambda name, options: (alone if name in ALONE else here)(EXAMPLES / f"{name}.py", options)


def check_left(folder, printed, files):
    """All these files, of the right kind, told of, and no others."""
    for file in files:
        content = (folder / file).read_bytes()
        assert content.startswith(STARTS[Path(file).suffix]) and len(content) > 500
        assert file in printed or re.search(rf"\b{Path(file).parent}/$", printed)       # the file or its folder
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {path for path in found if not path.startswith(DATA)} == set(files)


@pytest.mark.jit_off
@pytest.mark.parametrize("path", [path for path in sorted(EXAMPLES.glob("*.py")) if '"--out"' in path.read_text()],
                         ids=lambda path: path.stem)
def test_an_out_that_cannot_be_made_is_one_line_before_the_work(path, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", [str(path), "--out", str(tmp_path / "file" / "inside")])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().err.splitlines()[-1]
    assert "error: argument --out: cannot " in said and str(tmp_path / "file") in said


@pytest.mark.jit_off
@pytest.mark.parametrize("bad", ["0", "-5", "1.5", "many", ""])
def test_a_count_is_an_integer_of_at_least_one(bad):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^must be an integer of at least 1, got '{bad}'$"):
        scripts.count(bad)


@pytest.mark.jit_off
@pytest.mark.parametrize("read, wanted, bad", [
    (scripts.fraction, "from 0 to 1", text) for text in ("nan", "-0.1", "1.1", "inf", "much", "")] + [
    (scripts.positive, "above 0", text) for text in ("nan", "0", "-1", "inf", "much", "")])
def test_a_number_out_of_its_range_is_refused(read, wanted, bad):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^must be a number {wanted}, got '{bad}'$"):
        read(bad)


@pytest.mark.jit_off
@pytest.mark.parametrize("name, option", [
    ("analog_columns", "--joule"), ("chip_yield", "--drop"), ("low_supply", "--volts"), ("low_supply", "--threshold"),
    ("map_stuck_cells", "--shares"), ("map_stuck_cells", "--wanted"), ("train_cifar10", "--flip-rate"),
    ("train_fashion", "--flip-rate"), ("two_tasks", "--m")])
def test_nan_is_one_line_before_the_work(name, option, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", option, *["nan"] * (3 if option == "--joule" else 1)])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"error: argument {option}: " in said and "got 'nan'" in said


@pytest.mark.jit_off
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_a_count_below_one_is_one_line_before_the_work(path, tmp_path, monkeypatch, capsys):
    """Not all images but the last five."""
    monkeypatch.chdir(tmp_path)
    option = next(word for word in SMALL[path.stem][0].split() if word in COUNTED)
    monkeypatch.setattr(sys, "argv", [str(path), f"{option}=-5"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"error: argument {option}: must be an integer of at least 1, got '-5'")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [path for path in sorted(EXAMPLES.glob("*.py")) if '"--data' in path.read_text()],
                         ids=lambda path: path.stem)
def test_an_unknown_data_set_is_one_line(path, tmp_path, monkeypatch, capsys):
    """Before the work; so is an absent folder, where an example takes one and no name."""
    option = "--dataset" if '"--dataset"' in path.read_text() else "--data"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), option, "no/such" if option == "--data" else "nosuch"])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr()
    said = printed.err.splitlines()[-1]
    assert said.startswith(f"{path.name}: error: ") and ("no/such" in said or "nosuch" in said)
    assert printed.out == "" and printed.err.startswith(("usage: ", said))         # argparse shows its usage before it


@pytest.mark.parametrize("words, message", [
    (["--keep", "9"], "--keep must be below 8, got 9"),
    (["--keep", "3", "--network", "C64 MP2 C64 MP2 FC32 FC10"],
     "--start has Dense (2048,) where --network has Dense (32,): give less than --keep 3")])
def test_layers_that_cannot_be_kept_are_told_before_the_work(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--start", "fashion_cnn", "--dataset", "fashion-subset", *words]
    monkeypatch.setattr(sys, "argv", ["grow_network.py", *given])
    with pytest.raises(SystemExit, match=re.escape(f"grow_network.py: error: {message}")):
        runpy.run_path(str(EXAMPLES / "grow_network.py"), run_name="__main__")
    assert not list(Path("out/grown").iterdir())


def test_every_example_is_run_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SMALL)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short_and_start_only_as_scripts(path):
    text = path.read_text(encoding="utf-8")
    most = 120 if '"literature"' in text else 80                # those of docs/frontier.rst write their row, too
    assert len(text.splitlines()) < most and max(map(len, text.splitlines())) <= 120
    assert text.endswith('\n\nif __name__ == "__main__":\n    run(main)\n')
    assert f"python examples/{path.name}" in text


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ())
                                  for name in sorted(set(SMALL) - {"cluster_sweep"})])
def test_an_example_leaves_what_it_says(name, run, tmp_path):
    options, files = (shlex.split(text) for text in SMALL[name])
    if name == "train_cifar10":
        small_files.put_cifar(tmp_path / "cifar", small_files.cifar_binary, ".bin")
        options += ["--network", "C8 MP4 FC16 FC10"]
    printed = run(name, options)
    if name == "custom_network":
        right, wrong = map(float, re.search(r"accuracy (\S+) %; .* order (\S+) %", printed).groups())
        assert right > 60 and wrong < 40, "it classifies, and the order of features matters"
    check_left(tmp_path, printed, files)


@pytest.mark.slow
def test_cluster_sweep_leaves_what_it_says_and_goes_on_from_its_file(run, tmp_path):
    """More chips on a finished campaign end with what one go gives, on no cluster."""
    options, files = (text.split() for text in SMALL["cluster_sweep"])
    check_left(tmp_path, run("cluster_sweep", options), files)
    check_left(tmp_path, run("cluster_sweep", [*options[:2], "--trials", "2", "--resume"]), files)
    grown = SweepResult.load(tmp_path / "cluster_sweep.h5")
    network = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_fcnn.h5"))
    test = bnnsim.load_dataset("fashion-subset")[1][:20]
    whole = bnnsim.sweep(network, test, grown.rates, trials=2, rng=0, progress=False)
    assert grown.accuracy.shape[2] == 2 and grown.checksum == whole.checksum
