"""Functional models of Keras and Larq with shortcuts and layers of float32: scores, and what is refused by its name."""

import foreign_graphs as graphs
import numpy as np
import pytest
from foreign_keras import layer, model, naive, written

import bnnsim
import bnnsim.interop as interop

SHAPE = graphs.SHAPE


@pytest.mark.parametrize("keras3", [False, True])
def test_a_functional_model(tmp_path, keras3):
    rng = np.random.default_rng(6)
    layers, arrays = model(rng, keras3)
    (tmp_path / "x.h5").write_bytes(written(layers, arrays))
    imported = interop.read_network(tmp_path / "x.h5")
    images = rng.integers(0, 256, (5, *SHAPE), np.uint8)
    np.testing.assert_allclose(imported.network.scores(images), naive(arrays, images), rtol=3e-5, atol=3e-5)
    assert len(imported.network.layers) == 1 and imported.network.layers[0].pad_value == 1
    assert "stem/kernel" in imported.table() and imported.form == "Keras/Larq .h5"


def changed(i, **config):
    return lambda layers: layers[i]["config"].update(config)


REFUSED = {
    "sigmoid": (changed(13, activation="swish"), "softmax is 'swish', no sign"),
    "slopes": (changed(7, shared_axes=None), "prelu has slopes that differ from position to position"),
    "axis": (changed(10, axis=1), "both joins along axis 1: wanted the last"),
    "a product": (lambda layers: layers[6].update(class_name="Multiply"), "add is a Multiply of 2 inputs"),
    "unknown": (lambda layers: layers[6]["inbound_nodes"][0].append(["nowhere", 0, 0, {}]), "add reads nowhere"),
    "shapes": (lambda layers: layers[6].update(inbound_nodes=[[["norm1", 0, 0, {}], ["in", 0, 0, {}]]]),
               "add joins maps of the shapes"),
    "no sign": (changed(4, input_quantizer=None), "conv has weights of one bit, and reads numbers of norm0"),
    "relu": (changed(2, threshold=0.5), "relu has a slope, or a threshold"),
    "behind softmax": (lambda layers: layers.append(layer("ReLU", "last", ["softmax"])), "last stands behind softmax"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_by_its_name(tmp_path, name):
    change, message = REFUSED[name]
    layers, arrays = model(np.random.default_rng(6))
    change(layers)
    (tmp_path / "x.h5").write_bytes(written(layers, arrays))
    with pytest.raises(ValueError, match=message):
        bnnsim.load_network(tmp_path / "x.h5")


def test_the_output_is_one_of_its_layers(tmp_path):
    (tmp_path / "x.h5").write_bytes(written(*model(np.random.default_rng(6)), output="nowhere"))
    with pytest.raises(ValueError, match="gives 'nowhere', which is none of its layers"):
        bnnsim.load_network(tmp_path / "x.h5")
