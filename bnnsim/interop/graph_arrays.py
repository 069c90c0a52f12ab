"""A graph as a list of layers with their arrays, as a PyTorch state dict has them, into a `PackedGraph`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnnsim.checks import check_choice, check_real, check_unmasked
from bnnsim.interop.graph_lowering import lower
from bnnsim.interop.graph_parts import Sketch, Value
from bnnsim.interop.input_codes import Input, code_of
from bnnsim.interop.steps import Weigh, batch_norm
from bnnsim.interop.weights import Reading
from bnnsim.packed.forward import NO_PADDING, Pair, Sides
from bnnsim.packed.from_arrays import ORDERS
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.schema import check_keys
from bnnsim.packed.settings import check_setting, settings_of

LATENT = ("no", "signs", "scaled")
IMAGES = "images"


def graph_from_arrays(nodes: Sequence[Mapping[str, Any]], input_shape: tuple[int, int, int],
                      input: Input | None = None, metadata: Mapping[str, str] | None = None) -> PackedGraph:
    """Take over somebody else's network with branches or real-valued parts, whose topology is known.

    Parameters
    ----------
    nodes : sequence of dict
        In an order in which each reads only what stands before it; the last gives the scores. Each has ``op``, and may
        have ``name``, and ``inputs``: a name or several, "images" for the input; the node before where there is none.
        By op, its arrays and settings (those in parentheses may be left out):

        * "conv": ``weight`` (K, C / groups, kh, kw), or (K, kh, kw, C / groups) with ``order="HWC"``; (``bias``,
          ``stride``, ``padding``, ``dilation``, ``groups``, and of layers of bits ``pad_value``, as
          `PackedNetwork.from_arrays` takes them). "dense": ``weight`` (U, F); (``bias``; ``flatten``, "CHW" or "HWC",
          the order in which it reads a map: default "CHW", as PyTorch does). Either reads signs with weights of +-1,
          or +-s of each unit, and is a layer of bits then; or numbers with real ones. (``latent``: "signs" where the
          network computes with the signs of real weights, "scaled" with the signs times the mean size of each unit's,
          as XNOR-Net, Bi-Real Net and ReActNet do.)
        * "norm": ``mean``, ``var``; (``gamma``, ``beta``, ``eps``, default 1e-5). "affine": (``scale``, ``shift``).
        * "sign": (``threshold``, ``strict``: whether the sign of 0 is -1; default +1).
        * "prelu": ``slope``. "relu". "clip": (``low``, ``high``, default -1 and 1).
        * "add", "concatenate": several inputs.
        * "max-pool", "average-pool": ``size``; (``stride``, ``padding``; ``whole``: whether the average counts the
          padding, as PyTorch does). "global-average".
    input_shape : (C, H, W)
    input : "pixels", "unit", "centred", "binary", or (mean, standard deviation), optional
        What the network was trained to read: see `read_network`. Default: levels 0..255.
    metadata : dict of str to str, optional

    Returns
    -------
    PackedGraph

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> stem, latent, last = rng.normal(size=(4, 1, 3, 3)), rng.normal(size=(4, 4, 3, 3)), rng.normal(size=(10, 4))
    >>> network = graph_from_arrays([
    ...     {"op": "conv", "weight": stem, "padding": 1, "name": "stem"},
    ...     {"op": "sign", "threshold": np.full(4, 0.5)},
    ...     {"op": "conv", "weight": latent, "latent": "scaled", "padding": 1},
    ...     {"op": "norm", "mean": np.zeros(4), "var": np.ones(4), "name": "branch"},
    ...     {"op": "add", "inputs": ["branch", "stem"]},
    ...     {"op": "prelu", "slope": np.full(4, 0.25)},
    ...     {"op": "global-average"},
    ...     {"op": "dense", "weight": last, "bias": np.zeros(10)}], (1, 28, 28), input="unit")
    >>> network
    <PackedGraph [1, 28, 28] -> 10, 9 nodes, 144 binary weights, 108 real parameters>
    """
    if not isinstance(nodes, (list, tuple)) or not nodes or any(not isinstance(node, Mapping) for node in nodes):
        raise TypeError("nodes must be a list of dicts, each with an op")
    n_numbers = sum(value.size for node in nodes for value in node.values() if isinstance(value, np.ndarray))
    list_ = _List(Sketch(input_shape, code_of(input), Reading(), n_numbers))
    for i, node in enumerate(nodes):
        list_.take(i, dict(node))
    return lower(list_.sketch, list_.last, metadata or {})[0]


@dataclass(frozen=True)
class _Op:
    """What makes a value of a node's fields: those that it must have, and those that it may."""

    make: Callable[["_List", str, dict[str, Any], list[Value]], Value]
    wanted: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


