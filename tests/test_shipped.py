"""The networks in data/: what their README says of them is what they are."""

import csv
import importlib.util
from pathlib import Path

import pytest

import bnnsim
import bnnsim.commands.inputs as inputs
import bnnsim.summary as summary
from bnnsim.datasets.find import load_dataset, load_embedded
from bnnsim.datasets.shipped import data_file
from bnnsim.faults import BitFlips
from bnnsim.packed.network import PackedNetwork

DATA = Path(__file__).resolve().parent.parent / "data"
SHIPPED = ("fashion_fcnn", "fashion_cnn", "fashion_fcnn_flip", "fashion_cnn_flip", "fashion_residual",
           "fashion_fcnn_flip_128", "mnist_mlp", "mnist_mlp_flip", "cifar10_cnn", "cifar10_cnn_flip")
OF_FASHION = [name for name in SHIPPED if name.startswith("fashion")]


def test_readme_describes_the_files_that_are_there():
    """Its accuracies, commands and checksums are read from the files, never typed."""
    spec = importlib.util.spec_from_file_location("describe_networks", DATA / "describe_networks.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.section() in (DATA / "README.rst").read_text(encoding="utf-8"), "run python data/describe_networks.py"
    assert {path.stem for path in DATA.glob("*.h5")} == set(SHIPPED)


@pytest.mark.parametrize("name", OF_FASHION)
def test_a_shipped_network_is_as_good_on_embedded_images_as_its_file_says(name):
    """Within 3 points of its accuracy on the full test set: 2,000 images have a standard error of 0.7."""
    network = PackedNetwork.load(data_file(f"{name}.h5"))
    assert abs(network.accuracy(load_embedded()[1]) - float(network.metadata["test_accuracy"])) < 0.03
    assert network.metadata["test_images"] == "10000"
    assert int(network.metadata["holdout"]) > 0 or network.metadata["kept_epoch"] == network.metadata["epochs"]


@pytest.mark.parametrize("name, least", [("mnist_mlp", "0.983"), ("mnist_mlp_flip", "0.983"), ("cifar10_cnn", "0.87"),
                                         ("cifar10_cnn_flip", "0.84")])
def test_a_network_of_other_data_is_as_good_as_its_file_says(name, least):
    """All 10,000 images, where they are: MNIST and CIFAR-10 are not part of bnnsim."""
    data, network = name.split("_")[0], PackedNetwork.load(data_file(f"{name}.h5"))
    try:
        test = load_dataset(data)[1]
    except FileNotFoundError:
        pytest.skip(f"{data} is not on this machine: python -m bnnsim.download {data}")
    assert f"{network.accuracy(test):.4f}" == network.metadata["test_accuracy"] > least


def test_a_shipped_network_is_known_by_its_name(capsys, tmp_path, monkeypatch):
    """In Python and on command lines; a file of that name that is there comes first, and a folder does not."""
    monkeypatch.chdir(tmp_path)
    wanted = PackedNetwork.load(data_file("fashion_cnn.h5")).checksum
    assert bnnsim.load_network("fashion_cnn").checksum == wanted
    assert summary.main(["fashion_cnn", "--format", "json"]) == 0 and wanted in capsys.readouterr().out
    assert list(inputs.load_networks(["fashion_cnn", "mnist_mlp"])) == ["fashion_cnn", "mnist_mlp"]
    (tmp_path / "fashion_cnn").mkdir()
    assert inputs.load_network("fashion_cnn")[1].checksum == wanted
    (tmp_path / "fashion_cnn").rmdir()
    (tmp_path / "fashion_cnn").write_bytes(data_file("mnist_mlp.h5").read_bytes())
    assert inputs.load_network("fashion_cnn")[1].checksum == PackedNetwork.load(data_file("mnist_mlp.h5")).checksum


@pytest.mark.parametrize("paths, names", [
    (["own/fashion_cnn.h5", "fashion_cnn"], ["fashion_cnn", "fashion_cnn (2)"]),
    (["fashion_cnn", "own/fashion_cnn.h5"], ["fashion_cnn", "own/fashion_cnn.h5"])])
def test_one_of_ones_own_goes_with_the_shipped_one_of_its_name(paths, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "fashion_cnn.h5").write_bytes(data_file("mnist_mlp.h5").read_bytes())
    found = inputs.load_networks(paths)
    assert list(found) == names and len({network.checksum for network in found.values()}) == 2
    with pytest.raises(ValueError, match=f"{paths[1]} is given twice"):
        inputs.load_networks([*paths, paths[1]])


@pytest.mark.parametrize("load, name, message", [
    (bnnsim.load_network, "fashion_fcn", "fashion_fcn: no such file, and what comes with bnnsim is .*fashion_residual, "
                                         ".*; did you mean 'fashion_fcnn'"),
    (inputs.load_network, "resnet", "resnet: no such file, and what comes with bnnsim is .*mnist_mlp_flip$"),
    (inputs.load_network, "fashion_fcn.h5", "fashion_fcn.h5"),
    (inputs.load_network, "mnist_mlp.h5", "mnist_mlp.h5: no such file; the network that comes with bnnsim is called "
                                          "mnist_mlp$"),
    (bnnsim.load_network, "", "No such file or directory: ''"),
    (data_file, "fashion_fcn.h5", "what comes with bnnsim is .*; did you mean 'fashion_fcnn.h5'"),
    (data_file, "devices/teachin.json", "what comes with bnnsim is .*; did you mean 'teaching.json'"),
    (data_file, "cards.xml", "cards.xml: nothing like it is in .*, where what comes with bnnsim stands")])
def test_what_is_not_shipped_is_told(load, name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((OSError, ValueError), match=message):
        load(name)


def test_the_tolerant_fcnn_is_the_one_that_was_best_on_held_out_images():
    """Of its input code, by the mean that data/choose_tolerant.py states; the file has its flip rate."""
    with open(DATA / "tolerant_choice.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for code in {row["input_code"] for row in rows}:
        of_code = [row for row in rows if row["input_code"] == code]
        best = max(of_code, key=lambda row: float(row["mean"]))
        assert [row for row in of_code if row["chosen"]] == [best]
        found = PackedNetwork.load(data_file("fashion_fcnn_flip.h5" if code == "0" else f"fashion_fcnn_flip_{code}.h5"))
        assert found.input_offset == int(code) and found.metadata["flip_rate"] == best["flip_rate"]
        assert f"--reestimate {best['reestimated_at']}" in found.metadata["command"]
        assert int(found.metadata["holdout"]) == 5000


OF_ALL_TIMES = {                    # content checksum -> file in data/ or, once it is replaced, in tests/golden/shipped
    "e6c469690a1e": "fashion_fcnn.h5", "df8ff78eb91b": "fashion_cnn.h5",
    "bef060e487dc": "fashion_fcnn_flip.h5", "5ec6ea1821fb": "fashion_cnn_flip.h5", "4897879d81ba": "mnist_mlp.h5",
    "278cfcc4110e": "fashion_fcnn_flip_128.h5",
    "44e6a19d7181": "cifar10_cnn-cbe2009.h5", "3c73a454a60b": "cifar10_cnn.h5",
    "19ecfb5ace83": "cifar10_cnn_flip-cbe2009.h5", "c54875bd6bfe": "cifar10_cnn_flip.h5",
    "c02165b38953": "mnist_mlp_flip.h5", "3bb818421f2b": "fashion_fcnn_flip-cda7070.h5",
    "dad02d018e15": "fashion_cnn_flip-cda7070.h5",
    "969dd0543463": "fashion_residual.h5",
    "6ae4d141b014": "fashion_fcnn-720af9f.h5", "bee20ad62ebd": "fashion_fcnn_flip-65375ad.h5"}


def test_every_network_that_ever_shipped_can_be_read():
    """Whoever replaces one moves the old file to tests/golden/shipped: files of users are as old."""
    found = {}
    for path in (*DATA.glob("*.h5"), *(DATA.parent / "tests" / "golden" / "shipped").glob("*.h5")):
        found[PackedNetwork.load(path).checksum[:12]] = path.name
    assert found == OF_ALL_TIMES, "add new networks here; never take one away"


def test_a_source_distribution_has_all_that_contributors_need():
    lines = (DATA.parent / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    taken = {name for line in lines if line.startswith(("include ", "graft ")) for name in line.split()[1:]}
    assert {"bnnsim", "data", "docs", "examples", "tests", "CHANGELOG.rst", "CITATION.cff", "CONTRIBUTING.rst"} <= taken
    assert all((DATA.parent / name).exists() for name in taken)


def test_what_is_shipped_is_small():
    assert data_file("fashion_fcnn.h5").stat().st_size < 1e6
    assert sum(data_file(f"{name}.h5").stat().st_size for name in SHIPPED) < 9e6


@pytest.fixture(scope="module")
def tolerance():
    """Percent by network and bit error rate, of tolerance.csv: all chips."""
    found = {}
    with open(DATA / "tolerance.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert (row["n_images"], row["split"]) == ("10000", f"{row['series'].split('_')[0]}-test")
            found.setdefault(row["series"], {}).setdefault(float(row["value"]), []).append(float(row["accuracy"]))
    return found


def test_the_table_of_tolerance_is_of_these_networks(tolerance):
    """Without errors each chip has the accuracy that the file says; run  python data/describe_networks.py --sweep."""
    assert set(tolerance) == set(SHIPPED)
    for name, by_rate in tolerance.items():
        said = float(PackedNetwork.load(data_file(f"{name}.h5")).metadata["test_accuracy"])
        assert list(by_rate) == [0.0, 1e-4, 1e-2, 0.033, 0.05, 0.1, 0.2]
        assert {len(chips) for chips in by_rate.values()} == {3 if name.startswith("cifar10") else 10}
        assert set(by_rate[0.0]) == {said}


@pytest.mark.parametrize("name", ["fashion_fcnn", "fashion_cnn"])
def test_the_tolerant_twin_trades_clean_accuracy_for_accuracy_at_0_1(tolerance, name):
    plain, twin = tolerance[name], tolerance[f"{name}_flip"]
    assert plain[0.0][0] - 0.025 <= twin[0.0][0] < plain[0.0][0] and min(twin[0.1]) > max(plain[0.1])
    assert sum(twin[0.1]) / 10 >= {"fashion_fcnn": 0.87, "fashion_cnn": 0.87}[name]


def test_a_stored_network_breaks_as_the_table_says(tolerance):
    """The embedded images are a fifth of the table's: within 3 points of its mean at 0.1."""
    test = load_embedded()[1]
    for name in ("fashion_fcnn", "fashion_fcnn_flip"):
        found = BitFlips(0.1).apply(PackedNetwork.load(data_file(f"{name}.h5")), 0, 0).accuracy(test)
        assert abs(found - sum(tolerance[name][0.1]) / 10) < 0.03
