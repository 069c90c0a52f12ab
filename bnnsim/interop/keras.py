"""Whole models of Keras and Larq (.h5, .keras), their topology from the JSON that is in the file; no code is in it.

A chain is read twice: first without its weights, which says how large they may be, then with them.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.files.json_text import parse_json
from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.bounded import SLACK, Zip, read_bytes
from bnnsim.interop.hdf5_classic import Array, Node, read_classic
from bnnsim.interop.keras_graph import KerasGraph
from bnnsim.interop.keras_layers import Config, snake_case

MAX_CONFIG = 2**21                  # bytes of the JSON, whose values take up to thirty times as much
MAX_LAYERS = 5000


def read_h5(path: FilePath) -> KerasGraph | Arrays:
    """A whole model; of a file of weights only, its arrays in the order of its layers."""
    root = read_classic(read_bytes(path))
    text = root.attributes.get("model_config")
    if not isinstance(text, str):
        return _weights_only(root)
    model = _model(_json(text, "model_config"), "Keras/Larq .h5")
    return replace(model, take=lambda i, name, shapes: _of_group(root, name, shapes))


def read_keras(path: FilePath) -> KerasGraph:
    """A model of Keras 3: its weights are unpacked once the topology says how many there can be."""
    with open(path, "rb") as file:
        members = Zip(file)
        config = _json(members.read("config.json", MAX_CONFIG).decode("utf-8", "replace"), "config.json")
        model = _model(config, "Keras .keras")
        root = read_classic(members.read("model.weights.h5", SLACK + 16 * _n_values(model)))  # Adam's moments too
    numbered, counts = {}, dict[str, int]()
    for i, layer in enumerate(model.layers):
        word = snake_case(layer["class_name"])
        numbered[i] = word if word not in counts else f"{word}_{counts[word]}"
        counts[word] = counts.get(word, 0) + 1
    variables = dict(_variables(root, ""))
    return replace(model, take=lambda i, name, shapes: _of_variables(variables, (numbered[i], name), shapes))


def _n_values(model: KerasGraph) -> int:
    """How many weights the topology says that there are."""
    counts: list[int] = []

    def counted(i: int, name: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        counts.append(sum(math.prod(shape) for shape in shapes.values()))
        return {part: np.broadcast_to(np.float32(1), shape) for part, shape in shapes.items()}

    if model.has_branches:
        model.walk(counted)
        return sum(counts)
    try:
        replace(model, take=counted).chain()
    except ValueError as error:
        counts.clear()
        try:
            model.walk(counted)
        except ValueError:
            raise error from None
    return sum(counts)


# ---------------------------------------------------------------- what the files hold

def _json(text: str, what: str) -> Config:
    if len(text) > MAX_CONFIG:
        raise ValueError(f"{what} has {len(text):,} letters, wanted at most {MAX_CONFIG:,}")
    try:
        found = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{what} is no JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what} is no JSON object")
    return found


def _model(config: Config, form: str) -> KerasGraph:
    """Class names and configurations of layers, and which each reads; without arrays."""
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else inner
    kind = config.get("class_name")
    if kind not in ("Sequential", "Functional", "Model") or not isinstance(layers, list) or len(layers) > MAX_LAYERS:
        raise ValueError(f"wanted a Sequential or Functional model of at most {MAX_LAYERS} layers, got "
                         f"{str(kind)[:60]!r}")
    inbound: list[list[str]] = []
    before = ""
    for i, layer in enumerate(layers):
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict) or \
                not isinstance(layer.get("class_name"), str):
            raise ValueError(f"layer {i} of the model has no class_name and config")
        reads = [before] if i else []
        inbound.append(reads if kind == "Sequential" else _inbound(layer.get("inbound_nodes")))
        before = str(layer["config"].get("name", layer.get("name", i)))
    given = inner.get("output_layers") if isinstance(inner, dict) else None
    outputs = _inbound(given) if kind != "Sequential" and given else [before]
    if len(outputs) != 1:
        raise ValueError(f"the model gives {', '.join(outputs[:5]) or 'nothing'}: wanted one output, of scores")
    return KerasGraph(layers, inbound, outputs[0], lambda i, name, shapes: {}, form)


def _inbound(nodes: object) -> list[str]:
    """Names of the layers that one reads, in order."""
    found, todo = [], [nodes]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo += [item[key] for key in ("args", "config", "keras_history") if key in item]
        elif isinstance(item, list) and item and isinstance(item[0], str):
            found.append(item[0])
        elif isinstance(item, list):
            todo += reversed(item)
    return found


def _of_group(root: Node, name: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays of a layer by the last word of their names: model_weights/NAME/.../kernel:0."""
    found: dict[str, Array] = {}
    todo = [root.find(f"model_weights/{name}")]
    while todo:
        for leaf, node in todo.pop().members.items():
            if node.array is not None:
                found[leaf.removesuffix(":0")] = node.array
            else:
                todo.append(node)
    if "depthwise_kernel" in shapes and "kernel" in found:      # as Keras 3 calls it
        found["depthwise_kernel"] = found["kernel"]
    return _checked(name, found, shapes)


