"""A data set is one entry of the catalogue: commands, configuration files and load_dataset take it from there."""

import json

import numpy as np
import pytest
from small_files import forget_all_copies, idx_bytes

import bnnsim
import bnnsim.ber_sweep as ber_sweep
import bnnsim.certify as certify
import bnnsim.commands.inputs as inputs
import bnnsim.datasets.shipped as shipped
import bnnsim.device_sweep as device_sweep
import bnnsim.download as download
import bnnsim.evaluate as evaluate
import bnnsim.explain as explain
import bnnsim.train as train
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets.catalogue import CATALOGUE, Dataset, idx_layout

DATA = shipped.data_folder()
BLOBS = ("left", "middle", "right")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A made-up data set in the catalogue, and its files in a folder `data` of the working directory."""
    forget_all_copies(monkeypatch, tmp_path)
    monkeypatch.setitem(CATALOGUE, "blobs", Dataset("Blobs", (1, 4, 9), (idx_layout("blobs-"),), "C4 FC16 FC3", BLOBS,
                                                    n_classes=3, augment=True))
    rng, folder = np.random.default_rng(0), tmp_path / "data"
    folder.mkdir()
    for half, n in (("train", 300), ("t10k", 60)):
        labels = (np.arange(n) % 3).astype(np.uint8)
        images = rng.integers(0, 60, (n, 4, 9), np.uint8)
        for c in range(3):
            images[labels == c, :, 3 * c:3 * c + 3] += 150
        (folder / f"blobs-{half}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"blobs-{half}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, module, *arguments):
    """The one line of an error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        module.main(list(arguments))
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    return error


def test_a_made_up_data_set_goes_through_the_commands(here, capsys):
    """Trained with the entry's network and augmentation, evaluated and swept; by option, by default, from a file."""
    assert train.main("--dataset blobs --data data --epochs 3 --batch-size 32 --quiet --out net.h5".split()) == 0
    network = bnnsim.PackedNetwork.load("net.h5")
    assert [layer.units for layer in network.layers] == [4, 16, 3] and network.metadata["dataset"] == "blobs"
    images, _ = bnnsim.load_dataset("blobs", "data")
    model = bnnsim.architectures.build("C4 FC16 FC3", (1, 4, 9), rng=0)
    bnnsim.fit(model, images, 3, rng=0, batch_size=32, augment=True, progress=False)
    assert bnnsim.pack(model).checksum == network.checksum
    capsys.readouterr()
    assert evaluate.main(["net.h5", "--data", "data"]) == 0                # the network's own, by its metadata
    printed = capsys.readouterr().out
    assert "blobs-test, all 60 images" in printed and all(name in printed for name in BLOBS)
    assert certify.main("net.h5 --data data --limit 5 --flips 0,1".split()) == 0
    sweep = "net.h5 --data data --rates 0.1 --trials 2 --quiet".split()
    assert ber_sweep.main([*sweep, "--dataset", "blobs", "--out", "options.h5"]) == 0
    config = {"networks": "net.h5", "datasets": ["blobs"], "data": "data", "rates": 0.1, "trials": 2, "quiet": True,
              "out": "file.h5"}
    (here / "c.json").write_text(json.dumps(config))
    assert ber_sweep.main(["--config", "c.json"]) == 0
    assert SweepResult.load("options.h5").checksum == SweepResult.load("file.h5").checksum
    assert SweepResult.load("file.h5").settings["series"][0]["split"] == "blobs-test"


@pytest.fixture
def mine(here):
    """An .npz file of one's own in the working directory, and a network that was trained on it."""
    rng, labels = np.random.default_rng(0), np.arange(300) % 3
    images = rng.integers(0, 60, (300, 4, 9), np.uint8)
    for c in range(3):
        images[labels == c, :, 3 * c:3 * c + 3] += 150
    np.savez("mine.npz", images=images, labels=labels, class_names=BLOBS)
    assert train.main(["--network", "FC16 FC3", *"--dataset mine.npz --epochs 5 --batch-size 32 --quiet --out net.h5"
                       .split()]) == 0
    return here


def test_data_of_ones_own_go_through_the_commands(mine, capsys):
    """A path wherever a name may stand; the classes have their names; and no command picks the data by itself."""
    capsys.readouterr()
    assert evaluate.main(["net.h5", "--dataset", "mine.npz"]) == 0
    printed = capsys.readouterr().out
    assert "mine.npz-test, all 60 images" in printed and all(name in printed for name in BLOBS)
    card = str(DATA / "devices" / "teaching.json")
    for command, typed in ((certify, "net.h5 --limit 5 --flips 0,1"), (explain, "net.h5"),
                           (ber_sweep, "net.h5 --rates 0.1 --trials 2 --quiet --out s.h5"),
                           (device_sweep, f"{card} --networks net.h5 --trials 2 --quiet")):
        assert command.main([*typed.split(), "--dataset", "mine.npz"]) == 0
        network = ["net.h5"] if command is not device_sweep else [card, "--networks", "net.h5"]
        assert "net was trained on 'mine.npz', which is none of fashion" in refused(capsys, command, *network)
    assert "--dataset mine.npz" in SweepResult.load("s.h5").provenance["command"]
    (mine / "c.json").write_text(json.dumps({"networks": "net.h5", "datasets": ["mine.npz"], "rates": 0.1, "trials": 2,
                                             "quiet": True, "out": "t.h5"}))
    assert ber_sweep.main(["--config", "c.json"]) == 0
    assert SweepResult.load("s.h5").checksum == SweepResult.load("t.h5").checksum


