"""A layer list: the fields of `PackedNetwork.from_arrays`, a dict a layer, with names of a file's arrays in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bnnsim.checks import check_int
from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.input_codes import Code
from bnnsim.interop.packed_words import SAY, unpacked
from bnnsim.interop.rows import Row, bias_row
from bnnsim.interop.spec import Conventions, numbers_of
from bnnsim.interop.steps import Weigh
from bnnsim.interop.weights import Reading, signs_and_scale, signs_of_bias

ARRAYS = ("weight", "bias", "threshold", "inverted", "gamma", "beta", "mean", "var")


def read_layers(arrays: Arrays, layers: Sequence[Mapping[str, Any]], code: Code, reading: Reading,
                conventions: Conventions) -> tuple[Code, list[dict[str, Any]], list[Row]]:
    """How images enter, the fields as `PackedNetwork.from_arrays` takes them, and what became of what."""
    code = code.settled(code.scale, code.shift - conventions.offset)
    if (code.scale, code.rest) != (1.0, 0.0):
        raise ValueError("a layer list takes input='pixels' or 'binary': fold other scales into its first norm")
    if conventions.norm_first:
        raise ValueError("a layer list has its poolings before its norms: give a spec, which takes norm_first=True")
    fields, rows = [], list[Row]()
    first_dense = True                                          # which reads a map, or an image
    for i, layer in enumerate(layers):
        names = {key: layer[key] for key in ARRAYS if isinstance(layer.get(key), str)}
        missing = [value for value in names.values() if value not in arrays]
        if missing or "weight" not in names:
            raise ValueError(f"layers[{i}] names {', '.join(missing) or 'no weight'}; the file has "
                             f"{', '.join(list(arrays)[:30])}")
        given: dict[str, Any] = {**layer, **{key: arrays[value] for key, value in names.items()}}
        given["weight"] = _weights(i, names["weight"], given, conventions)
        given.pop("shape", None)
        if given["weight"].ndim == 3:                           # a convolution along columns
            given["weight"] = given["weight"][:, :, None] if layer.get("order") == "CHW" else given["weight"][:, None]
        note = [conventions.bit_note(names["weight"], given["weight"])] if "shape" in layer else []
        signs, scale, told = signs_and_scale(Weigh(names["weight"], given["weight"]), reading)
        if scale is not None:
            raise ValueError(f"{names['weight']} has +-s a unit: in a layer list fold s into the norm, or give a spec")
        to_bits = i < len(layers) - 1 or "threshold" in layer
        fields.append({**({"strict": True} if reading.at_zero == -1 and to_bits else {}), **given, "weight": signs})
        kind = "conv" if signs.ndim == 4 else "dense"
        fields[-1] |= _conventional(fields[-1], names, conventions, first_dense and kind == "dense")
        first_dense = first_dense and kind == "conv"
        sources = dict(names)
        bias_name = _store_bias(i, fields[-1], sources, reading, conventions)
        rows.append(Row(len(rows), kind, signs.shape, tuple(sources.values()), (*note, *told)))
        if fields[-1].get("store_bias"):
            rows.append(bias_row(len(rows), fields[-1]["bias"], bias_name))
    return code, fields, rows


def _store_bias(i: int, layer: dict[str, Any], names: dict[str, str], reading: Reading,
                conventions: Conventions) -> tuple[str, ...]:
    """The name of a bias that is stored, taken out of those of the layer; its array is brought to +-1."""
    if layer.get("bias") is None or not layer.get("store_bias", conventions.stores_bias):
        return ()
    name = names.pop("bias", f"layers[{i}] bias")
    layer |= {"bias": signs_of_bias(name, layer["bias"], reading),
              "store_bias": layer.get("store_bias", True)}
    return (name,)


def _weights(i: int, name: str, layer: Mapping[str, Any], conventions: Conventions) -> np.ndarray:
    """Of a layer of a list; unpacked, where it has a shape."""
    text, value = conventions.texts.get(name), np.asarray(layer["weight"])
    if "shape" in layer:
        order = "msb" if text is not None and text.note else conventions.bit_order
        return unpacked(name, value, _shape(i, layer["shape"]), order, text is not None)
    if text is not None and (text.base == 16 or conventions.bit_order is not None):
        raise ValueError(f"{name} has packed words: give layers[{i}] the 'shape' of its weights, and {SAY}")
    return value


def _conventional(layer: dict[str, Any], names: Mapping[str, str], conventions: Conventions,
                  reads_map: bool) -> dict[str, Any]:
    """What a layer of a list does not say itself, and its thresholds as those of sums."""
    found: dict[str, Any] = {"eps": conventions.eps} if "var" in layer and "eps" not in layer else {}
    if reads_map and "flatten" not in layer:
        found["flatten"] = conventions.flatten
    fan_in = layer["weight"][0].size
    for key in {"threshold", "inverted"} & set(names):
        if names[key] in conventions.texts:
            found[key] = numbers_of(names[key], layer[key], conventions.texts[names[key]], fan_in)
    if "threshold" not in layer:
        return found
    if conventions.counts_agreeing(names.get("threshold", "")):
        if np.any(layer.get("padding", 0)) and layer.get("pad_value", 0) in (0, "zero") and not layer.get("replicate"):
            raise ValueError(f"{names['weight']}: thresholds of popcounts say nothing where a padding of 0 is no bit")
        found["threshold"] = 2 * np.asarray(found.get("threshold", layer["threshold"])).astype(np.float64) - fan_in
    return found


def _shape(i: int, given: Any) -> tuple[int, ...]:
    """Of weights in packed words."""
    if not isinstance(given, Sequence) or len(given) not in (2, 4):
        raise ValueError(f"layers[{i}] shape must be that of weights, (U, F), (K, C, kh, kw) or (K, kh, kw, C), got "
                         f"{str(given)[:60]}")
    return tuple(check_int(f"layers[{i}] shape", size, 1, 2**26) for size in given)
