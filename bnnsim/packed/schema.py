"""What a packed network is as plain data: the rules that files and `PackedNetwork` share.

A network is a dict of ``input_shape`` (C, H, W), ``input_offset`` 0..255, ``metadata`` {str: str} and
``layers``, a list of dicts with

* ``kind`` "dense" or "conv", ``n_in`` (features F, or channels C), ``words`` uint64 (U, ceil(F / 64)) or (K,
  kh, kw, ceil(C / 64));
* ``stride``, ``dilation``, ``pool``, ``pool_stride``: pairs, of rows and of columns; ``padding``, ``pool_padding``:
  (top, left, bottom, right); ``pad_value`` (0, 1, -1; at the first layer in pixel levels after the offset);
  ``replicate``, whether the padding repeats the border instead; ``groups``, with n_in channels read by each. One
  integer stands for all of a pair or of four sides. What is not given, and what a dense layer has, does nothing;
* hidden layers: ``threshold`` int32 (U,) and ``inverted`` bool (U,), y = (h >= threshold) xor inverted; the
  last: ``mean``, ``scale``, ``shift`` float64 (U,), score = (h - mean) * scale + shift, where h of a conv is the sum
  over its positions; or, if it is dense, a threshold as the others: its scores are +-1.

A conv gives (H + top + bottom - dilation (kh - 1) - 1) // stride + 1 rows, its pool (rows + top + bottom - pool) //
pool_stride + 1 of them, and columns alike; a dense layer behind it reads its output, or the image if it is the first
layer, flattened in H, W, C order.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from bnnsim.checks import check_choice, check_finite, check_int
from bnnsim.files.announced import Found, check_fits
from bnnsim.packed.kinds import KINDS, MAX_PADDED, MAX_SIZE, MAX_VALUES, stage_of
from bnnsim.packed.layer import HIDDEN, OUTPUT, SETTINGS, PackedLayer
from bnnsim.packed.settings import check_setting
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import n_words

Fields = dict[str, Any]         # a network, or a layer, as plain data

NETWORK = ("input_shape", "input_offset", "metadata", "layers")
COMMON = ("kind", "n_in", "words")

MAX_LAYERS = 1000
MAX_TAPS = 4 * MAX_PADDED       # output positions times taps of all layers: each has tables of its positions
MAX_PREACTIVATION = 2**31 - 2   # a threshold lies at most just past it, and is an int32


def check_network(network: Fields) -> Fields:
    """A network as this module describes it.

    Parameters
    ----------
    network : dict
        Arrays may be `Announced`: then all but their values is checked.

    Returns
    -------
    dict
        The same with plain integers and C-contiguous arrays, not copied where they are already.

    Raises
    ------
    ValueError, TypeError
        What was wanted and what came; the message names the layer.
    """
    check_keys("network", network, NETWORK)
    channels, height, width = input_shape = check_input_shape(network["input_shape"])
    offset = check_int("input_offset", network["input_offset"], 0, 255)
    layers = network["layers"]
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers must be a list of dicts, got {type(layers).__name__}")
    check_int("the number of layers", len(layers), 1, MAX_LAYERS)
    clean, taps = list[Fields](), 0
    shape: tuple[int, ...] = (height, width, channels)
    for i, layer in enumerate(layers):
        fields, stage = check_layer(i, layer, shape, offset, last=i == len(layers) - 1)
        clean.append(fields)
        shape, taps = stage.output_shape, taps + stage.n_positions * math.prod(stage.patch_shape[:2])
        check_int(f"the number of output positions times that of taps, of layers up to [{i}]", taps, high=MAX_TAPS)
    return {"input_shape": input_shape, "input_offset": offset, "layers": clean,
            "metadata": check_metadata(network["metadata"])}


def check_layer(i: int, layer: Fields, shape: tuple[int, ...], offset: int, last: bool) -> tuple[Fields, Stage]:
    """The clean layer, and it at its place: number i, on what has this shape, (H, W, C) or (F,)."""
    name = f"layers[{i}]"
    to_bits = not last or isinstance(layer, dict) and "threshold" in layer and layer.get("kind") == "dense"
    clean = check_stored(name, layer, HIDDEN if to_bits else OUTPUT, f"{name} (the last layer)" if last else name)
    stage = check_stage(name, stage_of(PackedLayer(**clean), i, shape, None if i else offset))
    if last and not to_bits and stage.layer.pools:
        raise ValueError(f"{name} (the last layer) must not have a pool: it sums over its positions, got a pool of "
                         f"{clean['pool']}")
    return clean, stage


def check_stored(name: str, layer: Fields, ending: Mapping[str, np.dtype], title: str | None = None,
                 kinds: Mapping[str, type[Stage]] = KINDS) -> Fields:
    """The clean fields of a layer of bits by itself, which ends in these arrays."""
    check_keys(title or name, layer, (*COMMON, *ending), SETTINGS)
    if isinstance(layer["kind"], str) and layer["kind"] == "bias" and "bias" not in kinds:
        raise ValueError(f"{name} kind is bias: of networks that store one only a PackedGraph has the layers")
    clean: Fields = {"kind": check_choice(f"{name} kind", layer["kind"], kinds)}
    kind = kinds[clean["kind"]]
    clean["n_in"] = check_int(f"{name} n_in", layer["n_in"], 1, MAX_VALUES)
    clean["words"] = _check_words(f"{name} words", layer["words"], len(kind.axes), clean["n_in"])
    given = PackedLayer(**{key: layer[key] for key in (*COMMON, *SETTINGS) if key in layer})
    for key, limits in kind.limits.items():
        value = layer[key] if layer.get(key) is not None else getattr(given, key)
        clean[key] = check_setting(f"{name} {key}", value, SETTINGS[key], *limits)
    clean["replicate"] = bool(clean["replicate"])
    units = clean["n_in"] if clean["kind"] == "bias" else clean["words"].shape[0]
    for key, dtype in ending.items():
        clean[key] = _check_vector(f"{name} {key}", layer[key], dtype, units)
    return clean


def check_stage(name: str, stage: Stage) -> Stage:
    """A layer of clean fields at its place, which fits there."""
    stage.check(name)
    check_int(f"{name}: the largest pre-activation, which must fit int32,", stage.bound, high=MAX_PREACTIVATION)
    return stage


def check_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """A dict of str to str."""
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict of str to str, got {type(metadata).__name__}")
    for key, value in metadata.items():
        if type(key) is not str or type(value) is not str:
            raise TypeError(f"metadata must be a dict of str to str, got {key!r}: {value!r}; pass str(value)")
    return dict(metadata)


def check_keys(name: str, value: Mapping[str, object], wanted: Collection[str], also: Collection[str] = ()) -> None:
    """A dict with these keys and, of those in `also`, any."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict with {', '.join(wanted)}; got {type(value).__name__}")
    missing = [key for key in wanted if key not in value]
    extra = [key for key in value if key not in wanted and key not in also]
    if missing or extra:
        may = f", and may have {', '.join(also)}" if also else ""
        raise ValueError(f"{name} must have {'' if also else 'exactly '}{', '.join(wanted)}{may}; "
                         f"missing: {', '.join(missing) or 'none'}, "
                         f"unknown: {', '.join(map(repr, extra[:5])) or 'none'}")


