"""Weights that a file has as packed words: integers of C headers, digits of memory texts. U units, F features, W bits.

The order of bits in a word is never guessed: whoever reads says `bit_order`, or a first line that bnnsim itself wrote
does. Where units and taps begin follows from how many words there are, and filling bits must be 0: if that leaves more
than one way to read them, it is refused.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnsim.interop.spec_geometry import conv_settings, kernel_of, pool_of, said
from bnnsim.interop.steps import sizes_behind
from bnnsim.training.spec_words import Token

BIT_ORDERS = ("lsb", "msb")
SAY = ("say bit_order='lsb' where the lowest bit of a word is the first weight, bit_order='msb' where the highest, the "
       "first digit, is")


@dataclass(frozen=True)
class Digits:
    """Of a memory text.

    base : of its digits
    is_told : whether these, or its name, tell the base
    note : what its first line says, if `export_memory` wrote it
    """

    base: int
    is_told: bool
    note: str = ""

    @property
    def offset(self) -> int:
        """What is taken from pixels, where a first layer's note says it."""
        match = re.search(r"pixels less (\d{1,3})$", self.note)
        return int(match[1]) if match else 0


def unpacked(name: str, value: np.ndarray, shape: Sequence[int], bit_order: str | None, is_text: bool) -> np.ndarray:
    """Weights 0 and 1, uint8, of a shape (U, ...), from words in a row (of C), or rows of digits (of a text)."""
    if bit_order is None:
        raise ValueError(f"{name} has packed words: {SAY}")
    bits = _bits(name, value, bit_order, is_text)
    n_words, width = bits.shape
    ways: list[np.ndarray] = []
    for n in sorted({math.prod(shape), math.prod(shape[1:]), shape[-1]}):       # a run of bits that begins a word
        n_words_of_run = -(-n // width)
        if n_words * n != math.prod(shape) * n_words_of_run:
            continue
        runs = bits.reshape(-1, n_words_of_run * width)
        ways += [way.reshape(shape) for way in _without_filling(runs, n, width, bit_order, is_text)]
    different = [way for i, way in enumerate(ways) if not any(np.array_equal(way, other) for other in ways[:i])]
    if len(different) != 1:
        why = f"can be read in {len(different)} ways" if different else "do not hold"
        raise ValueError(f"{name}: {n_words:,} words of {width} bits {why} {' x '.join(map(str, shape))} weights with "
                         f"bit_order='{bit_order}' and filling bits of 0 behind each unit, or tap")
    return different[0]


def _bits(name: str, value: np.ndarray, bit_order: str, is_text: bool) -> np.ndarray:
    """uint8 (words, W), in the order of features."""
    if is_text:
        return value if bit_order == "msb" else value[:, ::-1]
    if value.dtype.kind not in "iu" or (value.dtype.kind == "i" and value.dtype.itemsize == 8):
        raise ValueError(f"{name}: how many bits its words have is not known ({value.dtype}): declare it as uint8_t, "
                         "uint16_t, uint32_t or uint64_t")
    data = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).reshape(-1, 1).view(np.uint8)
    bits = np.unpackbits(data, axis=1, bitorder="little")
    return bits if bit_order == "lsb" else bits[:, ::-1]


def _without_filling(runs: np.ndarray, n: int, width: int, bit_order: str, is_text: bool) -> list[np.ndarray]:
    """The n bits of each run, where the others are 0: behind them, or before those of a last word, a number."""
    n_whole = n // width * width
    last_is_number = bit_order == "msb" and n > n_whole         # and not its bits from the highest on
    ways = [] if runs[:, n:].any() or (is_text and last_is_number) else [runs[:, :n]]
    if last_is_number:
        fill = runs.shape[1] - n
        if not runs[:, n_whole:n_whole + fill].any():
            ways.append(np.concatenate([runs[:, :n_whole], runs[:, n_whole + fill:]], 1))
    return ways


def unpacked_weights(weights: list[tuple[str, np.ndarray]], words: Sequence[Token], input_shape: tuple[int, int, int],
                     bit_order: str | None, texts: Mapping[str, Digits]) -> list[tuple[str, np.ndarray]]:
    """Weights of a spec's layers in PyTorch's layout; what is not packed stays as it is."""
    found, (channels, *sizes) = [], input_shape
    given = iter(weights)
    for word in words:
        if "units" in word:
            name, value = next(given)
            shape: tuple[int, ...] = (word["units"], channels * math.prod(sizes))
            found.append((name, _one(name, value, shape, word, bit_order, texts)))
            channels, sizes = word["units"], [1, 1]
        elif "channels" in word:
            name, value = next(given)
            settings, kernel = conv_settings(word, (sizes[0], sizes[1])), kernel_of(word)
            shape = (word["channels"], *kernel, channels // settings["groups"] if "groups" in settings else channels)
            found.append((name, _one(name, value, shape, word, bit_order, texts)))
            geometry: dict[str, Any] = {key: settings[key] for key in ("stride", "pads", "dilation") if key in settings}
            channels = word["channels"]
            sizes = list(sizes_behind(name, sizes, kernel, **{"stride": (1, 1), **geometry}))
        elif "pool" in word:
            sizes = list(pool_of(word, (sizes[0], sizes[1])).sizes(sizes))
    return found


def _one(name: str, value: np.ndarray, shape: tuple[int, ...], word: Token, bit_order: str | None,
         texts: Mapping[str, Digits]) -> np.ndarray:
    plain, text = (shape[0], shape[-1], *shape[1:-1]), texts.get(name)
    if text is None and (bit_order is None or value.dtype.kind not in "iu" or value.shape in (plain, _in_a_row(plain))):
        return value                                            # what is wrong with it is said where it is weighed
    if text is not None and text.base == 2 and bit_order is None and len(shape) == 2:
        return value                                            # the first digit is the first weight
    is_ours = text is not None and bool(text.note)
    bits = unpacked(name, value, shape, "msb" if is_ours else bit_order, text is not None)
    if len(shape) > 2 and shape[1:-1] != (1, 1) and value.shape[:-1] != shape[:-1] and not is_ours:
        raise ValueError(f"{name}: in which order a kernel's weights stand in its words is not told: give {said(word)} "
                         "in a layer list, with its shape and order, {'weight': '" + name + "', 'shape': "
                         f"{plain}, 'order': 'CHW'}} or {{..., 'shape': {shape}, 'order': 'HWC'}}")
    return bits if bits.ndim == 2 else np.moveaxis(bits, -1, 1)


def _in_a_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(K, C, 1, kw) as (K, C, kw)."""
    return (*shape[:2], shape[3]) if len(shape) == 4 and shape[2] == 1 else shape
