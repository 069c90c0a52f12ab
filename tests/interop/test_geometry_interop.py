"""Every word of geometry, in each format that has it: the sums of each layer and the scores are the tap-by-tap ones."""

import foreign_files as foreign
import foreign_geometry as geometry
import numpy as np
import pytest

import bnnsim
import bnnsim.interop as interop


LISTED = [name for name, (_, plan) in geometry.ALL.items() if not any("norm_first" in layer for layer in plan)]


def along_columns(name):
    return geometry.ALL[name][0][1] == 1


def check(path, made, *spec, **how):
    """What is read computes what was written."""
    layers, images, sums, scores = made
    imported = interop.read_network(path, *spec, **how)
    assert imported.compare(images, {f"layer{i}": h for i, h in enumerate(sums)}) is None
    np.testing.assert_allclose(imported.network.scores(images), scores, rtol=1e-5, atol=1e-5 * np.abs(scores).max())
    assert len(np.unique(scores)) > 5 and imported.network.input_shape == images.shape[1:]
    return imported


@pytest.mark.parametrize("name", geometry.ALL)
def test_arrays_and_a_spec(tmp_path, name):
    made = layers, images, *_ = geometry.made(name)
    (tmp_path / "x.pt").write_bytes(foreign.torch_zip(foreign.state_dict(layers)))
    if "total" in layers[-1]:                                   # a spec has SUM alone
        made = (*made[:3], geometry.behind(made[2][-1], {**layers[-1], "total": "sum"}))
    for same in {False, "same" in layers[0]}:
        check(tmp_path / "x.pt", made, geometry.spec_of(layers, same), input_shape=images.shape[1:], eps=foreign.EPS,
              norm_first=any("norm_first" in layer for layer in layers))


@pytest.mark.parametrize("name", LISTED)
def test_a_layer_list(tmp_path, name):
    """As from_arrays has it: pooling, and a sum, before the norm."""
    made = layers, images, sums, _ = geometry.made(name)
    if "total" in layers[-1]:
        made = (*made[:3], geometry.behind(sums[-1], {**layers[-1], "total": "sum"}))
    arrays = foreign.state_dict(layers)
    if along_columns(name):                                     # weights of Conv1d
        arrays |= {key: value[:, :, 0] for key, value in arrays.items() if value.ndim == 4}
    (tmp_path / "x.npz").write_bytes(foreign.npz(arrays))
    check(tmp_path / "x.npz", made, geometry.listed(layers), input_shape=images.shape[1:])


@pytest.mark.parametrize("name", [name for name in geometry.ALL if along_columns(name)])
def test_weights_of_one_axis_of_places(tmp_path, name):
    """Conv1d's (K, C, k) and a spec."""
    layers, images, sums, _ = geometry.made(name)
    scores = geometry.behind(sums[-1], {**layers[-1], "total": "sum"})
    arrays = {key: value[:, :, 0] if value.ndim == 4 else value for key, value in foreign.state_dict(layers).items()}
    (tmp_path / "x.npz").write_bytes(foreign.npz(arrays))
    imported = check(tmp_path / "x.npz", (layers, images, sums, scores), geometry.spec_of(layers), norm_first=False,
                     input_shape=images.shape[1:], eps=foreign.EPS)
    assert imported.compare(images, {f"layer{i}": h[:, :, 0] for i, h in enumerate(sums)}) is None


def test_sizes_of_groups(tmp_path):
    """Weights, and multiply-accumulates an image, are those of a group's channels."""
    layers, images, sums, _ = geometry.made("depthwise")
    (tmp_path / "x.npz").write_bytes(foreign.npz(foreign.state_dict(layers)))
    network = bnnsim.load_network(tmp_path / "x.npz", geometry.spec_of(layers), input_shape=images.shape[1:])
    found = network.sizes()
    assert [each.binary for each in found[:-1]] == [layer["weight"].size for layer in layers]
    assert [each.binary_macs + each.integer_macs for each in found[:-1]] == [
        layer["weight"][0].size * h[0].size for layer, h in zip(layers, sums)]
    assert found[1].binary == 70 * 9 and found[1].binary_macs == 70 * 9 * 16


@pytest.mark.parametrize("name", geometry.ALL)
def test_onnx(tmp_path, name):
    made = geometry.made(name)
    for columns in {False, along_columns(name)}:
        for auto in {False, name in geometry.SAME}:
            (tmp_path / "x.onnx").write_bytes(geometry.onnx_of(made[0], made[1].shape[1:], columns, auto))
            check(tmp_path / "x.onnx", made)


@pytest.mark.parametrize("name", geometry.SAME)
def test_keras(tmp_path, name):
    made = geometry.made(name)
    configs, arrays = geometry.keras_layers(made[0], made[1].shape[1:], along_columns(name))
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(configs, arrays))
    imported = check(tmp_path / "x.h5", made)
    again = {name: {"kernel": parts["depthwise_kernel"]} if "depthwise_kernel" in parts else parts
             for name, parts in arrays.items()}                 # Keras 3 has one name for all
    (tmp_path / "y.h5").write_bytes(foreign.keras_h5(configs, again))
    assert bnnsim.load_network(tmp_path / "y.h5").checksum == imported.network.checksum
