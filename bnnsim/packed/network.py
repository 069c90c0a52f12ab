"""PackedNetwork: the bits that a memory stores, integer thresholds, and exact inference on them.

A hidden layer is y = (h >= threshold) xor inverted, pooled by OR before the xor; the last one gives scores
(h - mean) * scale + shift in float64, of a convolution's sums over all positions. N images, U units, V = ceil(U / 64)
words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

import bnnsim.files.html_text as html_text
import bnnsim.packed.network_file as network_file
import bnnsim.packed.schema as schema
from bnnsim.checks import (FilePath, check_array, check_choice, check_finite, check_images, check_int, check_labels,
                           check_sequence, check_split)
from bnnsim.kernels import split
from bnnsim.packed.from_arrays import layers_from_arrays
from bnnsim.packed.kinds import stages_of
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.sizes import Sizes, sizes_of, table_of
from bnnsim.packed.stages import Stage

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.faults.array_mapping import ArrayMapping

BLOCK_IMAGES = 64                   # images that a thread takes through all layers at a time
BLOCK_BYTES = 2**28                 # that images may take in a layer at a time


class PackedNetwork:
    """A binarized network as a memory stores it; immutable.

    Parameters
    ----------
    layers : sequence of PackedLayer
        The last has mean, scale and shift; the others have threshold and inverted, as may a last dense one.
    input_shape : (C, H, W)
    input_offset : int
        Subtracted from the uint8 pixels, 0..255.
    metadata : dict of str to str
        Where the network came from; stored with it.

    Attributes
    ----------
    stages : tuple of Stage
        The layers at their places: what each reads and computes, see `bnnsim.packed.stages`.

    Raises
    ------
    ValueError, TypeError
        Where the layers do not fit each other; the message names the layer.
    """

    errs_when_read: ClassVar[bool] = False          # whether scores have errors of reading: see `bnnsim.faults.at_read`

    def __init__(self, layers: Sequence[PackedLayer], input_shape: tuple[int, int, int], input_offset: int = 0,
                 metadata: Mapping[str, str] | None = None) -> None:
        self.layers, self.input_shape = _checked(layers), schema.check_input_shape(input_shape)
        self.input_offset, self.metadata = input_offset, dict(metadata or {})
        self.input_offset = schema.check_network(self._fields())["input_offset"]     # NumPy's integers overflow
        self.stages = stages_of(self.layers, self.input_shape, self.input_offset)

    def __reduce__(self) -> tuple[type["PackedNetwork"], tuple]:
        return PackedNetwork, (self.layers, self.input_shape, self.input_offset, self.metadata)

    @property
    def n_classes(self) -> int:
        """Scores an image gets."""
        return self.layers[-1].units

    @property
    def n_bits(self) -> int:
        """Binary weights of all layers: what the memory stores."""
        return sum(layer.n_bits for layer in self.layers)

    @property
    def reads_bits(self) -> bool:
        """Whether its images are +-1, pixels 2 and 0: see `from_arrays`."""
        return self.input_offset == 1 and self.metadata.get("input") == "binary"

    def _fields(self) -> dict[str, Any]:
        """The network as the plain dict that files hold: see `bnnsim.packed.schema`."""
        return {"input_shape": self.input_shape, "input_offset": self.input_offset, "metadata": self.metadata,
                "layers": [layer.fields() for layer in self.layers]}

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the content, as stored in files."""
        return network_file.checksum(self._fields())

    def with_words(self, words: Mapping[int, np.ndarray]) -> Self:
        """A copy whose layers i have the words[i] given; everything else is shared, not copied."""
        return self.with_arrays({i: {"words": value} for i, value in words.items()})

    def with_arrays(self, arrays: Mapping[int, Mapping[str, np.ndarray]]) -> Self:
        """A copy whose layers i have other arrays, of the same types and shapes: words, or thresholds, or an affine."""
        copy = object.__new__(type(self))                        # nothing else is to be checked again
        copy.stages = tuple(self._with_arrays(stage, arrays[stage.index]) if stage.index in arrays else stage
                            for stage in self.stages)
        copy.layers = tuple(stage.layer for stage in copy.stages)
        copy.input_shape, copy.input_offset, copy.metadata = self.input_shape, self.input_offset, dict(self.metadata)
        return copy

    @staticmethod
    def _with_arrays(stage: Stage, arrays: Mapping[str, np.ndarray]) -> Stage:
        checked: dict[str, Any] = {}
        for key, value in arrays.items():
            name, old = f"layers[{stage.index}] {key}", getattr(stage.layer, key)
            if old is None:
                raise ValueError(f"{name} is not there: a layer has words, and either threshold and inverted or mean, "
                                 "scale and shift")
            checked[key] = check_array(name, value, old.dtype, old.shape)
            if key == "words":
                schema.check_padding(name, checked[key], stage.layer.n_in)
            elif old.dtype.kind == "f":
                check_finite(name, checked[key])
        return replace(stage, layer=replace(stage.layer, **checked))

    @cached_property
    def most_images(self) -> int:
        """How many images `run` takes through the layers at a time, at most."""
        return max(1, BLOCK_BYTES // max(stage.image_bytes for stage in self.stages))

    def run(self, i: int, x: np.ndarray, stop: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Take a block from layer i on to its scores, or to what layer `stop` reads; in the calling thread.

        Parameters
        ----------
        i : int
        x : what layer i reads
            Images uint8 (N, C, H, W) for layer 0; else what layer i - 1 gives, uint64 (N, ceil(U / 64)) or (N, H, W,
            ceil(K / 64)): ``run(0, images, i)``.
        stop : int, optional
            The layer to stop before, at least i.
        out : float64 (N, n_classes), optional
            Where scores go.

        Returns
        -------
        Scores float64 (N, n_classes), or what layer `stop` reads.
        """
        x, n = self.stages[i].check_input(x), self.most_images
        if len(x) > n:
            parts = [self.run(i, x[first:first + n], stop) for first in range(0, len(x), n)]
            return np.concatenate(parts, out=out)
        for stage in self.stages[i:-1 if stop is None else stop]:
            x = stage.bits(x)
        return self.stages[-1].scores(x, out) if stop is None else x

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores of images.

        Parameters
        ----------
        images : uint8 (N, C, H, W)

        Returns
        -------
        float64 (N, n_classes)
        """
        images = check_images(images, self.input_shape, self.reads_bits)
        out = np.empty((len(images), self.n_classes))
        for stage in self.stages:
            stage.lay_out()
        split(self._scores_slice, len(images), images, out)
        return out

    def _scores_slice(self, images: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
        for first in range(start, stop, BLOCK_IMAGES):
            block = slice(first, min(first + BLOCK_IMAGES, stop))
            self.run(0, images[block], out=out[block])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Class of each image, int64 (N,); ties go to the lowest."""
        return self.scores(images).argmax(axis=1)

    def accuracy(self, split: "LabelledImages") -> float:
        """Share of a Split's images that are classified right."""
        labels = check_labels(check_split(split).labels, len(split.images), self.n_classes)
        return float(np.mean(self.predict(split.images) == labels))

    def save(self, path: FilePath) -> None:
        """Write an HDF5 file, atomically: see `bnnsim.packed.network_file`."""
        network_file.save_network(path, self._fields())

    @classmethod
    def load(cls, path: FilePath) -> "PackedNetwork":
        """Read and check a file that `save` wrote; one of a graph gives a `PackedGraph`."""
        fields = network_file.load_network(path)
        if "nodes" in fields:
            from bnnsim.packed.graph import PackedGraph         # which is a PackedNetwork

            return PackedGraph.of_fields(fields)
        layers = [PackedLayer(**layer) for layer in fields["layers"]]
        return cls(layers, fields["input_shape"], fields["input_offset"], fields["metadata"])

    @classmethod
    def from_arrays(cls, layers: Sequence[Mapping[str, Any]], input_shape: tuple[int, int, int], input_offset: int = 0,
                    metadata: Mapping[str, str] | None = None, input: str = "pixels") -> "PackedNetwork":
        """Take over somebody else's network.

        Parameters
        ----------
        layers : sequence of dict
            ``weight``: +-1 array, dense (U, F) or conv (K, kh, kw, C), or PyTorch's (K, C, kh, kw) with
            ``order="CHW"``; then either ``threshold`` and, where outputs are inverted, ``inverted``
            (U,), or batch norm ``mean``, ``var`` (U,), ``gamma`` (1 if absent), ``beta`` (0 if absent) and ``eps``,
            which are folded; the last layer may have neither: integer logits. ``strict=True`` says that the sign of 0
            is -1, as in FINN: a comparison is >, where it is >= else. Conv layers take ``stride``, ``dilation``,
            ``pool``, ``pool_stride`` (an integer, or a pair of rows and columns), ``padding``, ``pool_padding`` (also
            four sides, top, left, bottom, right, "same" as in Keras, or "valid"), ``pad_value`` (0, 1, -1, or
            "replicate") and ``groups``; a last one gives scores of its sums over all positions. A last dense layer
            may have a ``threshold``: its scores are +-1. A ``bias`` (U,), added to the sums, goes into thresholds or
            means; with ``store_bias=True`` its bits are in the memory, one a unit, and meet faults as weights do: it
            must be +-1, or of a first layer on pixels + or - the level that stands for 1.0. A dense layer behind a
            conv, or the first, expects its features in H, W, C order; ``flatten="CHW"`` says that they stand in C, H, W
            order, as in PyTorch, and reorders them.
        input_shape : (C, H, W)
        input_offset : int
            The network's input is uint8 pixel - input_offset.
        metadata : dict of str to str, optional
        input : "pixels" or "binary"
            "binary": the network reads +-1, which are pixels 2 and 0 with an offset of 1, set here
            (`bnnsim.interop.binary_images` makes such images). Pixels 0 and 1 with the sum of weights folded into
            thresholds give the same classes, but only half of a wrong weight's inputs count then: a network looks far
            more tolerant than it is.

        Returns
        -------
        PackedNetwork
            A `PackedGraph` where a bias is stored: it has a layer of bits of its own behind its weights.

        Examples
        --------
        >>> import numpy as np
        >>> network = PackedNetwork.from_arrays([{"weight": np.array([[1, -1, 1, 1], [-1, -1, 1, -1]])}], (1, 2, 2))
        >>> network.scores(np.array([[[[9, 1], [0, 5]]]], np.uint8)).tolist()
        [[13.0, -15.0]]
        """
        input_shape = schema.check_input_shape(input_shape)
        input_offset = check_int("input_offset", input_offset, 0, 255)
        if check_choice("input", input, ("pixels", "binary")) == "binary":
            if input_offset not in (0, 1):
                raise ValueError(f"input_offset of a binary input is 1, got {input_offset}")
            input_offset, metadata = 1, {**(metadata or {}), "input": "binary"}
        packed = layers_from_arrays(layers, input_shape, input_offset)
        if any(layer.kind == "bias" for layer in packed):
            from bnnsim.packed.graph import Node, PackedGraph    # which is a PackedNetwork

            return PackedGraph([Node(layer, (i - 1,)) for i, layer in enumerate(packed)], input_shape, input_offset,
                               metadata)
        return cls(packed, input_shape, input_offset, metadata)

    def sizes(self, mapping: "ArrayMapping | None" = None) -> list[Sizes]:
        """Parameters, bytes, devices, arrays and operations of each layer, and of all behind them: see `summary`."""
        return sizes_of(self.stages, self.reads_bits, mapping)

    def summary(self, mapping: "ArrayMapping | None" = None) -> str:
        """A table: parameters, kB, devices and arrays of the memory, and operations an image, of each layer.

        Parameters
        ----------
        mapping : bnnsim.faults.ArrayMapping, optional
            The arrays that hold the weights; default 64 x 64.

        Returns
        -------
        str
            Binary parameters are what the memory stores: one device each of 1T1R cells, two of 2T2R; "used" is the
            share of the arrays' cells that hold one. Others are thresholds, and mean, scale and shift of scores.

        Examples
        --------
        >>> import bnnsim
        >>> network = bnnsim.pack(bnnsim.architectures.build("FC100 FC10", (1, 8, 8), rng=0))
        >>> print(network.summary(bnnsim.faults.ArrayMapping(64, 32)))
        layer    output  binary  other   kB   1T1R    2T2R  64 x 32 arrays    used  binary MACs  integer MACs
        0 dense  100      6,400    200  1.2  6,400  12,800               4  78.1 %            0         6,400
        1 dense  10       1,000     30  0.4  1,000   2,000               4  12.2 %        1,000             0
        total             7,400    230  1.6  7,400  14,800               8  45.2 %        1,000         6,400
        """
        return table_of(self.sizes(mapping), mapping)

    def _repr_html_(self) -> str:
        return html_text.text(repr(self), self.summary())

    def __repr__(self) -> str:
        return f"<PackedNetwork {list(self.input_shape)} -> {self.n_classes}, {self.n_bits:,} binary weights>"


def _checked(layers: Sequence[PackedLayer]) -> tuple[PackedLayer, ...]:
    row = check_sequence("layers", layers, "PackedLayer, as network.layers is")
    for i, layer in enumerate(row):
        if not isinstance(layer, PackedLayer):
            raise TypeError(f"layers[{i}] must be a PackedLayer, got {type(layer).__name__}: bnnsim.pack makes a "
                            "network of a trained model, PackedNetwork.from_arrays of weights and thresholds")
    return tuple(row)
