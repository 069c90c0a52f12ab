"""What a packed network is as plain data: the rules that files and `PackedNetwork` share.

A network is a dict of ``input_shape`` (C, H, W), ``input_offset`` 0..255, ``metadata`` {str: str} and
``layers``, a list of dicts with

* ``kind`` "dense" or "conv", ``n_in`` (features F, or channels C), ``words`` uint64 (U, ceil(F / 64)) or (K,
  kh, kw, ceil(C / 64));
* ``stride``, ``padding``, ``pad_value`` (0, 1, -1; at the first layer in pixel levels after the offset),
  ``pool``: a dense layer has 1, 0, 0, 1;
* hidden layers: ``threshold`` int32 (U,) and ``inverted`` bool (U,), y = (h >= threshold) xor inverted; the
  last, which is dense: ``mean``, ``scale``, ``shift`` float64 (U,), score = (h - mean) * scale + shift.

A conv gives ((H + 2 padding - kh) // stride + 1) // pool rows, and columns alike; a dense layer behind it
reads its output, or the image if it is the first layer, flattened in H, W, C order.
"""

import math

import numpy as np

from bnnsim.checks import check_choice, check_finite, check_int
from bnnsim.files.announced import check_fits

NETWORK = ("input_shape", "input_offset", "metadata", "layers")
COMMON = ("kind", "n_in", "words", "stride", "padding", "pad_value", "pool")
HIDDEN = {"threshold": np.dtype(np.int32), "inverted": np.dtype(bool)}
OUTPUT = {"mean": np.dtype(np.float64), "scale": np.dtype(np.float64), "shift": np.dtype(np.float64)}

MAX_LAYERS = 1000
MAX_SIZE = 2**16                # of a height, a width, a padding ...
MAX_VALUES = 2**26              # of an image, or of the pre-activations of one image in one layer
MAX_PADDED = 2**24              # values of an image with its padding; and output positions times taps
MAX_PREACTIVATION = 2**31 - 2   # a threshold lies at most just past it, and is an int32


def check_network(network):
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
    clean, shape = [], (height, width, channels)
    for i, layer in enumerate(layers):
        level = 1 if i else max(offset, 255 - offset)
        layer, shape = _check_layer(f"layers[{i}]", layer, shape, level, last=i == len(layers) - 1)
        clean.append(layer)
    return {"input_shape": input_shape, "input_offset": offset, "layers": clean,
            "metadata": check_metadata(network["metadata"])}


def check_metadata(metadata):
    """A dict of str to str."""
    if not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict of str to str, got {type(metadata).__name__}")
    for key, value in metadata.items():
        if type(key) is not str or type(value) is not str:
            raise TypeError(f"metadata must be a dict of str to str, got {key!r}: {value!r}; pass str(value)")
    return dict(metadata)


def check_keys(name, value, wanted):
    """A dict with exactly these keys."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict with {', '.join(wanted)}; got {type(value).__name__}")
    missing, extra = [key for key in wanted if key not in value], [key for key in value if key not in wanted]
    if missing or extra:
        raise ValueError(f"{name} must have exactly {', '.join(wanted)}; "
                         f"missing: {', '.join(missing) or 'none'}, "
                         f"unknown: {', '.join(map(repr, extra[:5])) or 'none'}")


def check_input_shape(value):
    """Three sizes (C, H, W), as plain integers."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ValueError(f"input_shape must be three integers (C, H, W), got {value!r}")
    shape = tuple(check_int(f"input_shape[{i}]", size, 1, MAX_SIZE) for i, size in enumerate(value))
    check_int("the number of values of an input image", math.prod(shape), high=MAX_VALUES)
    return shape