class _List:
    """Values so far, by name."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch, self.last = sketch, sketch.images
        self.values: dict[str, Value] = {IMAGES: sketch.images}

    def take(self, i: int, node: dict[str, Any]) -> None:
        """One node more."""
        given = node.pop("name", f"nodes[{i}]")
        op = OPS[check_choice(f"nodes[{i}] op", node.pop("op", None), OPS)]
        if not isinstance(given, str) or given in self.values:
            raise ValueError(f"nodes[{i}] name must be a text that no other node has, got {given!r:.60}")
        names = node.pop("inputs", None)
        names = [names] if isinstance(names, str) else names
        if names is not None and (not isinstance(names, (list, tuple)) or not names or
                                  any(not isinstance(name, str) or name not in self.values for name in names)):
            raise ValueError(f"nodes[{i}] inputs must be names of nodes before it, or 'images', got {names!r:.100}")
        check_keys(f"nodes[{i}]", node, op.wanted, op.also)
        xs = [self.last] if names is None else [self.values[name] for name in names]
        if len(xs) > 1 and op not in (OPS["add"], OPS["concatenate"]):
            raise ValueError(f"nodes[{i}] reads one input, got {len(xs)}")
        self.last = self.values[given] = op.make(self, given, node, xs)

    # ------------------------------------------------------------ weights

    def conv(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """(K, C / groups, kh, kw) on a map."""
        x, = xs
        weight = _array(f"{name} weight", fields["weight"], 4)
        if check_choice(f"{name} order", fields.get("order", "CHW"), ORDERS) == "CHW":
            weight = weight.transpose(0, 2, 3, 1)
        keys = ("stride", "padding", "dilation", "groups", "pad_value")
        found = settings_of(name, {key: fields[key] for key in keys if key in fields}, weight.shape[1:3], x.shape[:2])
        return self._weighed(Weigh(name, weight, pads=found.pop("padding", NO_PADDING), **found), fields, x)

    def dense(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """(U, F) on a row, or a map in C, H, W order."""
        x, = xs
        weight = _array(f"{name} weight", fields["weight"], 2)
        order = check_choice(f"{name} flatten", fields.get("flatten", "CHW"), ORDERS)
        if weight.shape[1] != math.prod(x.shape):
            raise ValueError(f"{name} weight must have {math.prod(x.shape)} columns, got {weight.shape[1]}")
        if len(x.shape) == 3 and order == "CHW":
            height, width, channels = x.shape
            weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(weight.shape)
        return self._weighed(Weigh(name, weight), fields, x)

    def _weighed(self, step: Weigh, fields: dict[str, Any], x: Value) -> Value:
        weight, latent = step.weight, check_choice(f"{step.name} latent", fields.get("latent", "no"), LATENT)
        bias = _array(f"{step.name} bias", fields["bias"], 1) if "bias" in fields else None
        if bias is not None and len(bias) != len(weight):
            raise ValueError(f"{step.name} bias must have {len(weight)} values, got {len(bias)}")
        step = replace(step, latent=latent != "no")
        if latent != "scaled":
            return self.sketch.weigh(step, x, bias)
        scale = np.abs(weight).mean(axis=tuple(range(1, weight.ndim)), dtype=np.float64)
        return self.sketch.affine(f"{step.name}'s scale", self.sketch.weigh(step, x), scale,
                                  0.0 if bias is None else bias)

    # ------------------------------------------------------------ number by number

    def norm(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """Batch norm, folded in float64."""
        parts: dict[str, np.ndarray] = {
            key: _array(f"{name} {key}", fields[key], 1) for key in ("mean", "var", "gamma", "beta") if key in fields}
        made = batch_norm(name, parts, check_real(f"{name} eps", fields.get("eps", 1e-5), 0))
        return self.sketch.affine(name, xs[0], made.scale, made.intercept)

    def affine(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """x * scale + shift."""
        scale, shift = (_array(f"{name} {key}", fields.get(key, default), None)
                        for key, default in (("scale", 1.0), ("shift", 0.0)))
        return self.sketch.affine(name, xs[0], scale, shift)

    def sign(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """x >= threshold, or x > threshold."""
        if not isinstance(fields.get("strict", False), bool):
            raise TypeError(f"{name} strict must be True (sign(0) is -1) or False (it is +1)")
        x = xs[0]
        if "threshold" in fields:
            threshold = _array(f"{name} threshold", fields["threshold"], None).astype(np.float64)
            x = self.sketch.affine(f"{name}'s threshold", x, 1.0, -threshold)
        return self.sketch.sign(name, x, -1 if fields.get("strict", False) else 1)

    def prelu(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """x above 0, else x * slope."""
        return self.sketch.prelu(name, xs[0], _array(f"{name} slope", fields["slope"], None))

    def relu(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """x above 0, else 0."""
        return self.sketch.clip(name, xs[0], 0.0, math.inf)

    def clip(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """x brought into low..high."""
        low, high = (check_real(f"{name} {key}", fields.get(key, default))
                     for key, default in (("low", -1.0), ("high", 1.0)))
        return self.sketch.clip(name, xs[0], low, high)

    # ------------------------------------------------------------ maps

    def add(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """The sum of its inputs."""
        return self.sketch.add(name, *xs)

    def concatenate(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """Its inputs' channels side by side."""
        return self.sketch.concatenate(name, *xs)

    def max_pool(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """The largest of each window."""
        return self.sketch.largest(name, xs[0], *_windows(name, fields, xs[0]))

    def average_pool(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """The average of each window."""
        if not isinstance(fields.get("whole", True), bool):
            raise TypeError(f"{name} whole must be True or False")
        return self.sketch.average(name, xs[0], *_windows(name, fields, xs[0]), fields.get("whole", True))

    def global_average(self, name: str, fields: dict[str, Any], xs: list[Value]) -> Value:
        """The average over all positions."""
        return self.sketch.global_average(name, xs[0])


def _windows(name: str, fields: dict[str, Any], x: Value) -> tuple[Pair, Pair, Sides]:
    """(Size, stride, padding) of a pool."""
    size = check_setting(f"{name} size", fields["size"], 2, 1)
    given = {"stride": fields.get("stride", size), "padding": fields.get("padding", 0)}
    found = settings_of(name, given, size, x.shape[:2])
    return size, found["stride"], found["padding"]


def _array(name: str, value: Any, n_axes: int | None) -> np.ndarray:
    """Numbers of so many axes; None: one number, or one a channel."""
    check_unmasked(name, value)
    found = np.asarray(value)
    if found.dtype.kind not in "iuf" or (found.ndim != n_axes if n_axes is not None else found.ndim > 1) or \
            found.size == 0:
        wanted = "one number, or one a channel" if n_axes is None else f"an array of {n_axes} axes"
        raise ValueError(f"{name} must be {wanted}, got {found.dtype} {found.shape}")
    return found


_WEIGHTS = ("bias", "latent")
OPS: dict[str, _Op] = {
    "conv": _Op(_List.conv, ("weight",), (*_WEIGHTS, "order", "stride", "padding", "pad_value", "dilation", "groups")),
    "dense": _Op(_List.dense, ("weight",), (*_WEIGHTS, "flatten")),
    "norm": _Op(_List.norm, ("mean", "var"), ("gamma", "beta", "eps")),
    "affine": _Op(_List.affine, (), ("scale", "shift")),
    "sign": _Op(_List.sign, (), ("threshold", "strict")),
    "prelu": _Op(_List.prelu, ("slope",)), "relu": _Op(_List.relu), "clip": _Op(_List.clip, (), ("low", "high")),
    "add": _Op(_List.add), "concatenate": _Op(_List.concatenate),
    "max-pool": _Op(_List.max_pool, ("size",), ("stride", "padding")),
    "average-pool": _Op(_List.average_pool, ("size",), ("stride", "padding", "whole")),
    "global-average": _Op(_List.global_average)}
