"""The networks in data/: what their README says of them is what they are."""

import importlib.util
from pathlib import Path

import pytest

from bnnsim.datasets import data_file, load_embedded
from bnnsim.packed import PackedNetwork

DATA = Path(__file__).resolve().parent.parent / "data"
SHIPPED = ("fashion_fcnn", "fashion_cnn", "fashion_fcnn_flip")


def test_readme_describes_the_files_that_are_there():
    """Its accuracies, commands and checksums are read from the files, never typed."""
    spec = importlib.util.spec_from_file_location("describe_networks", DATA / "describe_networks.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.section() in (DATA / "README.rst").read_text(encoding="utf-8"), "run python data/describe_networks.py"
    assert {path.stem for path in DATA.glob("*.h5")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_network_is_as_good_on_embedded_images_as_its_file_says(name):
    """Within 3 points of its accuracy on the full test set: 2,000 images have a standard error of 0.7."""
    network = PackedNetwork.load(data_file(f"{name}.h5"))
    assert abs(network.accuracy(load_embedded()[1]) - float(network.metadata["test_accuracy"])) < 0.03
    assert network.metadata["test_images"] == "10000" and int(network.metadata["holdout"]) > 0


def test_what_is_shipped_is_small():
    assert data_file("fashion_fcnn.h5").stat().st_size < 1e6
    assert sum(data_file(f"{name}.h5").stat().st_size for name in ("fashion_fcnn", "fashion_cnn")) < 2.5e6
