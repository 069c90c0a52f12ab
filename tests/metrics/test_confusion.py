"""Confusion matrix and what is read off it, against counting image by image."""

import json

import numpy as np
import pytest

import bnnsim
import bnnsim.evaluate as evaluate
from bnnsim.datasets.split import Split
from bnnsim.metrics.evaluation import Evaluation
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 3], np.uint8)             # nobody is of class 2
PREDICTED = np.array([0, 0, 1, 2, 1, 0, 1, 0], np.uint8)          # and nobody is called 3


@pytest.fixture(scope="module")
def one():
    network = pack(build("FC4", (1, 2, 2), rng=0))
    return Evaluation("small", network, Split(np.zeros((8, 1, 2, 2), np.uint8), LABELS, "eight"), PREDICTED)


@pytest.mark.jit_off
def test_each_number_by_its_definition(one):
    matrix = [[sum((LABELS == i) & (PREDICTED == j)) for j in range(4)] for i in range(4)]
    assert one.confusion.tolist() == matrix == [[2, 1, 1, 0], [1, 2, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(one.recall, [2 / 4, 2 / 3, np.nan, 0])
    np.testing.assert_array_equal(one.precision, [2 / 4, 2 / 3, 0, np.nan])
    np.testing.assert_allclose(one.f1, [1 / 2, 2 / 3, 0, 0])
    assert one.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert one.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 0) / 3) and one.accuracy == 0.5


@pytest.mark.jit_off
def test_as_json_and_as_text(one):
    scores = json.loads(json.dumps(one.scores(), allow_nan=False))
    assert scores["by_class"][2] == {"class": "class 2", "precision": 0.0, "recall": None, "f1": 0.0}
    assert scores["confusion"] == one.confusion.tolist()
    lines = one.table().splitlines()
    assert "balanced accuracy 38.89 %, macro F1 38.89 %" in lines[0]
    assert lines[4].split() == ["0", "class", "0", "2", "1", "1", "0", "50.00", "50.00", "50.00"]
    assert lines[6].split() == ["2", "class", "2", "0", "0", "0", "0", "-", "0.00", "0.00"]
    assert len({len(line) for line in lines[3:]}) == 1


def test_the_figure_has_labels_in_rows_and_predictions_in_columns(one):
    """Turned over it told of the wrong classes that they are confused."""
    axes = one.plot().axes[0]
    at = [text.get_position() for text in axes.texts]
    drawn = {(round(y), round(x)): int(text.get_text()) for (x, y), text in zip(at, axes.texts)}
    assert drawn == {(i, j): n for (i, j), n in np.ndenumerate(one.confusion) if n}
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label", "predicted")
    np.testing.assert_allclose(axes.images[0].get_array()[0], [50, 25, 25, 0])


def test_the_command_prints_and_draws_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["--confusion", "--plot", "c.png"]) == 0
    printed = capsys.readouterr().out
    network = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_fcnn.h5"))
    _, test = bnnsim.load_embedded()
    ref = Evaluation("", network, test, network.predict(test.images))
    assert f"balanced accuracy {100 * ref.balanced_accuracy:.2f} %" in printed and (tmp_path / "c.png").stat().st_size
    assert evaluate.main(["--confusion", "--format", "json"]) == 0
    found, = json.loads(capsys.readouterr().out)
    assert found["confusion"] == ref.confusion.tolist() and found["by_class"][0]["f1"] == ref.f1[0]
    assert evaluate.main(["--format", "json"]) == 0
    assert "confusion" not in json.loads(capsys.readouterr().out)[0]


def test_a_figure_of_two_networks_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["a.h5", "b.h5", "--plot", str(tmp_path / "c.png")])
    assert "--plot draws the confusion matrix of one network" in capsys.readouterr().err
