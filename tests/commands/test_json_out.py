"""--format json of commands that measure: it can be read, and has what the library computes."""

import json

import numpy as np
import pytest

import bnnsim
import bnnsim.certify as certify
import bnnsim.explain as explain


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A small network, and 40 images for it."""
    folder = tmp_path_factory.mktemp("small")
    network = bnnsim.pack(bnnsim.architectures.build("FC24 FC16 FC10", (1, 28, 28), rng=0))
    network.save(folder / "net.h5")
    _, test = bnnsim.load_embedded()
    np.savez(folder / "data.npz", x_train=test.images[40:80], y_train=test.labels[40:80], x_test=test.images[:40],
             y_test=test.labels[:40])
    return network, folder


def printed(command, words, capsys):
    assert command.main(words) == 0
    return json.loads(capsys.readouterr().out)


def test_explain_tells_what_it_measured(stored, capsys):
    network, folder = stored
    words = [str(folder / "net.h5"), "--dataset", str(folder / "data.npz"), "--format", "json", "--rates", "0.01,0.1",
             "--what", "margins,tolerance,importance,prediction,critical", "--check", "2", "--layer", "1"]
    found = printed(explain, words, capsys)
    assert found["checksum"] == network.checksum and found["n_images"] == 40
    images = np.load(folder / "data.npz")["x_test"]
    margins = bnnsim.metrics.margins(network, images)
    assert [one["mean"] for one in found["margins"]["layers"]] == [one.mean for one in margins.layers]
    assert found["tolerance"]["network"] == bnnsim.metrics.bit_error_tolerance(network, images).network
    assert [len(one["share"]) for one in found["importance"]["layers"]] == [24, 16]
    assert len(found["prediction"]["accuracy"]) == 3                    # rate 0, too
    assert [row["rate"] for row in found["prediction"]["injected"]] == [0, 0.01, 0.1]
    assert found["critical"]["bits"] == 24 * 16 and len(found["critical"]["worst"]) == 10


def test_certify_tells_what_is_proven(stored, capsys):
    network, folder = stored
    words = [str(folder / "net.h5"), "--dataset", str(folder / "data.npz"), "--format", "json", "--flips", "0,1,5"]
    found = printed(certify, [*words, "--attack"], capsys)
    data = np.load(folder / "data.npz")
    proven = bnnsim.certificates.certified_flips(network, data["x_test"])
    assert len(found["rows"]) == 3 * (proven.layers.shape[1] + 1)
    anywhere = [row["certified_accuracy"] for row in found["rows"] if row["layer"] is None]
    assert anywhere == proven.accuracy(data["y_test"], [0, 1, 5]).tolist()
    assert all(0 <= one["found"] <= 1 for one in found["broken_by"])
