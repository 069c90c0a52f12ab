"""What commands write: nothing that is there is replaced unasked; what cannot be written is known before the work."""

import contextlib
import importlib
import os
import re
import sys

import numpy as np
import pytest

import bnnsim.__main__ as __main__
import bnnsim.datasets.find as find
import bnnsim.files.atomic as atomic
import bnnsim.files.locks as locks
import bnnsim.packed.network as network
import bnnsim.train as train
from bnnsim.campaign.sweeps import sweep
from bnnsim.datasets.split import Split
from bnnsim.training.architectures import build
from bnnsim.training.fitting import fit
from bnnsim.training.packing import pack

# each command with an output, and what it needs beside
WRITES = [
    ("train", ["--dataset", "fashion-subset"], "--out", "net.h5"),
    ("train", ["--dataset", "fashion-subset"], "--plot", "curves.png"),
    ("train", ["--dataset", "fashion-subset"], "--history", "history.json"),
    ("evaluate", [], "--out", "predictions.csv"),
    ("evaluate", [], "--plot", "confusion.png"),
    ("ber_sweep", [], "--out", "sweep.csv"),
    ("ber_sweep", [], "--plot", "sweep.svg"),
    ("device_sweep", [], "--plot", "card.pdf"),
    ("device_sweep", [], "--pareto", "pareto.png"),
    ("certify", [], "--out", "certificates.csv"),
    ("certify", [], "--plot", "certificates.png"),
    ("bench", ["--tiny"], "--out", "times.json"),
    ("bench", ["--tiny"], "--scaling", "times.png"),
    ("plot", ["any.h5"], "--out", "figure.png"),
    ("convert", ["any.onnx"], "--out", "net.h5"),
]


@pytest.fixture
def no_work(monkeypatch):
    """Whatever begins to work fails, and says so."""
    def fail(*_, **__):
        pytest.fail("the work has begun")

    monkeypatch.setattr(find, "load_dataset", fail)
    monkeypatch.setattr(network.PackedNetwork, "load", fail)


def refused(command, words, capsys):
    """What a command says that ends with exit code 2: one line."""
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"bnnsim.{command}").main(words)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    return error


@pytest.mark.parametrize(("command", "words", "option", "name"), WRITES)
def test_a_file_that_is_there_is_refused_before_the_work(command, words, option, name, tmp_path, capsys, no_work):
    path = tmp_path / name
    path.write_bytes(b"precious")
    assert f"error: {option}: {path} exists: --force replaces it" in refused(command, [*words, option, str(path)],
                                                                             capsys)
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == [name]


def test_every_output_of_a_command_is_in_the_test_above():
    known = {(command, option) for command, _, option, _ in WRITES} | {("explain", "--plot"), ("explain", "--out")}
    found = {(command, option.typed) for command in __main__.COMMANDS
             for option in importlib.import_module(f"bnnsim.{command}").OPTIONS if option.outputs}
    assert found == known


def test_force_replaces_it(tmp_path, capsys):
    out = tmp_path / "predictions.csv"
    out.write_bytes(b"old")
    assert importlib.import_module("bnnsim.evaluate").main(["--out", str(out), "--force"]) == 0
    assert out.read_text().startswith("image,label,") and os.listdir(tmp_path) == ["predictions.csv"]


def test_figures_of_derived_names_are_refused_too(tmp_path, capsys, no_work):
    (tmp_path / "f-margins.png").write_bytes(b"precious")
    assert "f-margins.png exists" in refused("explain", ["margins", "--plot", str(tmp_path / "f.png")], capsys)


