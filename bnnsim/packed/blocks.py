"""Blocks of images through a packed network, with what every layer reads at hand; in bounded memory."""

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import check_images, check_labels, check_split
from bnnsim.kernels import split
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_thresholds import compared_stages
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

BLOCK = 32                          # images a thread has in hand: at most some MB of pre-activations a layer
Parts = Sequence[Sequence[np.ndarray]]


# ---------------------------------------------------------------- what such a pass is given

def check_packed(network: PackedNetwork, graphs: bool = False, noisy: bool = False) -> PackedNetwork:
    """A PackedNetwork; one with branches, or with errors of reading, only where the caller can deal with them."""
    if not isinstance(network, PackedNetwork):
        raise TypeError(f"network must be a PackedNetwork, as bnnsim.pack gives, got {type(network).__name__}")
    if isinstance(network, PackedGraph) and not graphs:
        raise TypeError("network must be a PackedNetwork of layers in a row, got a PackedGraph: this is defined for "
                        "layers each of which reads the one before alone. Of a graph ask what its bit errors do with "
                        "bnnsim.sweep, also layer by layer: BitFlips(rate, layers=(0,))")
    if network.errs_when_read and not noisy:
        raise TypeError("network must be one without errors of reading, got what a fault of reading gave: take the "
                        "network that the fault was applied to, and give the fault beside it where one is asked for")
    return network


def check_some_images(network: PackedNetwork, images: np.ndarray) -> np.ndarray:
    """Images that the network takes, one at least."""
    images = check_images(images, check_packed(network, graphs=True).input_shape, network.reads_bits)
    if len(images) == 0:
        raise ValueError("images must have at least one image")
    return images


def check_labelled(network: PackedNetwork, split: "LabelledImages") -> np.ndarray:
    """The labels of a Split whose images the network takes and whose classes it has, as `check_labels` gives them."""
    check_some_images(network, check_split(split).images)
    labels = np.asarray(split.labels)
    if labels.dtype.kind in "iu" and labels.size and labels.max() >= network.n_classes:
        raise ValueError(f"labels of split must be below the network's {network.n_classes} classes, got "
                         f"{labels.max()}: take the data set that the network was trained on")
    return check_labels(split.labels, len(split.images), network.n_classes)


def hidden_stages(network: PackedNetwork) -> tuple[Stage, ...]:
    """The hidden layers, of which there must be one."""
    if len(check_packed(network).layers) < 2:
        raise ValueError("network must have a hidden layer, but it has only an output layer")
    return network.stages[:-1]


def stages_with_thresholds(network: PackedNetwork) -> tuple[Stage, ...]:
    """The layers each of whose sums is compared with a threshold, and nothing else: the hidden layers of a chain.

    Of a graph those that give bits by themselves, and those whose sums an affine and a sign alone read.
    """
    if not isinstance(network, PackedGraph):
        return hidden_stages(network)
    found = compared_stages(network)
    if not found:
        raise ValueError("network must have a layer whose sums are compared with thresholds alone, got a graph: those "
                         "of its layers of bits go into additions or other operations, or give scores. Margins and T "
                         "are not defined there; bnnsim.sweep tells what bit errors do to it")
    return found


def check_scores(network: PackedNetwork, what: str) -> PackedNetwork:
    """A network whose last layer is dense and gives scores, as `what` needs it."""
    last = check_packed(network).stages[-1]
    if last.shares_weights or last.layer.threshold is not None:
        came = "is a convolution, whose sums over all positions give them" if last.shares_weights else \
            "has thresholds, which give +-1"
        raise ValueError(f"{what} needs a network whose last layer is dense and gives scores; layer {last.index}, the "
                         f"last, {came}")
    return network


# ---------------------------------------------------------------- the pass

def reads(network: PackedNetwork, x: np.ndarray, first: int = 0) -> list[np.ndarray]:
    """What each layer from number `first` on reads, flattened as its kernels take it, where that one reads x."""
    if isinstance(network, PackedGraph):
        return network.layer_inputs(x)
    found = []
    for i in range(first, len(network.stages)):
        found.append(x := network.stages[i].read(x))
        x = network.run(i, x, i + 1) if i + 1 < len(network.stages) else x
    return found


def each_block(network: PackedNetwork, images: np.ndarray, visit: Callable[[slice, list[np.ndarray]], Parts],
               block_images: int = BLOCK) -> list[list[np.ndarray]]:
    """Call ``visit(block, xs)`` for blocks of images, in the threads of `split`, and add up what it returns.

    Parameters
    ----------
    visit : callable
        Is given the slice of the images, and what each layer reads of them (`reads`). Returns rows of integer arrays,
        as one row a layer, and [] where there is nothing to add: sums of integers have no order, and none is promised.

    Returns
    -------
    The sums, rows as `visit` returns them.
    """
    totals: list[list[np.ndarray]] = []
    lock = threading.Lock()
    for stage in network.stages:
        stage.lay_out()
        stage.to_sums                                           # before threads ask for it

    def run(start: int, stop: int) -> None:
        for b in range(start, stop):
            block = slice(b * block_images, min((b + 1) * block_images, len(images)))
            parts = visit(block, reads(network, images[block]))
            with lock:
                if not totals:
                    totals.extend([np.zeros_like(part) for part in row] for row in parts)
                for total, part in zip(chain(*totals), chain(*parts)):
                    np.add(total, part, out=total)

    split(run, (len(images) + block_images - 1) // block_images)
    return totals
