"""A network as memory contents for hardware: `$readmemh` texts (.mem) and Xilinx's .coe, one file an array.

Of NAME.mem: NAME.layerI.weight.mem, a word a unit, whose first (highest) bit is feature 0, in H, W, C order, behind 0
bits that fill its first digit: ``reg [0:F-1] weight [0:U-1];``. NAME.layerI.threshold.mem: where all summands are bits,
the least number of agreeing bits at which the unit is +1 (or -1, if inverted), F + 1 where there is none; where pixels
or zeros are summed up, the least sum, 32 bits in two's complement. NAME.layerI.inverted.mem: a bit a unit, in a digit.
NAME.factor.mem and NAME.term.mem, 64 bits in two's complement: a score is factor * h + term, see `export_scores`. The
first line of each file, a comment, says what it holds, and in the first layer what is taken from each pixel; by it
`load_network` reads them back. A last convolution is summed up over its positions: h is what
comes of it; a last layer with thresholds has neither factor nor term. Of G groups, unit u reads the channels of group
u // (U / G), in their order.

U units of F weights.
"""

import os
from collections.abc import Iterator

import numpy as np

from bnnsim.interop.export_scores import integer_scores
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage


def memory_contents(network: PackedNetwork, path: str) -> dict[str, Iterator[bytes]]:
    """Paths and what to write there."""
    stem, ending = os.path.splitext(path)
    write = _coe if ending.lower() == ".coe" else _mem
    return {f"{stem}.{name}{ending}": write(comment, words) for name, comment, words in _arrays(network)}


def _arrays(network: PackedNetwork) -> Iterator[tuple[str, str, list[str]]]:
    """(name, what it is, its words in hexadecimal digits)."""
    for stage in network.stages:
        layer, name = stage.layer, f"layer{stage.index}"
        pixels = f", pixels less {int(network.input_offset)}" if stage.reads_pixels and not network.reads_bits else ""
        in_groups = f" in {layer.groups} groups" if layer.groups > 1 else ""
        yield (f"{name}.weight", f"{layer.units} units of {layer.fan_in} weights{in_groups}, the first bit is feature "
               f"0{pixels}", _rows(layer.signs() > 0))
        if layer.threshold is not None:
            yield (f"{name}.threshold", *_thresholds(stage, network.reads_bits or not stage.reads_pixels))
            yield (f"{name}.inverted", f"{layer.units} units: 1 where +1 is below the threshold",
                   [str(int(bit)) for bit in stage.inverted])
    if network.layers[-1].threshold is not None:
        return
    scores = integer_scores(network.stages[-1])
    what = f"score = (factor * h + term) / 2**{scores.exponent}, two's complement"
    for name, values in (("factor", scores.factor), ("term", scores.term)):
        yield name, f"{name} of {network.n_classes} classes: {what}", _complements(values, 64)


def _rows(bits: np.ndarray) -> list[str]:
    """Rows of bits, filled in front to whole digits."""
    n_digits = -(-bits.shape[1] // 4)
    filled = np.zeros((len(bits), 8 * -(-n_digits // 2)), bool)
    filled[:, filled.shape[1] - bits.shape[1]:] = bits
    return [row.tobytes().hex()[-n_digits:] for row in np.packbits(filled, axis=1)]


def _complements(values: np.ndarray, n_bits: int) -> list[str]:
    return [f"{value % 2**n_bits:0{n_bits // 4}x}" for value in values.tolist()]


def _thresholds(stage: Stage, of_bits: bool) -> tuple[str, list[str]]:
    fan_in = stage.layer.fan_in
    if not of_bits or stage.border[1].tolist() != [fan_in]:
        return f"{stage.layer.units} least sums, two's complement", _complements(stage.theta, 32)
    least = np.clip((stage.theta + fan_in + 1) >> 1, 0, fan_in + 1)            # h = 2 p - F
    n_digits = -(-(fan_in + 1).bit_length() // 4)
    return (f"{stage.layer.units} least numbers of agreeing bits, of {fan_in}",
            [f"{value:0{n_digits}x}" for value in least.tolist()])


def _mem(comment: str, words: list[str]) -> Iterator[bytes]:
    yield f"// {comment}\n".encode()
    yield from (f"{word}\n".encode() for word in words)


def _coe(comment: str, words: list[str]) -> Iterator[bytes]:
    yield f"; {comment}\nmemory_initialization_radix=16;\nmemory_initialization_vector=\n".encode()
    yield from (f"{word},\n".encode() for word in words[:-1])
    yield f"{words[-1]};\n".encode()
