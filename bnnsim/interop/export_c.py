"""A network as a C99 header: weights, thresholds, and a function that classifies an image, in integers alone.

No library is needed but <stdint.h>. Bit f of a row is bit f % 32 of word f // 32; a layer behind bits has the words of
each tap in a row, a layer of pixels all bits of a unit side by side. Scores are 64-bit integers: see `export_scores`.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bnnsim.interop.export_scores import IntegerScores, integer_scores
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage

TEMPLATE = Path(__file__).with_name("export_c.h")
A_LINE = 8                          # numbers in a line
REPLICATE = 2                       # as in the template


def c_content(network: PackedNetwork, path: str) -> Iterator[bytes]:
    """The parts of the file; its name gives functions and arrays their prefix."""
    name = prefix_of(path)
    scores = integer_scores(network.stages[-1])
    template = TEMPLATE.read_text(encoding="ascii")
    head, functions = template.split("/* ---- arrays ---- */\n")
    most = max((_bits_out(network, i) + 31) // 32 for i in range(len(network.layers)))
    facts = {"@NAME@": name, "@UPPER@": name.upper(), "@SHAPE@": "".join(f"[{n}]" for n in network.input_shape),
             "@CLASSES@": str(network.n_classes), "@EXPONENT@": str(scores.exponent),
             "@VALUES@": str(int(np.prod(network.input_shape))), "@OFFSET@": str(int(network.input_offset)),
             "@LAYERS@": str(len(network.layers)), "@WORDS@": str(most), "@CHECKSUM@": network.checksum}

    def filled(text: str) -> bytes:
        return re.sub("@[A-Z]+@", lambda found: facts[found[0]], text).encode()

    yield filled(head)
    for stage in network.stages:
        yield from _arrays(name, stage)
    yield _score_arrays(name, scores)
    yield _table(name, network)
    yield filled(functions)


def prefix_of(path: str) -> str:
    """A C name of a file's: fcnn of fcnn.h, bnn_2x of 2x.h."""
    found = re.sub(r"\W+", "_", os.path.splitext(os.path.basename(path))[0], flags=re.ASCII).strip("_").lower()
    return found if re.match("[a-z]", found) else f"bnn_{found}".rstrip("_")


def _bits_out(network: PackedNetwork, i: int) -> int:
    """Bits, with those that fill words, that layer i gives."""
    positions = int(np.prod(network.stages[i].output_shape[:-1], dtype=np.int64))
    return positions * _step(network, i)


def _step(network: PackedNetwork, i: int) -> int:
    """Bits from one position of what layer i gives to the next: whole words, but side by side for a row."""
    units = network.layers[i].units
    is_row = i + 1 < len(network.layers) and network.stages[i + 1].reads_rows
    return units if is_row else 32 * ((units + 31) // 32)


def _words(stage: Stage) -> np.ndarray:
    """uint32 (U, words of a unit)."""
    bits = stage.layer.signs() > 0
    if not stage.reads_pixels and not stage.reads_rows:
        bits = bits.reshape(len(bits), -1, stage.layer.n_in)    # a row of words a tap
    room = np.zeros((*bits.shape[:-1], 4 * ((bits.shape[-1] + 31) // 32)), np.uint8)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    room[..., :packed.shape[-1]] = packed
    return room.view("<u4").reshape(len(bits), -1)


def _array(kind: str, name: str, words: list[str]) -> Iterator[bytes]:
    yield f"static const {kind} {name}[{len(words)}] = {{\n".encode()
    for start in range(0, len(words), 512 * A_LINE):
        lines = (", ".join(words[i:i + A_LINE]) for i in range(start, min(start + 512 * A_LINE, len(words)), A_LINE))
        yield "".join(f"    {line},\n" for line in lines).encode()
    yield b"};\n\n"


def _arrays(name: str, stage: Stage) -> Iterator[bytes]:
    words = _words(stage)
    yield from _array("uint32_t", f"{name}_weights{stage.index}", [f"0x{word:08x}u" for word in words.ravel().tolist()])
    if stage.layer.threshold is not None:
        yield from _array("int32_t", f"{name}_thresholds{stage.index}", list(map(str, stage.theta.tolist())))
        yield from _array("uint8_t", f"{name}_inverted{stage.index}",
                          list(map(str, stage.inverted.astype(int).tolist())))


def _score_arrays(name: str, scores: IntegerScores) -> bytes:
    return b"".join(part for what, values in (("factors", scores.factor), ("terms", scores.term))
                    for part in _array("int64_t", f"{name}_{what}", [f"INT64_C({value})" for value in values.tolist()]))


def _table(name: str, network: PackedNetwork) -> bytes:
    rows = []
    for i, stage in enumerate(network.stages):
        sizes = [*_read_sizes(stage, network, i), *stage.map_shape, stage.layer.units, *stage.layer.windows[:6],
                 *stage.pooled_shape, _step(network, i), _words(stage).shape[1]]
        ending = ["0", "0"] if stage.layer.threshold is None else [f"{name}_thresholds{i}", f"{name}_inverted{i}"]
        rows.append(f"    {{{', '.join([*map(str, sizes), f'{name}_weights{i}', *ending])}}},\n")
    return f"static const {name}_layer {name}_layers[{len(rows)}] = {{\n{''.join(rows)}}};\n\n".encode()


def _read_sizes(stage: Stage, network: PackedNetwork, i: int) -> list[int]:
    """What a layer reads, and how: the first fields of the struct."""
    layer, shape = stage.layer, stage.input_shape
    step = _step(network, i - 1) if i else 0                    # pixels have none
    if stage.reads_rows:                                        # what a row of bits was before does not matter
        height, width, channels = (shape[0], shape[1], shape[2]) if stage.reads_pixels else (1, 1, layer.n_in)
        return [height, width, step, channels, layer.units, height, width, 1, 1, 1, 1, 0, 0, 0]
    return [shape[0], shape[1], step, layer.n_in, layer.units // layer.groups, *layer.words.shape[1:3], *layer.stride,
            *layer.dilation, *layer.padding[:2], REPLICATE if layer.replicate else layer.pad_value]
