"""Networks in training: `Graph`, of layers wired in any way without a circle, and `Sequential`, of layers in a row."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.files.html_text as html_text
import bnnsim.kernels.real.channels as channels
import bnnsim.training.wires as wires
from bnnsim.checks import check_images, check_int, check_labels, check_sequence, check_split
from bnnsim.kernels import empty, split
from bnnsim.packed.graph import as_scores
from bnnsim.packed.schema import MAX_PREACTIVATION, check_input_shape
from bnnsim.packed.sizes import text_of
from bnnsim.training.gradients import Gradient, scattered
from bnnsim.training.layers.batchnorm import Norm
from bnnsim.training.layers.conv import Convolution
from bnnsim.training.layers.layer import Layer, checked_gradient
from bnnsim.training.layers.pool import MaxPool2d, SumPositions
from bnnsim.training.layers.real import Pixels
from bnnsim.training.layers.real_weights import RealConv2d
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.optimizers import ByParts, Optimizer
from bnnsim.training.regularisers import Penalty
from bnnsim.training.wires import IMAGES, Wired

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.faults.array_mapping import ArrayMapping
    from bnnsim.training.history import History
    from bnnsim.training.reading import Read
    from bnnsim.training.run import Left


class Graph:
    """Layers wired in any way that has no circle.

    Parameters
    ----------
    nodes : list of Wired
        In an order in which each reads only what stands before it: `Wiring` makes one. The last gives the scores, or
        reals (n_classes,), which then are the scores.
    input_shape : (C, H, W)
        Of one image.

    Attributes
    ----------
    layers : list of Layer
    inputs : list of tuple of int
        The numbers of the layers that each reads.
    shapes : list of tuple
        Output shape of each layer, without the batch.
    metadata : dict of str to str
        How it was trained: `fit` leaves it here, and `pack` gives it to the network.
    history : History or None
        Of the last `fit`, also of one that was interrupted.
    left : Left or None
        How the last `fit` left the weights; None where that is not known.

    Raises
    ------
    ValueError
        Where layers do not fit what they read; the message names the layer.
    """

    evaluation_batch = 64       # images at a time: maps of float32 are large

    def __init__(self, nodes: Sequence[Wired], input_shape: tuple[int, int, int]) -> None:
        self.input_shape = check_input_shape(input_shape)
        wires.check_nodes(nodes)
        self.layers, self.inputs = [layer for layer, _ in nodes], [tuple(at) for _, at in nodes]
        self.metadata: dict[str, str] = {}
        self.history: History | None = None
        self.left: Left | None = None
        self.shapes: list[tuple[int, ...]] = []
        kinds: list[str] = []
        for i, (layer, inputs) in enumerate(zip(self.layers, self.inputs)):
            for at in inputs:
                check_int(f"inputs of layers[{i}], {type(layer).__name__},", at, IMAGES, i - 1)
                given = kinds[at] if at >= 0 else "pixels"
                if given not in layer.takes.split(" or "):
                    raise ValueError(self._misfit(i, given))
            shapes = [self.shapes[at] if at >= 0 else self.input_shape for at in inputs]
            if isinstance(layer, SumPositions):
                self._check_sum(i, shapes[0])
            if isinstance(layer, RealConv2d):
                layer.of_pixels = all(isinstance(self.layers[at], Pixels) for at in inputs)
            self.shapes.append(self._shape_of(i, shapes))
            kinds.append(layer.gives)
        if not kinds or kinds[-1] not in ("scores", "reals") or len(self.shapes[-1]) != 1:
            came = f"{kinds[-1]} {self.shapes[-1]}" if kinds else "nothing: there is none"
            raise ValueError(f"the last layer must give scores (n_classes,), it gives {came}")
        self.n_classes = self.shapes[-1][0]
        offsets = {layer.offset for layer in self.layers if hasattr(layer, "offset")}
        if len(offsets) > 1:
            raise ValueError(f"all layers that read pixels must subtract one offset, got {sorted(offsets)}")
        self._last_reader = {at: i for i, inputs in enumerate(self.inputs) for at in inputs}
        self.n_readers = [sum(inputs.count(i) for inputs in self.inputs) for i in range(len(self.layers))]
        unread = [i for i, n in enumerate(self.n_readers[:-1]) if n == 0]
        if unread:
            raise ValueError(f"every layer but the last must be read by another, layers {unread[:5]} are not")
        self._check_packable()

    def _check_packable(self) -> None:
        wires.check_packable(self.layers, self.inputs, self.n_readers)

    def _shape_of(self, i: int, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
        try:
            return _any(self.layers[i]).output_shape(*shapes)
        except ValueError as error:
            raise ValueError(f"layers[{i}], {type(self.layers[i]).__name__}: {error}") from None

    def _misfit(self, i: int, given: str) -> str:
        layer = self.layers[i]
        return (f"layers[{i}], {type(layer).__name__}, takes {layer.takes}, but gets {given}: weights give "
                "pre-activations, BatchNormSign makes bits of them, BatchNorm or Logits scores")

    def _check_sum(self, i: int, shape: tuple[int, ...]) -> None:
        """What has no packed form, or sums that do not fit, must not be trained first."""
        at = self.inputs[i][0]
        while at > 0 and self.layers[at].takes == self.layers[at].gives == "pre-activations" and \
                not isinstance(self.layers[at], MaxPool2d):      # what changes sums in training alone
            at = self.inputs[at][0]
        before = self.layers[at]
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
        """What layers with binary weights subtract from the uint8 pixels."""
        return next((layer.offset for layer in self.layers if hasattr(layer, "offset")), 0)

    @property
    def integer_logits(self) -> bool:
        """Whether scores are integers, with no batch norm behind the last layer."""
        return self.layers[-1].gives == "scores" and not self.layers[-1].parameters

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
        for start in range(0, len(images), self.evaluation_batch):
            values = {IMAGES: images[start:start + self.evaluation_batch]}
            for i, layer in enumerate(self.layers):
                values[i] = _any(layer).forward(*self._read(values, i))
                self._let_go(values, i)
            last = values[len(self.layers) - 1]
            out[start:start + self.evaluation_batch] = last if last.dtype == np.float64 else as_scores(last)
        return out

    def _read(self, values: dict[int, np.ndarray], i: int) -> list[np.ndarray]:
        return [values[at] for at in self.inputs[i]]

    def _let_go(self, values: dict[int, np.ndarray], i: int) -> None:
        """Values that layer i was the last to read."""
        for at in set(self.inputs[i]):
            if self._last_reader[at] == i:
                del values[at]

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
        values, caches, index = {IMAGES: check_images(images, self.input_shape)}, list[Any](), 0
        for i, layer in enumerate(self.layers):
            if len(caches) > i:
                self._let_go(values, i)
                continue                                        # a max-pool, done with its convolution
            given = self._read(values, i)
            if not isinstance(layer, Weighted):
                values[i], cache = _any(layer).forward_train(*given)
                caches.append(cache)
            else:
                words, mask = read(index, layer) if read else (None, None)
                index += 1
                after = self.layers[i + 1] if self.n_readers[i] == 1 and self.inputs[i + 1] == (i,) else None
                if isinstance(layer, Convolution) and type(after) is MaxPool2d:
                    values[i + 1], both = layer.forward_train_pooled(given[0], after, words, mask)
                    values[i] = values[i + 1][:0]
                    caches += both
                else:
                    values[i], cache = layer.forward_train(given[0], words, mask)
                    caches.append(cache)
            del given
            self._let_go(values, i)
        return values[len(self.layers) - 1].astype(np.float64, copy=False), caches

    def backward(self, dscores: np.ndarray, caches: list[Any], precision: str = "fixed16",
                 penalties: Mapping[int, Penalty] | None = None) -> list[dict[str, np.ndarray]]:
        """Gradients of all parameters: one dict a layer. They are valid until the next call.

        penalties : dict of layer number to `regularisers.Penalty`, whose gradients are added.
        """
        douts: dict[int, Gradient] = {len(self.layers) - 1: dscores}
        gradients: list[dict[str, np.ndarray]] = [{} for _ in self.layers]
        for i in reversed(range(len(self.layers))):
            if i in douts:
                dx, gradients[i] = self._layer_backward(i, douts.pop(i), caches[i], precision, penalties)
                self._hand_on(douts, i, dx)
        return gradients

    def _hand_on(self, douts: dict[int, Gradient], i: int, dx: Any) -> None:
        """A layer's gradients of what it read, to those that it read: summed where there were others."""
        for at, gradient in zip(self.inputs[i], dx if type(dx) is tuple else (dx,)):
            if at == IMAGES or gradient is None:
                continue
            if at in douts:
                gradient = _sum(scattered(douts[at]), scattered(gradient))
            douts[at] = gradient

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
            gradient = checked_gradient(layer, i, name, gradient)
            optimizer.update(f"{i}.{name}", layer.parameters[name], gradient, factor, step,
                             layer.bounds.get(name, math.inf))
        if isinstance(layer, Weighted):
            layer.refresh()

    def backward_update(self, dscores: np.ndarray, caches: list[Any], optimizer: Optimizer, factor: float, step: int,
                        precision: str = "fixed16", penalties: Mapping[int, Penalty] | None = None) -> None:
        """`backward` and `update` at once, to the same bytes: gradients of the weights are used while in cache.

        `caches` is empty afterwards: each is let go as soon as it is used.
        """
        douts: dict[int, Gradient] = {len(self.layers) - 1: dscores}
        for i in reversed(range(len(self.layers))):
            dout: Any = douts.pop(i, None)
            layer = self.layers[i]
            if dout is None:                                    # of Pixels
                caches.pop()
                continue
            if isinstance(layer, Weighted) and isinstance(optimizer, ByParts):
                on_part = optimizer.on_parts(f"{i}.weight", layer.parameters["weight"], factor, step,
                                             layer.bounds["weight"])
                dx: Any = layer.backward_update(dout, caches.pop(), precision, on_part)
            else:
                dx, gradients = self._layer_backward(i, dout, caches.pop(), precision, penalties)
                self._update_layer(i, gradients, optimizer, factor, step)
            del dout
            self._hand_on(douts, i, dx)

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that training changes, by name ("0.weight", "1.running_mean", ...): views, not copies."""
        found: dict[str, np.ndarray] = {}
        for i, layer in enumerate(self.layers):
            found |= {f"{i}.{name}": value for name, value in layer.parameters.items()}
            found |= {f"{i}.running_{name}": value for name, value in layer.running.items()}
        return found

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `arrays` gave; the bits are packed anew, and `left` is of the former ones."""
        self.left = None
        for name, value in self.arrays().items():
            value[...] = arrays[name]
        for layer in self.weighted:
            layer.refresh()

    def _repr_html_(self) -> str:
        size = " x ".join(map(str, self.input_shape))
        head, *rows = self._layer_rows()
        return html_text.table(f"{type(self).__name__}: {size} to {self.n_classes} classes", rows, head,
                               f"{sum(row[-1] for row in rows):,} parameters are trained")

    def _layer_rows(self) -> list[tuple[Any, ...]]:
        """Names of columns, and a row a layer: number, kind, what it reads if layers branch, output, parameters."""
        branched = any(read != (i - 1,) for i, read in enumerate(self.inputs))
        rows = [(i, type(layer).__name__, *([", ".join(map(str, self.inputs[i]))] * branched),
                 " x ".join(map(str, shape)), sum(value.size for value in layer.parameters.values()))
                for i, (layer, shape) in enumerate(zip(self.layers, self.shapes))]
        return [("", "layer", *(["reads"] * branched), "output", "parameters"), *rows]

    def summary(self, mapping: "ArrayMapping | None" = None) -> str:
        """A table of what `pack` would make of it now, as `PackedNetwork.summary` has it, and what is trained.

        Of a model that cannot be packed: its layers, and why.

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
        try:
            packed = pack(self)
        except (TypeError, ValueError) as error:
            rows = [[str(cell) for cell in row] for row in self._layer_rows()]
            table = f"{text_of(rows, left=2)}\nof the layers as they are trained, since `pack` says: {error}"
        else:
            table = packed.summary(mapping)
        return (f"{table}\ntrained: {latent:,} latent weights, {trained - latent:,} others "
                f"({4 * trained / 1000:,.1f} kB); running statistics: {running:,}")

    def describe(self) -> str:
        """One line that names the layers, their sizes and settings: all that a checkpoint must agree on."""
        words = []
        for i, (layer, shape) in enumerate(zip(self.layers, self.shapes)):
            settings = ", ".join(f"{name}={value}" for name, value in layer.settings().items())
            wires = "" if self.inputs[i] == (i - 1,) else f"<{','.join(map(str, self.inputs[i]))}>"
            words.append(f"{type(layer).__name__}{wires}{list(shape)}" + (f"({settings})" if settings else ""))
        return f"{list(self.input_shape)} {' '.join(words)}"


def _any(layer: Layer) -> Any:
    """A layer that may take several inputs."""
    return layer


def _sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b in float32, of gradients that come from two readers."""
    out = empty(a.shape, np.float32)
    rows = [each.reshape(-1, each.shape[-1]) for each in (a, b, out)]
    split(channels.add, len(rows[2]), *rows)
    return out


class Sequential(Graph):
    """Layers in a row: a graph without branches.

    Parameters
    ----------
    layers : list of Layer
        See `bnnsim.layers`; the first is an Input layer, the last BatchNorm or Logits. ValueError where two neighbours
        do not fit.
    input_shape : (C, H, W)
        Of one image.

    Attributes are those of `Graph`.
    """

    evaluation_batch = 500

    def __init__(self, layers: Sequence[Layer], input_shape: tuple[int, int, int]) -> None:
        row = check_sequence("layers", layers, "layers, such as [InputDense(...), ..., Logits(10)]")
        super().__init__([Wired(layer, (i - 1,)) for i, layer in enumerate(row)], input_shape)

    def _check_packable(self) -> None:
        """In a row each layer folds into the one before, or says why not when it is packed."""
