"""A network in training: layers in a row, from images to scores."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.files.html_text as html_text
from bnnsim.checks import check_images, check_int, check_labels, check_split
from bnnsim.packed.schema import MAX_PREACTIVATION, check_input_shape
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.batchnorm import Norm
from bnnsim.training.layers.conv import Convolution
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.pool import MaxPool2d, SumPositions
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.optimizers import ByParts, Optimizer
from bnnsim.training.regularisers import Penalty

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.faults.array_mapping import ArrayMapping
    from bnnsim.training.history import History
    from bnnsim.training.reading import Read

EVALUATION_BATCH = 500


class Sequential:
    """Layers in a row.

    Parameters
    ----------
    layers : list of Layer
        See `bnnsim.layers`; the first is an Input layer, the last BatchNorm or Logits. ValueError where two neighbours
        do not fit.
    input_shape : (C, H, W)
        Of one image.

    Attributes
    ----------
    shapes : list of tuple
        Output shape of each layer, without the batch.
    metadata : dict of str to str
        How it was trained: `fit` leaves it here, and `pack` gives it to the network.
    history : History or None
        Of the last `fit`, also of one that was interrupted.
    """

    def __init__(self, layers: Sequence[Layer], input_shape: tuple[int, int, int]) -> None:
        self.layers, self.input_shape = list(layers), check_input_shape(input_shape)
        self.metadata: dict[str, str] = {}
        self.history: History | None = None
        self.shapes: list[tuple[int, ...]] = []
        shape: tuple[int, ...] = self.input_shape
        given = "pixels"
        for i, layer in enumerate(self.layers):
            if layer.takes != given:
                raise ValueError(f"layers[{i}], {type(layer).__name__}, takes {layer.takes}, but gets {given}: weights "
                                 "give pre-activations, BatchNormSign makes bits of them, BatchNorm or Logits scores")
            if isinstance(layer, SumPositions):
                self._check_sum(i, shape)
            shape, given = layer.output_shape(shape), layer.gives
            self.shapes.append(shape)
        if given != "scores" or len(shape) != 1:
            raise ValueError(f"the last layer must give scores (n_classes,), it gives {given} {shape}")
        self.n_classes = shape[0]

    def _check_sum(self, i: int, shape: tuple[int, ...]) -> None:
        """What has no packed form, or sums that do not fit, must not be trained first."""
        before = self.layers[i - 1]
        if not isinstance(before, Convolution) or i + 2 != len(self.layers):
            raise ValueError(f"layers[{i}], SumPositions, must stand between the last convolution and its BatchNorm or "
                             f"Logits, got it behind {type(before).__name__} as layer {i} of {len(self.layers)}")
        level = max(self.input_offset, 255 - self.input_offset) if before.takes == "pixels" else 1
        check_int(f"layers[{i}], SumPositions: the largest sum, which must fit int32,",
                  math.prod(shape[:-1]) * before.fan_in * level, high=MAX_PREACTIVATION)

    @property
    def weighted(self) -> list[Weighted]:
        """The layers with binary weights, in order."""
        return [layer for layer in self.layers if isinstance(layer, Weighted)]

    @property
    def input_offset(self) -> int:
        """What is subtracted from the uint8 pixels."""
        return getattr(self.layers[0], "offset", 0)

    @property
    def integer_logits(self) -> bool:
        """Whether scores are integers, with no batch norm behind the last layer."""
        return not self.layers[-1].parameters

    @property
    def needs_batches(self) -> bool:
        """Whether a batch norm has one value an image and unit: statistics over a batch of one image are the image."""
        return any(isinstance(layer, Norm) and bool(layer.parameters) and math.prod(shape[:-1]) == 1
                   for layer, shape in zip(self.layers, self.shapes))

    @property
    def output_fan_in(self) -> int:
        """Weights of one output: the largest integer logit."""
        return self.weighted[-1].fan_in

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores (N, n_classes) float64 of images (N, C, H, W) uint8: layer by layer, batch norm unfolded."""
        check_images(images, self.input_shape)
        out = np.empty((len(images), self.n_classes))
        for start in range(0, len(images), EVALUATION_BATCH):
            x = images[start:start + EVALUATION_BATCH]
            for layer in self.layers:
                x = layer.forward(x)
            out[start:start + EVALUATION_BATCH] = x
        return out

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Class of each image (N,) int64; ties go to the lowest."""
        return self.scores(images).argmax(axis=1)

    def accuracy(self, split: "LabelledImages") -> float:
        """Share of a Split's images that are classified right."""
        labels = check_labels(check_split(split).labels, len(split.images), self.n_classes)
        return float(np.mean(self.predict(split.images) == labels))

    def forward_train(self, images: np.ndarray, read: "Read | None" = None) -> tuple[np.ndarray, list[Any]]:
        """Scores with batch statistics, and the caches for `backward`.

        read : function (index, layer) -> (words, mask), or None
            How layer number `index` with weights reads its bits from memory: see `Weighted.forward_train`.
        """
        x, caches, index = check_images(images, self.input_shape), list[Any](), 0
        for i, (layer, after) in enumerate(zip(self.layers, [*self.layers[1:], None])):
            if len(caches) > i:
                continue                                        # a max-pool, done with its convolution
            if not isinstance(layer, Weighted):
                x, cache = layer.forward_train(x)
                caches.append(cache)
                continue
            words, mask = read(index, layer) if read else (None, None)
            index += 1
            if isinstance(layer, Convolution) and isinstance(after, MaxPool2d):
                x, both = layer.forward_train_pooled(x, after, words, mask)
                caches += both
            else:
                x, cache = layer.forward_train(x, words, mask)
                caches.append(cache)
        return x, caches

    def backward(self, dscores: np.ndarray, caches: list[Any], precision: str = "fixed16",
                 penalties: Mapping[int, Penalty] | None = None) -> list[dict[str, np.ndarray]]:
        """Gradients of all parameters: one dict a layer. They are valid until the next call.

        penalties : dict of layer number to `regularisers.Penalty`, whose gradients are added.
        """
        dout: Gradient | None = dscores
        gradients: list[dict[str, np.ndarray]] = [{} for _ in self.layers]
        for i in reversed(range(len(self.layers))):
            dout, gradients[i] = self._layer_backward(i, dout, caches[i], precision, penalties)
        return gradients

    def _layer_backward(self, i: int, dout: Any, cache: Any, precision: str,
                        penalties: Mapping[int, Penalty] | None) -> tuple[Gradient | None, dict[str, np.ndarray]]:
        layer = self.layers[i]
        if isinstance(layer, Weighted):
            return layer.backward(dout, cache, precision)
        if isinstance(layer, Norm) and penalties:
            return layer.backward(dout, cache, penalties.get(i))
        return layer.backward(dout, cache)

    def update(self, gradients: list[dict[str, np.ndarray]], optimizer: Optimizer, factor: float, step: int) -> None:
        """One optimizer step on every parameter; latent weights are clipped to [-1, 1] and packed anew."""
        for i in range(len(self.layers)):
            self._update_layer(i, gradients[i], optimizer, factor, step)

    def _update_layer(self, i: int, gradients: dict[str, np.ndarray], optimizer: Optimizer, factor: float,
                      step: int) -> None:
        layer = self.layers[i]
        for name, gradient in gradients.items():
            optimizer.update(f"{i}.{name}", layer.parameters[name], gradient, factor, step,
                             layer.bounds.get(name, math.inf))
        if isinstance(layer, Weighted):
            layer.refresh()

    def backward_update(self, dscores: np.ndarray, caches: list[Any], optimizer: Optimizer, factor: float, step: int,
                        precision: str = "fixed16", penalties: Mapping[int, Penalty] | None = None) -> None:
        """`backward` and `update` at once, to the same bytes: gradients of the weights are used while in cache.

        `caches` is empty afterwards: each is let go as soon as it is used.
        """
        dout: Any = dscores
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            if isinstance(layer, Weighted) and isinstance(optimizer, ByParts):
                on_part = optimizer.on_parts(f"{i}.weight", layer.parameters["weight"], factor, step,
                                             layer.bounds["weight"])
                dout = layer.backward_update(dout, caches.pop(), precision, on_part)
            else:
                dout, gradients = self._layer_backward(i, dout, caches.pop(), precision, penalties)
                self._update_layer(i, gradients, optimizer, factor, step)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that training changes, by name ("0.weight", "1.running_mean", ...): views, not copies."""
        found: dict[str, np.ndarray] = {}
        for i, layer in enumerate(self.layers):
            found |= {f"{i}.{name}": value for name, value in layer.parameters.items()}
            found |= {f"{i}.running_{name}": value for name, value in layer.running.items()}
        return found

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `arrays` gave; the bits are packed anew."""
        for name, value in self.arrays().items():
            value[...] = arrays[name]
        for layer in self.weighted:
            layer.refresh()

    def _repr_html_(self) -> str:
        size = " x ".join(map(str, self.input_shape))
        rows = [(i, type(layer).__name__, " x ".join(map(str, shape)), sum(v.size for v in layer.parameters.values()))
                for i, (layer, shape) in enumerate(zip(self.layers, self.shapes))]
        return html_text.table(f"Sequential: {size} to {self.n_classes} classes", rows,
                               ("", "layer", "output", "parameters"),
                               f"{sum(row[-1] for row in rows):,} parameters are trained")

    def summary(self, mapping: "ArrayMapping | None" = None) -> str:
        """A table of what `pack` would make of it now, as `PackedNetwork.summary` has it, and what is trained.

        Parameters
        ----------
        mapping : bnnsim.faults.ArrayMapping, optional
            The arrays that hold the weights; default 64 x 64.

        Examples
        --------
        >>> import bnnsim
        >>> print(bnnsim.architectures.build("FC100 FC10", (1, 8, 8), rng=0).summary())
        layer    output  binary  other   kB   1T1R    2T2R  64 x 64 arrays    used  binary MACs  integer MACs
        0 dense  100      6,400    200  1.2  6,400  12,800               2  78.1 %            0         6,400
        1 dense  10       1,000     30  0.4  1,000   2,000               2  12.2 %        1,000             0
        total             7,400    230  1.6  7,400  14,800               4  45.2 %        1,000         6,400
        trained: 7,400 latent weights, 220 others (30.5 kB); running statistics: 220
        """
        from bnnsim.training.packing import pack

        latent = sum(layer.parameters["weight"].size for layer in self.weighted)
        trained = sum(value.size for layer in self.layers for value in layer.parameters.values())
        running = sum(value.size for layer in self.layers for value in layer.running.values())
        return (f"{pack(self).summary(mapping)}\ntrained: {latent:,} latent weights, {trained - latent:,} others "
                f"({4 * trained / 1000:,.1f} kB); running statistics: {running:,}")

    def describe(self) -> str:
        """One line that names the layers, their sizes and settings: all that a checkpoint must agree on."""
        words = []
        for layer, shape in zip(self.layers, self.shapes):
            settings = ", ".join(f"{name}={value}" for name, value in layer.settings().items())
            words.append(f"{type(layer).__name__}{list(shape)}" + (f"({settings})" if settings else ""))
        return f"{list(self.input_shape)} {' '.join(words)}"
