"""PackedNetwork: the bits that a memory stores, integer thresholds, and exact inference on them.

A hidden layer is y = (h >= threshold) xor inverted, pooled by OR before the xor; the last one gives scores
(h - mean) * scale + shift in float64. N images, U units, V = ceil(U / 64) words.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

import bnnsim.kernels.norm.batchnorm as batchnorm
import bnnsim.packed.network_file as network_file
import bnnsim.packed.schema as schema
from bnnsim.checks import check_images, check_int, check_labels, check_split
from bnnsim.kernels import split
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import conv_geometry
from bnnsim.packed.from_arrays import layer_from_arrays
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.schema import check_input_shape
from bnnsim.packed.words import flatten_block, n_words

BLOCK_IMAGES = 64                   # images that a thread takes through all layers at a time


@dataclass(frozen=True)
class _Place:
    """Where a layer stands: is it first, its geometry (conv), channels to flatten before it (0: none), output shape."""

    first: bool
    geometry: Geometry | None
    flatten: int
    output_shape: tuple


def _places(layers, input_shape):
    shape, places = (input_shape[1], input_shape[2], input_shape[0]), []
    for i, layer in enumerate(layers):
        if layer.kind == "conv":
            g = conv_geometry(*shape[:2], layer.words.shape[1:3], layer.stride, layer.padding)
            output = (g.out_height // layer.pool, g.out_width // layer.pool, layer.units)
            places.append(_Place(i == 0, g, 0, output))
        else:
            output = (layer.units,)
            places.append(_Place(i == 0, None, shape[2] if i and len(shape) == 3 else 0, output))
        shape = output
    return places


# ---------------------------------------------------------------- the network

class PackedNetwork:
    """A binarized network as a memory stores it; immutable.

    Parameters
    ----------
    layers : sequence of PackedLayer
        The last is dense and has mean, scale and shift; the others have threshold and inverted.
    input_shape : (C, H, W)
    input_offset : int
        Subtracted from the uint8 pixels, 0..255.
    metadata : dict of str to str
        Where the network came from; stored with it.

    Raises
    ------
    ValueError, TypeError
        Where the layers do not fit each other; the message names the layer.
    """

    def __init__(self, layers, input_shape, input_offset=0, metadata=None):
        self.layers, self.input_shape = tuple(layers), check_input_shape(input_shape)
        self.input_offset, self.metadata = input_offset, dict(metadata or {})
        schema.check_network(self.fields())
        self._places = _places(self.layers, self.input_shape)
        self._forward = {}                                      # layers laid out for the kernels, by number

    def __reduce__(self):
        return PackedNetwork, (self.layers, self.input_shape, self.input_offset, self.metadata)

    @property
    def n_classes(self):
        """Scores an image gets."""
        return self.layers[-1].units

    @property
    def n_bits(self):
        """Binary weights of all layers: what the memory stores."""
        return sum(layer.n_bits for layer in self.layers)

    def fields(self):
        """The network as the plain dict that files hold: see `bnnsim.packed.network_file`."""
        return {"input_shape": self.input_shape, "input_offset": self.input_offset, "metadata": self.metadata,
                "layers": [layer.fields() for layer in self.layers]}

    @cached_property
    def checksum(self):
        """SHA-256 of the content, as stored in files."""
        return network_file.checksum(self.fields())

    def with_words(self, words):
        """A copy whose layers i have the words[i] given; everything else is shared, not copied."""
        copy = PackedNetwork([replace(layer, words=words[i]) if i in words else layer
                              for i, layer in enumerate(self.layers)],
                             self.input_shape, self.input_offset, self.metadata)
        laid_out = self._forward.copy()                          # at once: other threads may be laying layers out
        copy._forward = {i: forward for i, forward in laid_out.items() if i not in words}
        return copy

    def scores(self, images):
        """Scores of images.

        Parameters
        ----------
        images : uint8 (N, C, H, W)

        Returns
        -------
        float64 (N, n_classes)
        """
        images = check_images(images, self.input_shape)
        out = np.empty((len(images), self.n_classes))
        self.prepare()
        split(self._scores_slice, len(images), images, out)
        return out

    def prepare(self):
        """Lay the weights out as the kernels read them; done once, and shared with copies that leave a layer alone."""
        for i in range(len(self.layers)):
            self.forward(i)

    def forward(self, i):
        """Layer i as the kernels read it."""
        if i not in self._forward:
            place = self._places[i]
            self._forward[i] = self.layers[i].forward(place.first, place.geometry, self.input_offset)
        return self._forward[i]

    def _scores_slice(self, images, out, start, stop):
        last = len(self.layers) - 1
        for first in range(start, stop, BLOCK_IMAGES):
            block = slice(first, min(first + BLOCK_IMAGES, stop))
            x = images[block]
            for i in range(last):
                x = self.forward(i).bits(self.flattened(i, x))
            self.output(self.flattened(last, x), out[block])

    def geometry(self, i):
        """Sizes of layer i's convolution; None where it is dense."""
        return self._places[i].geometry

    def bits_shape(self, i):
        """Shape of hidden layer i's output words for one image."""
        return (*self._places[i].output_shape[:-1], n_words(self.layers[i].units))

    def is_like(self, other):
        """Whether the other network's layers have the same shapes and geometry, and read the same input."""
        return (self._places == other._places and self.input_offset == other.input_offset
                and self.input_shape == other.input_shape)

    def bits_slice(self, images, outs, start, stop):
        """Output words of hidden layers i, outs[i], on images start..stop, in the calling thread."""
        for first in range(start, stop, BLOCK_IMAGES):
            block = slice(first, min(first + BLOCK_IMAGES, stop))
            x = images[block]
            for i in range(max(outs) + 1):
                x = self.forward(i).bits(self.flattened(i, x))
                if i in outs:
                    outs[i][block] = x

    def flattened(self, i, x):
        """A block x of what layer i - 1 gives, as layer i takes it."""
        n_channels = self._places[i].flatten
        return flatten_block(x, n_channels) if n_channels else x

    def output(self, x, scores):
        """Scores (N, n_classes) of a block x of what the last layer takes, in the calling thread."""
        h = self.forward(len(self.layers) - 1).sums(x)
        batchnorm.affine_rows(h, *self.layers[-1].output_affine, scores, 0, len(x))

    def predict(self, images):
        """Class of each image, int64 (N,); ties go to the lowest."""
        return self.scores(images).argmax(axis=1)

    def accuracy(self, split):
        """Share of a Split's images that are classified right."""
        labels = check_labels(check_split(split).labels, len(split.images), self.n_classes)
        return float(np.mean(self.predict(split.images) == labels))

    def save(self, path):
        """Write an HDF5 file, atomically: see `bnnsim.packed.network_file`."""
        network_file.save_network(path, self.fields())

    @classmethod
    def load(cls, path):
        """Read and check a file that `save` wrote."""
        fields = network_file.load_network(path)
        layers = [PackedLayer(**layer) for layer in fields["layers"]]
        return cls(layers, fields["input_shape"], fields["input_offset"], fields["metadata"])

    @classmethod
    def from_arrays(cls, layers, input_shape, input_offset=0, metadata=None):
        """Take over somebody else's network.

        Parameters
        ----------
        layers : sequence of dict
            ``weight``: +-1 array, dense (U, F) or conv (K, kh, kw, C), or PyTorch's (K, C, kh, kw) with
            ``order="CHW"``; then either ``threshold`` and, where outputs are inverted, ``inverted``
            (U,), or batch norm ``gamma``, ``beta``, ``mean``, ``var`` (U,) and ``eps``, which are folded; the last
            layer may have neither: integer logits. Conv layers take ``stride``, ``padding``, ``pad_value`` (0, 1, -1)
            and ``pool``. A dense layer behind a conv, or the first, expects its features in H, W, C order;
            ``flatten="CHW"`` says that they stand in C, H, W order, as in PyTorch, and reorders them.
        input_shape : (C, H, W)
        input_offset : int
            The network's input is uint8 pixel - input_offset.

        Returns
        -------
        PackedNetwork

        Examples
        --------
        >>> import numpy as np
        >>> network = PackedNetwork.from_arrays([{"weight": np.array([[1, -1, 1, 1], [-1, -1, 1, -1]])}], (1, 2, 2))
        >>> network.scores(np.array([[[[9, 1], [0, 5]]]], np.uint8)).tolist()
        [[13.0, -15.0]]
        """
        channels, height, width = input_shape = check_input_shape(input_shape)
        shape, packed, input_offset = (height, width, channels), [], check_int("input_offset", input_offset, 0, 255)
        for i, fields in enumerate(layers):
            layer = layer_from_arrays(i, fields, shape, input_offset, last=i == len(layers) - 1)
            packed.append(layer)
            shape = _places([layer], (shape[2], shape[0], shape[1]))[0].output_shape if layer.kind == "conv" else \
                (layer.units,)
        return cls(packed, input_shape, input_offset, metadata)

    def summary(self):
        """A table: per layer output shape, binary and other parameters, kB, binary and integer MACs an image."""
        rows = [("layer", "output", "binary", "other", "kB", "binary MACs", "integer MACs")]
        for i, (layer, place) in enumerate(zip(self.layers, self._places)):
            macs = layer.n_bits
            if place.geometry:
                macs *= place.geometry.out_height * place.geometry.out_width
            n_other = layer.units * (3 if layer.threshold is None else 2)
            n_bytes = layer.n_bits / 8 + layer.units * (24 if layer.threshold is None else 4 + 1 / 8)
            rows.append((f"{i} {layer.kind}", " x ".join(map(str, place.output_shape)), layer.n_bits, n_other,
                         n_bytes / 1000, 0 if i == 0 else macs, macs if i == 0 else 0))
        rows.append(("total", "", *(sum(row[c] for row in rows[1:]) for c in range(2, 7))))
        text = [[f"{cell:,.1f}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell
                 for cell in row] for row in rows]
        widths = [max(len(row[c]) for row in text) for c in range(7)]
        return "\n".join("  ".join(cell.ljust(w) if c < 2 else cell.rjust(w)
                                   for c, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in text)

    def __repr__(self):
        return f"<PackedNetwork {list(self.input_shape)} -> {self.n_classes}, {self.n_bits:,} binary weights>"