def _variables(node: Node, path: str) -> list[tuple[str, list[Array]]]:
    """(Layer's name, its numbered arrays) of all groups of a .keras file; of Windows, separated by backslashes."""
    found, todo = [], [(path, node)]
    while todo:
        path, node = todo.pop()
        arrays = {leaf: inner.array for leaf, inner in node.members.items() if inner.array is not None}
        words = path.replace("\\", "/").split("/")
        if arrays and words[-1] == "vars" and "optimizer" not in words:
            if not all(re.fullmatch(r"\d{1,4}", leaf) for leaf in arrays):
                raise ValueError(f"{path}: variables must be numbered, got {', '.join(list(arrays)[:5])}")
            found.append((words[-2] if len(words) > 1 else "", [arrays[leaf] for leaf in sorted(arrays, key=int)]))
        todo += [(f"{path}/{leaf}", inner) for leaf, inner in node.members.items()]
    return found


def _of_variables(variables: Mapping[str, list[Array]], names: Sequence[str],
                  shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    for name in names:
        if name in variables:
            if len(variables[name]) < len(shapes):
                raise ValueError(f"{name} has {len(variables[name])} variables, wanted {', '.join(shapes)}")
            return _checked(name, dict(zip(shapes, variables[name])), shapes)
    raise ValueError(f"the file has no variables of {names[-1]}; there are those of {', '.join(list(variables)[:10])}")


def _checked(name: str, found: Mapping[str, Array], shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Values of arrays, which are read once their shapes are the wanted ones."""
    for part, shape in shapes.items():
        if part not in found or found[part].shape != shape or found[part].dtype.kind not in "fiu":
            came = f"{found[part].dtype} {found[part].shape}" if part in found else f"only {', '.join(found) or 'none'}"
            raise ValueError(f"{name}: wanted {part} of shape {shape}, got {came}")
    return {part: found[part].value() for part in shapes}


def _weights_only(root: Node) -> Arrays:
    names = root.attributes.get("layer_names")
    groups = [(name, root.find(name)) for name in names] if isinstance(names, list) else list(root.members.items())
    found: Arrays = {}
    for name, group in groups:
        leaves = group.attributes.get("weight_names")
        for leaf in leaves if isinstance(leaves, list) else []:
            array = group.find(leaf).array
            if array is not None:
                found[leaf] = array.value()
    if not found and _variables(root, ""):
        raise ValueError("weights of Keras 3 are numbered, and do not say what they are: save the whole model (.keras)")
    if not found:
        raise ValueError("the HDF5 file has neither a model_config nor layer_names and weight_names: it is not Keras's")
    return found