def test_what_is_wrong_with_data_of_ones_own_is_said(mine, capsys):
    assert "--network must be given for data of your own: mine.npz-train has 3 classes, so --network 'FC256 FC3'" in \
        refused(capsys, train, "--dataset", "mine.npz")
    assert "no.npz, which is not there" in refused(capsys, evaluate, "net.h5", "--dataset", "no.npz")
    assert "size is for folders" in refused(capsys, evaluate, "net.h5", "--dataset", "mine.npz", "--size", "3x3")
    assert "size must be ROWSxCOLUMNS" in refused(capsys, evaluate, "net.h5", "--dataset", "mine.npz", "--size", "3")
    assert "leave them out for 'fashion-subset'" in refused(
        capsys, evaluate, "net.h5", "--dataset", "fashion-subset", "--size", "3x3")
    bnnsim.pack(bnnsim.architectures.build("FC16 FC3", (1, 4, 9), rng=0)).save("other.h5")
    assert "networks net, other number classes, or read data, each in another way" in \
        refused(capsys, evaluate, "net.h5", "other.h5", "--dataset", "mine.npz")
    assert evaluate.main(["other.h5", "--dataset", "mine.npz"]) == 0
    bnnsim.pack(bnnsim.architectures.build("FC16 FC2", (1, 4, 9), rng=0)).save("two.h5")
    assert "two has 2 classes, but mine.npz has 3" in refused(capsys, evaluate, "two.h5", "--dataset", "mine.npz")


def test_what_it_cannot_do_is_said(here, capsys):
    assert "NAME must be one of 'fashion', 'mnist', 'cifar10', got 'blobs'" in refused(capsys, download, "blobs")
    error = refused(capsys, evaluate, "--dataset", "blob")
    assert "dataset must be one of 'fashion'" in error and "'blobs', got 'blob'; did you mean 'blobs'?" in error
    assert error.endswith("; or the path of data of your own, and no file or folder is called that\n")
    with pytest.raises(FileNotFoundError, match="no copy of blobs in .* and it has no official address; put the off"):
        bnnsim.load_dataset("blobs")
    with pytest.raises(FileNotFoundError, match="has no complete copy of blobs: .*. Put the files there$"):
        bnnsim.load_dataset("blobs", here)
    path = here / "data" / "blobs-t10k-labels-idx1-ubyte"
    path.write_bytes(idx_bytes(np.full(60, 3, np.uint8)))
    with pytest.raises(ValueError, match="wanted labels 0..2, got 3 at index 0; put whole files in its place"):
        bnnsim.load_dataset("blobs", here / "data")


def test_a_network_of_an_unknown_data_set_needs_dataset(here, capsys):
    model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    bnnsim.pack(model, {"dataset": "mine"}).save("mine.h5")
    assert "mine was trained on 'mine', which is none of fashion, mnist" in refused(capsys, evaluate, "mine.h5")
    assert evaluate.main(["mine.h5", "--dataset", "fashion-subset"]) == 0


@pytest.mark.parametrize("command", [ber_sweep, evaluate, explain, certify, device_sweep], ids=lambda c: c.__name__)
def test_a_network_that_does_not_tell_its_data_set_is_asked_for_it(here, capsys, command):
    """It was run on Fashion-MNIST, whatever it was trained on."""
    bnnsim.pack(bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)).save("silent.h5")
    network = [str(DATA / "devices" / "teaching.json"), "--networks"] if command is device_sweep else []
    assert "file of silent does not tell the data set that it was trained on: say which to take, --dataset NAME" in \
        refused(capsys, command, *network, "silent.h5")
    if command is evaluate:
        assert evaluate.main(["silent.h5", "--dataset", "fashion-subset"]) == 0


def test_networks_of_several_data_sets_are_asked_for_one(here, capsys):
    for name in ("mnist", "fashion"):
        bnnsim.pack(bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0), {"dataset": name}).save(f"{name}.h5")
    assert "trained on several data sets (mnist on mnist, fashion on fashion): say which" in \
        refused(capsys, evaluate, "mnist.h5", "fashion.h5")
    paths = list(DATA.glob("*.h5"))                             # those that come with the library say it
    assert len(paths) >= 4
    for path in paths:
        assert inputs.default_dataset([path], {"one": bnnsim.PackedNetwork.load(path)}) == \
            path.name.split("_")[0]


def test_every_entry_is_whole():
    """What a command would meet only when that data set is asked for."""
    for name, known in CATALOGUE.items():
        assert known.title and len(known.image_shape) == 3 and known.layouts
        assert len(known.class_names) in (0, known.n_classes)
        assert known.network in bnnsim.architectures.ARCHITECTURES or " " in known.network
        assert known.stand_in == "" or CATALOGUE[known.stand_in].embedded
        assert known.source is None or set(known.source.sha256) in [
            {*layout.train, *layout.test} for layout in known.layouts], name
