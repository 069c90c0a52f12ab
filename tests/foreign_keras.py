"""A Functional model of Keras and Larq with a shortcut and layers of float32, as a file, and what it computes."""

import io
import json

import foreign_files as foreign
import foreign_graphs as graphs
import h5py
import numpy as np

QUANTIZER = {"class_name": "SteSign", "config": {"clip_value": 1.0}}
NO_BIAS = {"use_bias": False, "strides": [1, 1], "padding": "same"}


def layer(kind, name, inbound, keras3=False, **config):
    """As Keras 2 writes what a layer reads, or Keras 3."""
    if keras3:
        tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [each, 0, 0]}} for each in inbound]
        nodes = [{"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {}}] if inbound else []
    else:
        nodes = [[[each, 0, 0, {}] for each in inbound]] if inbound else []
    return {"class_name": kind, "config": {"name": name, **config}, "name": name, "inbound_nodes": nodes}


def model(rng, keras3=False):
    """(Layers, arrays by name): a real stem, a residual block of bits, channels side by side, pools, a dense layer."""
    norm = {"axis": [3], "epsilon": graphs.EPS}

    def make(kind, name, inbound, **config):
        return layer(kind, name, inbound, keras3, **config)
    layers = [make("InputLayer", "in", [], batch_input_shape=[None, 6, 6, 2]),
              make("Conv2D", "stem", ["in"], filters=4, kernel_size=[3, 3], **{**NO_BIAS, "use_bias": True}),
              make("ReLU", "relu", ["stem"], max_value=None), make("BatchNormalization", "norm0", ["relu"], **norm),
              make("QuantConv2D", "conv", ["norm0"], filters=4, kernel_size=[3, 3], input_quantizer=QUANTIZER,
                   kernel_quantizer=QUANTIZER, pad_values=1.0, **NO_BIAS),
              make("BatchNormalization", "norm1", ["conv"], **norm), make("Add", "add", ["norm1", "norm0"]),
              make("PReLU", "prelu", ["add"], shared_axes=[1, 2]),
              make("AveragePooling2D", "half", ["prelu"], pool_size=[2, 2], strides=None, padding="valid"),
              make("MaxPooling2D", "top", ["prelu"], pool_size=[2, 2], strides=[2, 2], padding="valid"),
              make("Concatenate", "both", ["half", "top"], axis=-1),
              make("Flatten", "flat", ["both"]), make("Dense", "out", ["flat"], units=3, use_bias=True),
              make("Activation", "softmax", ["out"], activation="softmax")]
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = {"stem": {"kernel": rng.normal(0, 0.1, (3, 3, 2, 4)), "bias": rng.normal(0, 9, 4)},
              "norm0": dict(zip(names, graphs.norm_of(rng, 4, 20))), "conv": {"kernel": rng.normal(0, 1, (3, 3, 4, 4))},
              "norm1": dict(zip(names, graphs.norm_of(rng, 4, 5))), "prelu": {"alpha": rng.uniform(0, 1, (1, 1, 4))},
              "out": {"kernel": rng.normal(0, 1, (72, 3)), "bias": rng.normal(0, 1, 3)}}
    return layers, {name: {part: value.astype("f4") for part, value in parts.items()}
                    for name, parts in arrays.items()}


def written(layers, arrays, output="softmax"):
    """The .h5 file of a Functional model."""
    content = foreign.keras_h5([], arrays)
    config = {"class_name": "Functional", "config": {"layers": layers, "input_layers": [["in", 0, 0]],
                                                     "output_layers": [[output, 0, 0]]}}
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        opened.attrs["model_config"] = json.dumps(config)
    return file.getvalue()


def naive(arrays, images):
    """What the model computes."""
    a = {name: {part: value.astype("f8") for part, value in parts.items()} for name, parts in arrays.items()}

    def normed(x, name):
        p = {part: value.reshape(1, -1, 1, 1) for part, value in a[name].items()}
        return (x - p["moving_mean"]) / np.sqrt(p["moving_variance"] + graphs.EPS) * p["gamma"] + p["beta"]
    x = graphs.convolved(images.astype("f8"), a["stem"]["kernel"].transpose(3, 2, 0, 1), (1,) * 4)
    first = normed(np.maximum(x + a["stem"]["bias"].reshape(1, -1, 1, 1), 0), "norm0")
    bits = np.pad(np.where(first >= 0, 1.0, -1.0), ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=1.0)
    kernel = np.where(a["conv"]["kernel"] >= 0, 1.0, -1.0).transpose(3, 2, 0, 1)
    x = normed(graphs.convolved(bits, kernel), "norm1") + first
    x = np.where(x > 0, x, x * a["prelu"]["alpha"].reshape(1, -1, 1, 1))
    x = np.concatenate([graphs.pooled(x, (2, 2), (2, 2), (0,) * 4, kind) for kind in ("average", "max")], 1)
    return x.transpose(0, 2, 3, 1).reshape(len(x), -1) @ a["out"]["kernel"] + a["out"]["bias"]
