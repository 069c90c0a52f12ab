"""What a peer is given: a network as settings in JSON and plain arrays, in one file without pickles.

``images`` uint8 (N, C, H, W), ``labels``, and ``network``, a JSON text. Of layers in a row it is {"input_offset": ...,
"layers": [{"kind": "conv", "pool": 2, "padding": 1, ...}, ...]}; layer i has, for training, latent ``i.weight`` float32
and its batch norm's shifts ``i.beta``; else ``i.weight`` +-1 int8, and ``i.threshold`` and ``i.inverted``, or
``i.mean``, ``i.scale`` and ``i.shift``: see `reference.unpacked`.

Of a graph it is {"input_offset": 0, "nodes": [{"operation": "affine", "inputs": [4], ...}, ...]}, the fields of each
node as `bnnsim.packed.graph_schema` has them, but for three: "conv", with ``i.weight``, latent or +-1, has no bits; and
in training "norm", a batch norm, has ``eps``, ``i.gamma`` and ``i.beta``, and a "sign" the four numbers of its
estimator, ``ste``, as `bnnsim.kernels.norm.pseudo_gradient` has them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import bnnsim.training.packing as packing
from bnnsim.benchmarks.reference import unpacked, unpacked_layer
from bnnsim.checks import FilePath
from bnnsim.datasets.split import Split
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.settings import once
from bnnsim.training.estimators import kernel_coefficients
from bnnsim.training.layers import BatchNormReal, Conv2d, Sign
from bnnsim.training.layers.real import RealLayer
from bnnsim.training.model import Graph, Sequential

PLAIN = ("kind", "stride", "padding", "pad_value", "pool")       # what a peer is told: the networks have no more

Fields = dict[str, Any]


def write(path: FilePath, split: Split, input_offset: int, network: Sequence[Mapping[str, Any]]) -> None:
    """The file; `network` are dicts of settings and arrays, of layers or of nodes."""
    arrays: dict[str, Any] = {f"{i}.{key}": value for i, fields in enumerate(network) for key, value in fields.items()
                              if isinstance(value, np.ndarray)}
    settings = [{key: once(value) if isinstance(value, tuple) and key not in ("inputs", "ste") else value
                 for key, value in fields.items() if not isinstance(value, np.ndarray)} for fields in network]
    text = json.dumps({"input_offset": input_offset, "nodes" if "inputs" in network[0] else "layers": settings})
    np.savez(path, images=split.images, labels=split.labels, network=text, **arrays)


def with_shifts(model: Graph) -> Graph:
    """The model with small random shifts in its batch norms.

    Without them many pre-activations, integers, lie exactly on their batch's mean: bnnsim's sign is +1 there, a float32
    batch norm's that of its rounding error, and a few such ties in an early layer turn the loss's third digit.
    """
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if "beta" in layer.parameters:
            layer.parameters["beta"][:] = rng.uniform(-0.1, 0.1, len(layer.parameters["beta"]))
    return model


def in_training(model: Graph) -> list[Fields]:
    """Layers or nodes with latent weights, and shifts of batch norms, in place of bits and thresholds."""
    if not isinstance(model, Sequential):
        return [_trained_node(model, i) for i in range(len(model.layers))]
    weights = [layer.parameters["weight"] for layer in model.weighted]
    shifts = [layer.parameters["beta"] for layer in model.layers if "beta" in layer.parameters]
    return [{**{key: layer[key] for key in PLAIN}, "weight": weight, "beta": shift}
            for layer, weight, shift in zip(unpacked(packing.pack(model)), weights, shifts, strict=True)]


def _trained_node(model: Graph, i: int) -> Fields:
    layer, read = model.layers[i], {"inputs": model.inputs[i]}
    if isinstance(layer, Conv2d):
        return {**read, "operation": "conv", "weight": layer.parameters["weight"], "stride": layer.stride,
                "padding": layer.padding}
    if isinstance(layer, BatchNormReal):
        return {**read, "operation": "norm", "eps": layer.eps, **layer.parameters}
    if not isinstance(layer, RealLayer):
        raise TypeError(f"a peer knows no {type(layer).__name__}")
    return {**read, **layer.operation().fields(),
            **({"ste": kernel_coefficients(layer.ste)} if isinstance(layer, Sign) else {})}


def in_use(network: PackedNetwork) -> list[Fields]:
    """Layers or nodes of a packed network."""
    if not isinstance(network, PackedGraph):
        return [{key: value for key, value in layer.items() if key in PLAIN or isinstance(value, np.ndarray)}
                for layer in unpacked(network)]
    found = []
    for what, inputs in network.nodes:
        if isinstance(what, PackedLayer):
            fields = unpacked_layer(what)
            found.append({"inputs": inputs, "operation": "conv", "weight": fields["weight"], "stride": what.stride,
                          "padding": what.padding})
        else:
            found.append({"inputs": inputs, **what.fields()})
    return found
