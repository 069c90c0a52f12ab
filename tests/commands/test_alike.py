"""Commands are alike: one spelling has one meaning, all give JSON, say what they would do, and refuse the idle."""

import importlib
import json
import os
import shutil

import numpy as np
import pytest
import small_graphs

import bnnsim
import bnnsim.__main__ as __main__
import bnnsim.commands.command_line as command_line
import bnnsim.datasets.downloading as downloading
import bnnsim.kernels._jit as _jit
from bnnsim.campaign.result import SweepResult

TABLES = {name: importlib.import_module(f"bnnsim.{name}").arguments().table for name in __main__.COMMANDS}
# what each spelling is, wherever it stands; help and default may differ
ALIKE = ("dataset", "data", "size", "order", "limit", "seed", "trial", "trials", "format", "plot", "force", "config",
         "quiet", "log", "debug", "dry_run", "fault", "rates", "workers", "dask")
TWO = {"networks": "bench names the papers' ones, device_sweep files: both are which networks it works on",
       "check": "explain takes chips, convert files: both compare with another way to know",
       "network": "plot names a series of results; train an architecture"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """net.h5, its data d.npz, sweep.h5, also by another name, graph.h5, and one.h5 of one layer."""
    folder = tmp_path_factory.mktemp("alike")
    rng = np.random.default_rng(0)
    network = bnnsim.pack(bnnsim.architectures.build("FC8 FC2", (1, 4, 4), rng=0))
    network.save(folder / "net.h5")
    bnnsim.pack(bnnsim.architectures.build("FC2", (1, 4, 4), rng=0)).save(folder / "one.h5")
    small_graphs.packed().save(folder / "graph.h5")
    images, labels = rng.integers(0, 256, (60, 1, 4, 4), np.uint8), np.arange(60) % 2
    np.savez(folder / "d.npz", x_train=images, y_train=labels, x_test=images[:40], y_test=labels[:40])
    bnnsim.sweep(network, bnnsim.Split(images[:40], labels[:40], "d"), [0.1], 2, 0, progress=False,
                 provenance={"command": "python -m bnnsim.ber_sweep net.h5 --dataset d.npz"}).save(folder / "sweep.h5")
    shutil.copy(folder / "sweep.h5", folder / "renamed")
    return folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """The folder, as the working folder; no cache of kernels and no data set but those of the test."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(_jit, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(_jit, "FOLDER", tmp_path)
    monkeypatch.setattr(_jit.NUMBA, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(downloading, "download_dataset", lambda name, folder: tmp_path / name)
    return tmp_path


DATA = ["net.h5", "--dataset", "d.npz"]
# each command at its smallest, and what its JSON must have
RUNS = {
    "bench": (["--tiny", "--only", "kernels"], {"format", "measurements", "complete"}),
    "ber_sweep": ([*DATA, "--rates", "0.1", "--trials", "2"], {"settings", "checksum", "rows"}),
    "cache": ([], {"folders", "n_files", "n_bytes"}),
    "certify": ([*DATA, "--flips", "0,1"], {"network", "checksum", "split", "n_images", "rows"}),
    "convert": (["net.h5"], {"form", "layers", "checksum", "binary_weights"}),
    "device_sweep": (["sram_synthetic", "--axis", "voltage", "--values", "0.6", "--networks", *DATA, "--trials", "2"],
                     {"card", "axis", "checksum", "rows"}),
    "download": (["fashion"], {"name", "folder", "sha256"}),
    "evaluate": (DATA, {"network", "checksum", "rows"}),
    "explain": ([*DATA, "--what", "margins"], {"network", "checksum", "margins"}),
    "plot": (["sweep.h5", "--force", "--out", "sweep.png"], {"figure", "kind", "files"}),
    "summary": (["net.h5"], {"file", "kind", "checksum"}),
    "train": (["--dataset", "d.npz", "--network", "FC4 FC2", "--epochs", "2"],
              {"network", "checksum", "test_accuracy", "kept_epoch", "epochs"}),
}
NO_JSON = {"completion": "it prints a script"}


def said(command, words, capsys):
    """What a command that ends well prints, as JSON."""
    assert importlib.import_module(f"bnnsim.{command}").main(words) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


@pytest.mark.parametrize("command", TABLES)
def test_every_command_gives_json(command, here, capsys):
    """Whole, with --quiet and --log too, and nothing beside it."""
    if command in NO_JSON:
        assert "format" not in {option.name for option in TABLES[command]}, NO_JSON[command]
        return
    words, wanted = RUNS[command]
    found = said(command, [*words, "--format", "json"], capsys)
    assert wanted <= set(found[0] if isinstance(found, list) else found)
    assert type(said(command, [*words, "--format", "json", "--quiet"], capsys)) is type(found)


DRY = [name for name in TABLES if name not in ("completion", "summary")]


@pytest.mark.parametrize("command", DRY)
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(command, here, folder, capsys):
    words, before = [word for word in RUNS[command][0] if word != "--force"], sorted(folder.iterdir())
    found = said(command, [*words, "--dry-run", "--format", "json"], capsys)
    assert found.get("dry_run") or command == "cache"
    assert importlib.import_module(f"bnnsim.{command}").main([*words, "--dry-run"]) == 0
    assert capsys.readouterr().out.count("\n") >= 1 and sorted(folder.iterdir()) == before


def test_only_what_computes_and_writes_nothing_has_no_dry_run():
    assert {name for name, table in TABLES.items() if "dry_run" in {option.name for option in table}} == set(DRY)


@pytest.mark.parametrize("command, words, files", [
    ("train", ["--out", "net.h5", "--plot", "new.png"], [("--out", "net.h5", True), ("--plot", "new.png", False)]),
    ("ber_sweep", ["--out", "sweep.h5"], [("--out", "sweep.h5", True)]),
    ("ber_sweep", ["--out", "new.csv", "--plot", "new.png"], [("--plot", "new.png", False),
                                                              ("--out", "new.csv", False)]),
    ("device_sweep", ["--out", "sweep.h5"], [("--out", "sweep.h5", True)]),
    ("explain", ["--what", "margins,importance", "--plot", "f.png"], [
        ("--plot", "f-margins.png", False), ("--plot", "f-importance.png", False)]),
])
def test_a_dry_run_tells_of_files_that_are_there(command, words, files, here, folder, capsys):
    """The run refuses them, or goes on from them: who starts hours of work in the evening knows it then."""
    words = [*RUNS[command][0], *words, "--dry-run"]
    wanted = [{"option": option, "file": file, "exists": exists} for option, file, exists in files]
    assert said(command, [*words, "--format", "json"], capsys)["writes"] == wanted
    importlib.import_module(f"bnnsim.{command}").main(words)
    assert capsys.readouterr().out.endswith("".join(
        f"{option} would write {file}{', which exists' if exists else ''}\n" for option, file, exists in files))


TRAIN = ["--dataset", "d.npz", "--network", "FC4 FC2"]


@pytest.mark.parametrize("command, words, message", [
    ("device_sweep", ["teaching", "--axis", "voltage", "--networks", *DATA], "--axis must be one of 'condition', 'cyc"),
    ("device_sweep", ["--cell", "3T3R", "--networks", *DATA], "--cell must be '2T2R'"),
    ("device_sweep", ["--ecc", "bar", "--networks", *DATA], "'bar'"),
    ("ber_sweep", [*DATA, "--ci-width", "1", "--trials", "1"], "--ci-width needs a pilot of trials >= 2 chips, got 1"),
    ("train", [*TRAIN, "--network", "FC4 FC1"], "--network must have one output a class, and d.npz-train has labels up "
                                                "to 1: its last layer must be FC2, or larger, got 'FC4 FC1', which"),
    ("train", [*TRAIN, "--flip-rate", "0.1,0.1,0.1"], "--flip-rate must be one probability or 2, one for each layer"),
    ("train", [*TRAIN, "--fault", "BitFlips(0.1, layers=[9])"], "layers must be in 0..1, got (9,)"),
    ("train", [*TRAIN, "--loss", "mhl", "--b", "1e9"], "--b must be at most the output layer's fan-in, 4"),
    ("train", [*TRAIN, "--batch-size", "1"], "--batch-size must be >= 2 for a model with batch norm"),
    ("train", [*TRAIN, "--checkpoint", "net.h5"], "--checkpoint: net.h5 exists: --resume goes on from it, or give"),
    ("evaluate", [*DATA, "--fault", "BitFlips(0.1, layers=[9])"], "layers must be in 0..1, got (9,)"),
    ("plot", ["net.h5", "--kind", "faults", "--layer", "9", "--rate", "0.1", "--out", "z.png"], "--layer must be in ["),
    ("plot", ["sweep.h5", "--kind", "chips", "--rate", "0.2", "--out", "z.png"], "rate must be one of the result's"),
    ("convert", ["graph.h5", "new.h", "--format", "json"], "the format c holds layers in a row"),
    ("convert", ["net.h5", "new.csv", "--fault-map", "net.h5", "--format", "json"], "a packed network"),
    ("certify", ["graph.h5"], "must be a PackedNetwork of layers in a row, got a PackedGraph"),
    ("explain", ["one.h5", "--what", "margins"], "must have a hidden layer"),
    ("explain", ["one.h5", "--what", "importance"], "must have a hidden layer"),
])
def test_a_dry_run_refuses_what_the_run_refuses_at_once(command, words, message, here, folder, capsys):
    """It approved these, and a night later there was one line."""
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"bnnsim.{command}").main([*words, "--dry-run"])
    said = capsys.readouterr()
    assert stop.value.code == 2 and message in said.err and said.out == "" and sorted(folder.iterdir()) == before


# ---------------------------------------------------------------- one meaning

@pytest.mark.parametrize("command", TABLES)
def test_every_command_takes_these(command):
    assert {"config", "quiet", "log", "debug"} <= {option.name for option in TABLES[command]}


def test_one_spelling_has_one_meaning():
    """One rule, one kind of value, one scope."""
    seen = {}
    for command, table in TABLES.items():
        for option in table:
            if option.typed:
                rule = getattr(option.rule, "__name__", option.rule)
                seen.setdefault(option.typed, {})[command] = (option.read, option.scope, rule)
    for flag, by_command in seen.items():
        if flag.removeprefix("--").replace("-", "_") not in TWO:
            assert len({(read, kind) for read, kind, _ in by_command.values()}) == 1, (flag, by_command)
    for name in ALIKE:
        flag = f"--{name.replace('_', '-')}"
        assert len({rule for _, _, rule in seen[flag].values()} - {"<lambda>"}) <= 1, (flag, seen[flag])


DATA_COMMANDS = ("ber_sweep", "certify", "device_sweep", "evaluate", "explain", "train")


def test_all_that_take_data_take_it_alike():
    for command in DATA_COMMANDS:
        assert {"--dataset", "--data", "--size", "--order", "--limit"} <= {option.typed for option in TABLES[command]}


@pytest.mark.parametrize("command", DATA_COMMANDS)
def test_limit_is_the_first_images(command, here, capsys):
    found = said(command, [*RUNS[command][0], "--limit", "20", "--dry-run", "--format", "json"], capsys)
    assert found.get("n_images", found.get("n_test")) == 20 if command != "ber_sweep" else \
        found["series"][0]["n_images"] == 20
    if command == "train":
        assert found["n_train"] == 20


def test_limited_images_are_the_first_and_say_so(here, capsys):
    found, = said("evaluate", [*DATA, "--limit", "20", "--format", "json"], capsys)
    data = np.load("d.npz")
    network = bnnsim.PackedNetwork.load("net.h5")
    assert found["rows"][0]["right"] == (network.predict(data["x_test"][:20]) == data["y_test"][:20]).sum()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_limit_that_leaves_classes_out_says_so(command, here, capsys):
    """Of data sorted by class one class was trained and tested on, and the accuracy was 100 %."""
    data = dict(np.load("d.npz"))
    for half in ("train", "test"):
        order = np.argsort(data[f"y_{half}"], kind="stable")
        data |= {f"{what}_{half}": data[f"{what}_{half}"][order] for what in "xy"}
    np.savez("sorted.npz", **data)
    words = [word.replace("d.npz", "sorted.npz") for word in RUNS[command][0]]
    notes = []
    for limit in ("20", "30"):                                  # of 20 images and more of each class
        assert importlib.import_module(f"bnnsim.{command}").main([*words, "--limit", limit, "--dry-run"]) == 0
        notes.append([line for line in capsys.readouterr().err.splitlines() if "--limit" in line])
    assert len(notes[0]) == (2 if command == "train" else 1), "evaluate takes the test half alone"
    assert all("note: --limit 20 leaves images of 1 of the 2 classes of sorted" in line for line in notes[0])
    assert len(notes[1]) == (1 if command == "train" else 0)


# ---------------------------------------------------------------- what nothing reads is refused

@pytest.mark.parametrize("command, words, message", [
    ("evaluate", [*DATA, "--seed", "3"], "--seed goes with --fault, and nothing else reads it"),
    ("evaluate", [*DATA, "--trial", "3"], "--trial goes with --fault"),
    ("evaluate", [*DATA, "--confusion", "--format", "csv"], "--confusion is in the table and the JSON"),
    ("explain", [*DATA, "--what", "margins", "--seed", "1"], "--seed goes with --what prediction"),
    ("explain", [*DATA, "--what", "margins", "--method", "readout"], "--method goes with --what importance"),
    ("explain", [*DATA, "--what", "margins", "--check", "2"], "--check goes with --what prediction"),
    ("explain", [*DATA, "--what", "margins", "--layer", "1"], "--layer goes with --what critical"),
    ("ber_sweep", [*DATA, "--resume"], "--resume goes with --out FILE.h5"),
    ("device_sweep", ["card.h5", "--trials", "3"], "--trials must not be given with card.h5, which holds a sweep"),
    ("device_sweep", ["card.H5", "--trials", "3"], "--trials must not be given with card.H5, which holds a sweep"),
    ("device_sweep", ["renamed", "--trials", "3"], "--trials must not be given with renamed, which holds a sweep"),
    ("device_sweep", ["./"], "./: wanted the file of a device card (JSON), got a folder, a pipe or a device"),
    ("device_sweep", ["card.h5", "--limit", "3"], "--limit must not be given with card.h5, which holds a sweep"),
    ("plot", [], "FILE.h5 must be given: results of ber_sweep --out"),
    ("download", [], "NAME must be given: one of fashion"),
    ("download", ["imagenet"], "NAME must be one of 'fashion', 'mnist', 'cifar10', got 'imagenet'"),
    ("convert", [], "IN must be given: the network"),
    ("train", ["--config", "."], "--config must be a file, got the folder ."),
    ("train", ["--config", "none.json"], "No such file"),
    pytest.param("train", ["--config", "/dev/zero"], "at most 1048576 bytes", marks=pytest.mark.skipif(
        not os.path.exists("/dev/zero"), reason="only Linux has a file without an end")),
    ("cache", ["--format", "csv"], "format must be one of 'table', 'json', got 'csv'"),
    ("summary", ["--dry-run"], "unrecognized arguments: --dry-run"),
])
def test_it_is_told_in_one_line(command, words, message, here, capsys):
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"bnnsim.{command}").main(words)
    out, error = capsys.readouterr()
    assert stop.value.code == 2 and message in error and error.count("\n") == 1 and out == ""


def test_an_option_in_a_file_counts_as_given(here, folder, tmp_path, capsys):
    (tmp_path / "c.json").write_text('{"networks": ["net.h5"], "dataset": "d.npz", "seed": 3}')
    with pytest.raises(SystemExit):
        importlib.import_module("bnnsim.evaluate").main(["--config", str(tmp_path / "c.json")])
    assert "c.json: seed goes with --fault" in capsys.readouterr().err
    (tmp_path / "c.json").write_text('{"files": ["sweep.h5"], "format": "json"}')
    assert said("summary", ["--config", str(tmp_path / "c.json")], capsys)[0]["file"] == "sweep.h5"


def test_print_command_in_json(here, capsys):
    found = said("ber_sweep", ["--print-command", "sweep.h5", "--format", "json"], capsys)
    assert found["command"].startswith("python -m bnnsim.ber_sweep net.h5 --dataset d.npz")
    assert SweepResult.load("sweep.h5").checksum


# ---------------------------------------------------------------- what is typed

@pytest.mark.parametrize("words", [["--values", "-1,2"], ["--values=-1,2"], ["--val", "-1,2"], ["--values", "-.5"],
                                   ["--values", "-1:2:3"]])
def test_a_list_may_begin_with_a_minus(words):
    """argparse took "-1,2" for an option; from Python 3.14 on it does not."""
    options = importlib.import_module("bnnsim.device_sweep").arguments().parse_args(words)
    assert options.values == words[-1].removeprefix("--values=")


@pytest.mark.parametrize("typed, wanted", [
    ("/usr/bin/bnnsim", "bnnsim train"), ("bnnsim.exe", "bnnsim train"), ("/x/bnnsim/__main__.py", "bnnsim train"),
    ("/x/bnnsim/train.py", "python -m bnnsim.train"), ("/x/pytest/__main__.py", "python -m bnnsim.train")])
def test_a_command_is_called_as_it_was_typed(typed, wanted, monkeypatch):
    monkeypatch.setattr("sys.argv", [typed, "train"])
    assert command_line.parser("train", "Train.", ()).prog == wanted


@pytest.mark.parametrize("words, code, out, error", [
    (["help", "ber-sweep"], 0, "usage: python -m bnnsim.ber_sweep", ""), (["help"], 0, "usage: bnnsim COMMAND", ""),
    (["--help"], 0, "usage: bnnsim COMMAND", ""),
    (["help", "train", "plot"], 2, "", "wanted one command to tell about, got train plot"),
    (["help", "sweep"], 2, "", "no command 'sweep'; did you mean ber_sweep or device_sweep?"),
    (["sweep"], 2, "", "did you mean ber_sweep or device_sweep?"), (["tran"], 2, "", "did you mean train?"),
    ([""], 2, "", "no command ''"), (["--quiet"], 2, "", "no command '--quiet'"),
    (["--version", "x"], 2, "", "no command '--version'"),
])
def test_the_command_of_all_commands(words, code, out, error, capsys):
    try:
        found = __main__.main(words)
    except SystemExit as stop:
        found = stop.code
    printed = capsys.readouterr()
    assert found == code and out in printed.out and error in printed.err and bool(out) == bool(printed.out)