def _check_layer(name, layer, shape, level, last):
    """The clean layer and the shape of its output; `shape` is its input, `level` the largest |input|."""
    ending = OUTPUT if last else HIDDEN
    check_keys(f"{name} (the last layer)" if last else name, layer, (*COMMON, *ending))
    clean = {"kind": check_choice(f"{name} kind", layer["kind"], ("dense",) if last else ("dense", "conv"))}
    clean["n_in"] = check_int(f"{name} n_in", layer["n_in"], 1, MAX_VALUES)
    clean["words"] = _check_words(f"{name} words", layer["words"], clean["kind"], clean["n_in"])
    dense = clean["kind"] == "dense"
    clean["stride"] = check_int(f"{name} stride", layer["stride"], 1, 1 if dense else MAX_SIZE)
    clean["padding"] = check_int(f"{name} padding", layer["padding"], 0, 0 if dense else MAX_SIZE)
    clean["pad_value"] = check_int(f"{name} pad_value", layer["pad_value"], *((0, 0) if dense else (-1, 1)))
    clean["pool"] = check_int(f"{name} pool", layer["pool"], 1, 1 if dense else MAX_SIZE)
    out = _dense_output(name, clean, shape) if dense else _conv_output(name, clean, shape)
    largest = clean["n_in"] * math.prod(clean["words"].shape[1:-1]) * level
    check_int(f"{name}: the largest pre-activation, which must fit int32,", largest, high=MAX_PREACTIVATION)
    for key, dtype in ending.items():
        clean[key] = _check_vector(f"{name} {key}", layer[key], dtype, out[-1])
    return clean, out


def _check_words(name, words, kind, n_in):
    n_words = (n_in + 63) // 64
    wanted = (None, n_words) if kind == "dense" else (None, None, None, n_words)
    words = check_fits(name, words, np.dtype(np.uint64), wanted)
    if 0 in words.shape:
        raise ValueError(f"{name} must not be empty, got shape {words.shape}")
    check_int(f"{name}: the number of units", words.shape[0], 1, MAX_VALUES)
    if n_in % 64 and isinstance(words, np.ndarray):
        padding = words[..., -1] >> np.uint64(n_in % 64)
        if padding.any():
            where = tuple(int(i) for i in np.argwhere(padding)[0])
            raise ValueError(f"{name} must have 0 in every padding bit (past feature {n_in - 1}), got 1 in "
                             f"row {where}")
    return words


def _check_vector(name, value, dtype, units):
    value = check_fits(name, value, dtype, (units,))
    if isinstance(value, np.ndarray) and dtype.kind == "f":
        check_finite(name, value)
    if isinstance(value, np.ndarray) and dtype.kind == "b" and value.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"{name} must hold False and True, got byte {value.view(np.uint8).max()}")
    return value


def _dense_output(name, layer, shape):
    if layer["n_in"] != math.prod(shape):
        came = " x ".join(map(str, shape))
        raise ValueError(f"{name} n_in must be {math.prod(shape)}, the number of values before it ({came}), "
                         f"got {layer['n_in']}")
    return (_units(layer),)


def _conv_output(name, layer, shape):
    if len(shape) != 3:
        raise ValueError(f"{name} is conv behind a dense layer: only dense layers may follow a dense one")
    if layer["n_in"] != shape[2]:
        raise ValueError(f"{name} n_in must be {shape[2]}, the channels before it, got {layer['n_in']}")
    sizes = [(size + 2 * layer["padding"] - kernel) // layer["stride"] + 1
             for size, kernel in zip(shape[:2], layer["words"].shape[1:3])]
    n_values = sizes[0] * sizes[1] * _units(layer)
    check_int(f"{name}: the number of values of its output", n_values, high=MAX_VALUES)
    _check_extent(name, layer, shape, sizes)
    out = tuple(size // layer["pool"] for size in sizes)
    if min(sizes) < 1 or min(out) < 1:
        kernel = " x ".join(map(str, layer["words"].shape[1:3]))
        raise ValueError(f"{name}: a {kernel} kernel with stride {layer['stride']}, padding "
                         f"{layer['padding']} and pool {layer['pool']} must fit its input of "
                         f"{shape[0]} x {shape[1]}, got an output of {out[0]} x {out[1]}")
    return (*out, _units(layer))


def _check_extent(name, layer, shape, sizes):
    """What running it takes stays in proportion: a few bytes of padding, kernel and stride would else ask for much."""
    padding, kernel = layer["padding"], layer["words"].shape[1:3]
    padded = math.prod(size + 2 * padding for size in shape[:2]) * shape[2] if padding else 0
    check_int(f"{name}: the number of values of its input with a padding of {padding}", padded, high=MAX_PADDED)
    check_int(f"{name}: the number of its output positions times that of its kernel's taps",
              max(sizes[0], 0) * max(sizes[1], 0) * math.prod(kernel), high=MAX_PADDED)


def _units(layer):
    """U, or K output channels, of a layer whose words may be `Announced`."""
    return layer["words"].shape[0]
