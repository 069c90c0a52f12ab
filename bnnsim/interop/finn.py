"""FINN's folders of .bin files, as BNN-PYNQ has them: ``L-P-weights.bin`` and ``L-P-thres.bin`` of layer L, element P.

Files are 64-bit words: of weights, each has the SIMD bits of some columns of a row (bit 1 is +1); rows go round the
elements. Of thresholds, each is one number: popcounts, or in the first layer sums of fixed-point pixels. An element
compares with >. U units (rows), F columns in (kh, kw, C) order.

References
----------
Xilinx BNN-PYNQ: the layout is reconstructed from its published parameters of CNV W1A1, whose scores come out exactly.
"""

import os
import re
from collections.abc import Sequence

import numpy as np

from bnnsim.interop.bounded import read_bytes
from bnnsim.interop.spec_geometry import conv_settings, kernel_of, pool_of
from bnnsim.interop.steps import Flatten, Network, Sign, Step, Total, Weigh, affine
from bnnsim.training.spec_words import Token, parse_spec

MAX_BYTES = 2**26                   # of one file
PIXEL_OFFSET = 128                  # pixels are 8-bit fixed-point numbers: floor((2 u / 255 - 1) * 128) = u - 128
_NAME = re.compile(r"(\d{1,3})-(\d{1,4})-(weights|thres)\.bin")
Files = dict[tuple[int, str], list[str]]


def read_finn(folder: str, names: Sequence[str], spec: object, input_shape: tuple[int, int, int] | None) -> Network:
    """The chain of a folder; the spec says how its rows and columns make layers."""
    if not isinstance(spec, str) or input_shape is None:
        raise ValueError("FINN's files hold bits, not which layers they make: give a spec such as 'C64p0 C64p0 MP2 "
                         "FC10', and input_shape")
    words, files = parse_spec(spec), _files(folder, names)
    layers = [word for word in words if "units" in word or "channels" in word]
    if sorted({layer for layer, _ in files}) != list(range(len(layers))):
        raise ValueError(f"spec has {len(layers)} layers, the folder those of numbers "
                         f"{sorted({layer for layer, _ in files})}")
    steps: list[Step] = [affine("FINN's pixels", shift=-PIXEL_OFFSET)]
    shape: tuple[int, ...] = tuple(input_shape)
    i = 0
    for word in words:
        if "pool" in word:
            pool = pool_of(word, (shape[1], shape[2]))
            steps.append(pool)
            shape = (shape[0], *pool.sizes(shape[1:]))
        elif "sum" in word:
            steps.append(Total("SUM", False))
        else:
            made, shape = _layer(i, word, shape, files, i == len(layers) - 1 and (i, "thres") not in files)
            steps += made
            i += 1
    return Network("FINN .bin", tuple(steps), input_shape)


def _files(folder: str, names: Sequence[str]) -> Files:
    """Paths of each layer's weights and thresholds, in the order of its elements."""
    found: dict[tuple[int, str], dict[int, str]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if match:
            found.setdefault((int(match[1]), match[3]), {})[int(match[2])] = os.path.join(folder, name)
    for (layer, what), paths in found.items():
        if sorted(paths) != list(range(len(paths))):
            raise ValueError(f"layer {layer} has {what} of elements {sorted(paths)[:20]}: some are missing")
    return {key: [paths[element] for element in range(len(paths))] for key, paths in found.items()}


def _layer(i: int, word: Token, shape: tuple[int, ...], files: Files,
           gives_scores: bool) -> tuple[list[Step], tuple[int, ...]]:
    """(steps of a layer, the shape (C, H, W) or (F,) behind it)."""
    units, is_conv = word.get("units") or word["channels"], "channels" in word
    if is_conv and len(shape) != 3:
        raise ValueError(f"C{units} cannot follow an FC")
    kernel = kernel_of(word) if is_conv else ()
    settings = conv_settings(word, (shape[1], shape[2])) if is_conv else {}
    groups = settings.get("groups", 1)
    n_columns = int(np.prod([*kernel, shape[0] // groups] if kernel else shape))
    weights = files.get((i, "weights"), [])
    weight, rows_there = _weights(i, [_words(path) for path in weights], n_columns, units)
    name = f"{i}-*-weights.bin" + (f" ({rows_there - units} rows of filling left out)" if rows_there != units else "")
    if kernel:
        weight = weight.reshape(units, *kernel, shape[0] // groups)
    made: list[Step] = [] if kernel or len(shape) == 1 else [Flatten("flatten", "HWC")]
    weigh = Weigh(name, weight, sources=(name,), **settings)
    made.append(weigh)
    if not gives_scores:
        made += [_threshold(i, files, units, n_columns), Sign("sign >", -1)]
    return made, (units, *weigh.sizes(shape[1:])) if kernel else (units,)


def _words(path: str) -> np.ndarray:
    data = read_bytes(path, MAX_BYTES)
    if not data or len(data) % 8:
        raise ValueError(f"{os.path.basename(path)} has {len(data)} bytes, which are no 64-bit words")
    return np.frombuffer(data, "<u8")


def _weights(i: int, elements: list[np.ndarray], n_columns: int, units: int) -> tuple[np.ndarray, int]:
    """+-1 of the rows wanted, int8 (U, F), and how many rows there are.

    Element P has rows P, P + n_elements, ...; a row is n_columns / SIMD words.
    """
    n_elements = len(elements)
    if n_elements == 0 or len({len(words) for words in elements}) != 1:
        raise ValueError(f"layer {i}: all elements must have weights, and as many words of them")
    n_words, least = len(elements[0]), -(-units // n_elements)
    for simd in range(1, 65):
        if n_columns % simd == 0 and n_words % (n_columns // simd) == 0:
            n_rows = n_words // (n_columns // simd)
            if least <= n_rows < least + 64 // n_elements + 1 and not np.any(np.stack(elements) >> np.uint64(simd - 1)
                                                                             >> np.uint64(1)):
                words = np.stack(elements, 1).reshape(n_rows, n_columns // simd, n_elements)
                bits = words.transpose(0, 2, 1)[..., None] >> np.arange(simd, dtype=np.uint64) & np.uint64(1)
                signs = (2 * bits.reshape(n_rows * n_elements, n_columns).astype(np.int8) - 1)
                return signs[:units], n_rows * n_elements
    raise ValueError(f"layer {i}: {n_elements} elements with {n_words} words each are no {units} rows of {n_columns} "
                     "bits: the spec's units, kernel or padding are others")


def _threshold(i: int, files: Files, units: int, n_columns: int) -> Step:
    """h > t: of popcounts p, h = 2 p - F; of the first layer in 1/256, of sums of pixels in 1/128."""
    values = [_words(path).astype(np.int64) for path in files.get((i, "thres"), [])]
    if not values or len({len(each) for each in values}) != 1 or len(values) * len(values[0]) < units:
        raise ValueError(f"layer {i} has no threshold for each of its {units} units")
    t = np.stack(values, 1).reshape(-1)[:units].astype(np.float64)
    return affine(f"{i}-*-thres.bin", mean=t / 2 if i == 0 else 2 * t - n_columns, sources=(f"{i}-*-thres.bin",))