def test_force_spares_what_took_hours(tmp_path, capsys):
    """The results of a sweep and a checkpoint: both are gone on from, or removed by hand."""
    for name in ("s.h5", "run.h5"):
        (tmp_path / name).write_bytes(b"precious")
    assert "s.h5 exists: resume it" in refused("ber_sweep", ["--out", str(tmp_path / "s.h5"), "--force"], capsys)
    assert "s.h5 exists: resume it" in refused("device_sweep", ["--out", str(tmp_path / "s.h5"), "--force"], capsys)
    assert "run.h5 exists: --resume goes on from it" in refused(
        "train", ["--dataset", "fashion-subset", "--network", "FC16 FC10", "--checkpoint", str(tmp_path / "run.h5"),
                  "--force"], capsys)
    assert {(tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {b"precious"}


def test_a_dry_run_writes_nothing_and_refuses_nothing(tmp_path, capsys):
    (tmp_path / "sweep.csv").write_bytes(b"precious")
    assert importlib.import_module("bnnsim.ber_sweep").main(["--dry-run", "--out", str(tmp_path / "sweep.csv")]) == 0
    assert "cells, about" in capsys.readouterr().out and (tmp_path / "sweep.csv").read_bytes() == b"precious"


def test_two_outputs_are_two_files(tmp_path, capsys, no_work):
    path = str(tmp_path / "f.png")
    assert f"--plot and --pareto must be two files, got {path} for both" in refused(
        "device_sweep", ["--plot", path, "--pareto", path], capsys)


CANNOT = {
    "no folder": ("no/such/{}", "does not exist; make it first"),
    "too long": ("a" * 260 + "{}", "File name too long"),
    "long path": ("/".join(["b" * 200] * 30) + "/{}", "does not exist|File name too long"),
    "no UTF-8": ("caf\udce9{}", r"must be a path in UTF-8, as it is printed or stored, got '.*caf\\udce9"),
    "a character 0": ("net\0{}", "must be a path, which has no character 0, got '.*net.x00"),
    "too long with what stands beside it": ("a" * 245 + "{}", "cannot write a{40}: its name must be 8 bytes shorter"),
    "a folder": ("folder{}", "cannot write a file over a folder"),
}


@pytest.mark.parametrize("why", CANNOT)
@pytest.mark.parametrize(("command", "words", "option", "name"),
                         [*WRITES, ("train", ["--dataset", "fashion-subset"], "--checkpoint", "run.h5"),
                          ("ber_sweep", [], "--out", "s.h5"), ("device_sweep", [], "--out", "s.h5"),
                          ("explain", ["margins"], "--plot", "f.png")])
def test_a_name_that_cannot_be_written_is_refused_before_the_work(command, words, option, name, why, tmp_path, capsys,
                                                                  no_work):
    pattern, message = CANNOT[why]
    path = tmp_path / pattern.format(os.path.splitext(name)[1])
    if why == "a folder":
        path.mkdir()
    assert re.search(message, refused(command, [*words, option, str(path)], capsys))
    assert os.listdir(tmp_path) == ([path.name] if why == "a folder" else [])


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="only Linux has a folder that takes no files, from nobody")
@pytest.mark.parametrize(("command", "words", "option", "name"), [
    *WRITES, ("train", ["--dataset", "fashion-subset"], "--checkpoint", "run.h5"), ("ber_sweep", [], "--out", "s.h5"),
    ("device_sweep", [], "--out", "s.h5"), ("explain", ["margins"], "--plot", "f.png")])
def test_a_folder_that_takes_no_files_is_told_before_the_work(command, words, option, name, capsys, no_work):
    """It exists, and its rights allow it; the message was of a file that nobody had named."""
    assert f"cannot write {name}: its folder, which is there, takes no new files; choose another one: '/proc'" in \
        refused(command, [*words, option, f"/proc/{name}"], capsys)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="only Linux has a folder that takes no files")