def check_input_shape(value: Sequence[int]) -> tuple[int, int, int]:
    """Three sizes (C, H, W), as plain integers."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ValueError(f"input_shape must be three integers (C, H, W), got {value!r}")
    channels, height, width = (check_int(f"input_shape[{i}]", size, 1, MAX_SIZE) for i, size in enumerate(value))
    check_int("the number of values of an input image", channels * height * width, high=MAX_VALUES)
    return channels, height, width


def _check_words(name: str, words: Found, n_axes: int, n_in: int) -> Found:
    words = check_fits(name, words, np.dtype(np.uint64), (*[None] * (n_axes - 1), n_words(n_in)))
    if 0 in words.shape:
        raise ValueError(f"{name} must not be empty, got shape {words.shape}")
    check_int(f"{name}: the number of units", words.shape[0], 1, MAX_VALUES)
    if isinstance(words, np.ndarray):
        check_padding(name, words, n_in)
    return words


def check_padding(name: str, words: np.ndarray, n_in: int) -> None:
    """Words (..., ceil(n_in / 64)) without a 1 in bits that do not exist."""
    if n_in % 64:
        padding = words[..., -1] >> np.uint64(n_in % 64)
        if padding.any():
            where = tuple(int(i) for i in np.argwhere(padding)[0])
            raise ValueError(f"{name} must have 0 in every padding bit (past feature {n_in - 1}), got 1 in "
                             f"row {where}")


def _check_vector(name: str, value: Found, dtype: np.dtype, units: int) -> Found:
    value = check_fits(name, value, dtype, (units,))
    if isinstance(value, np.ndarray) and dtype.kind == "f":
        check_finite(name, value)
    if isinstance(value, np.ndarray) and dtype.kind == "b" and value.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"{name} must hold False and True, got byte {value.view(np.uint8).max()}")
    return value