def test_nothing_is_left_of_the_trial(tmp_path):
    path = atomic.check_creatable(tmp_path / "net.h5")
    assert os.listdir(tmp_path) == [] and path == os.path.realpath(tmp_path / "net.h5")
    with pytest.raises(OSError, match="cannot write s.h5: its folder, which is there, takes no new files"):
        sweep(pack(build("FC4 FC3", (1, 3, 3), rng=0)), Split(np.zeros((9, 1, 3, 3), np.uint8), np.arange(9) % 3, "z"),
              [0.1], 1, 0, out="/proc/s.h5", progress=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no names but UTF-8")
def test_a_network_of_a_name_that_is_no_text_is_refused_before_the_work(tmp_path, capsys, no_work):
    """Its name is printed, and stored with results: that failed after the work."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.h5")
    assert "must be a path in UTF-8" in refused("ber_sweep", [path], capsys)


# ---------------------------------------------------------------- work of hours, and two that write one file

@pytest.fixture(scope="module")
def dear(tmp_path_factory):
    """A folder with a checkpoint and the results of a sweep."""
    folder = tmp_path_factory.mktemp("dear")
    model = build("FC4 FC3", (1, 3, 3), rng=0)
    split = Split(np.zeros((9, 1, 3, 3), np.uint8), np.arange(9) % 3, "zeros")
    fit(model, split, 1, rng=0, checkpoint=folder / "checkpoint.h5", progress=False)
    sweep(pack(model), split, [0.1], 1, 0, progress=False).save(folder / "sweep.h5")
    return folder


@pytest.mark.parametrize("name", ["checkpoint.h5", "sweep.h5"])
@pytest.mark.parametrize("command, words", [("train", ["--dataset", "fashion-subset", "--out"]),
                                            ("convert", ["any.onnx", "--out"]), ("convert", ["any.onnx"])])
def test_force_replaces_no_work_of_hours(dear, no_work, command, words, name, capsys):
    """It did, and the help said that it does not."""
    before = (dear / name).read_bytes()
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"bnnsim.{command}").main([*words, str(dear / name), "--force"])
    assert stop.value.code == 2 and "--force does not replace: move it away" in capsys.readouterr().err
    assert (dear / name).read_bytes() == before


@pytest.mark.parametrize("command, words", [("train", ["--dataset", "fashion-subset", "--out"]),
                                            ("convert", ["any.onnx"])])
def test_two_commands_cannot_make_one_file(tmp_path, no_work, command, words, capsys):
    """Both ended with 0, and one was lost."""
    out = tmp_path / "net.h5"
    with contextlib.closing(locks.open_locked(f"{out}.lock")), pytest.raises(SystemExit) as stop:
        importlib.import_module(f"bnnsim.{command}").main([*words, str(out)])
    assert stop.value.code == 2 and "net.h5.lock is in use by another process" in capsys.readouterr().err


def put_text(path):
    path.write_text("notes")


def put_link(path):
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("put, said", [(put_text, "has something in it, so it is no lock: move it away"),
                                       (put_link, "must be a plain file"), (os.mkdir, "must be a plain file"),
                                       (getattr(os, "mkfifo", os.mkdir), "must be a plain file")])
def test_what_has_the_name_of_a_lock_stays(tmp_path, no_work, put, said, capsys):
    """A user's file was deleted; a link's target was made, and left; a pipe was waited for."""
    out = tmp_path / "net.h5"
    put(tmp_path / "net.h5.lock")
    with pytest.raises(SystemExit) as stop:
        train.main(["--dataset", "fashion-subset", "--out", str(out)])
    assert stop.value.code == 2 and f"net.h5.lock {said}" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["net.h5.lock"], "and no target of the link"
    assert put is not put_text or (tmp_path / "net.h5.lock").read_text() == "notes"


def test_what_the_other_command_made_meanwhile_is_seen(tmp_path, monkeypatch, capsys):
    out, original = tmp_path / "net.h5", locks.open_locked

    def late(path):
        out.write_bytes(b"the other one's")
        return original(path)

    monkeypatch.setattr(locks, "open_locked", late)
    with pytest.raises(SystemExit):
        train.main(["--dataset", "fashion-subset", "--out", str(out)])
    assert "net.h5 exists: --force replaces it" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["net.h5"] and out.read_bytes() == b"the other one's"
