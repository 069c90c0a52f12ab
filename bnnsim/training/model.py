"""A network in training: layers in a row, from images to scores."""

import math

import numpy as np

from bnnsim.checks import check_images, check_labels, check_split
from bnnsim.training.estimators import Clipped
from bnnsim.training.layers.weighted import Weighted

EVALUATION_BATCH = 500


class Sequential:
    """Layers in a row.

    Parameters
    ----------
    layers : list
        See `bnnsim.layers`; the first is an Input layer, the last BatchNorm or Logits. ValueError where two neighbours
        do not fit.
    input_shape : (C, H, W)
        Of one image.

    Attributes
    ----------
    shapes : list of tuple
        Output shape of each layer, without the batch.
    """

    def __init__(self, layers, input_shape):
        self.layers, self.input_shape = list(layers), tuple(input_shape)
        self.shapes, shape, given = [], self.input_shape, "pixels"
        for i, layer in enumerate(self.layers):
            if layer.takes != given:
                raise ValueError(f"layers[{i}], {type(layer).__name__}, takes {layer.takes}, but gets {given}: weights "
                                 "give pre-activations, BatchNormSign makes bits of them, BatchNorm or Logits scores")
            shape, given = layer.output_shape(shape), layer.gives
            self.shapes.append(shape)
        if given != "scores" or len(shape) != 1:
            raise ValueError(f"the last layer must give scores (n_classes,), it gives {given} {shape}")
        self.n_classes = shape[0]

    @property
    def weighted(self):
        """The layers with binary weights, in order."""
        return [layer for layer in self.layers if isinstance(layer, Weighted)]

    @property
    def integer_logits(self):
        """Whether scores are integers, with no batch norm behind the last layer."""
        return not self.layers[-1].parameters

    @property
    def needs_batches(self) -> bool:
        """Whether a batch norm has one value an image and unit: statistics over a batch of one image are the image."""
        return any(hasattr(layer, "running") and math.prod(shape[:-1]) == 1
                   for layer, shape in zip(self.layers, self.shapes))

    @property
    def output_fan_in(self):
        """Weights of one output: the largest integer logit."""
        return self.weighted[-1].parameters["weight"][0].size

    def scores(self, images):
        """Scores (N, n_classes) float64 of images (N, C, H, W) uint8: layer by layer, batch norm unfolded."""
        check_images(images, self.input_shape)
        out = np.empty((len(images), self.n_classes))
        for start in range(0, len(images), EVALUATION_BATCH):
            x = images[start:start + EVALUATION_BATCH]
            for layer in self.layers:
                x = layer.forward(x)
            out[start:start + EVALUATION_BATCH] = x
        return out

    def predict(self, images):
        """Class of each image (N,) int64; ties go to the lowest."""
        return self.scores(images).argmax(axis=1)

    def accuracy(self, split):
        """Share of a Split's images that are classified right."""
        labels = check_labels(check_split(split).labels, len(split.images), self.n_classes)
        return float(np.mean(self.predict(split.images) == labels))

    def forward_train(self, images, read=None):
        """Scores with batch statistics, and the caches for `backward`.

        read : function (index, layer) -> (words, mask), or None
            How layer number `index` with weights reads its bits from memory: see `Weighted.forward_train`.
        """
        x, caches, index = check_images(images, self.input_shape), [], 0
        for layer in self.layers:
            if isinstance(layer, Weighted):
                x, cache = layer.forward_train(x, *(read(index, layer) if read else (None, None)))
                index += 1
            else:
                x, cache = layer.forward_train(x)
            caches.append(cache)
        return x, caches

    def backward(self, dscores, caches, precision="fixed16", penalties=None):
        """Gradients of all parameters: one dict a layer. They are valid until the next call.

        penalties : dict of layer number to `regularisers.Penalty`, whose gradients are added.
        """
        gradients = [None] * len(self.layers)
        for i in reversed(range(len(self.layers))):
            dscores, gradients[i] = self._layer_backward(i, dscores, caches[i], precision, penalties)
        return gradients

    def _layer_backward(self, i, dout, cache, precision, penalties):
        layer = self.layers[i]
        if penalties and i in penalties:
            return layer.backward(dout, cache, penalties[i])
        return layer.backward(dout, cache, *([precision] if isinstance(layer, Weighted) else []))

    def update(self, gradients, optimizer, factor, step):
        """One optimizer step on every parameter; latent weights are clipped to [-1, 1] and packed anew."""
        for i in range(len(self.layers)):
            self._update_layer(i, gradients[i], optimizer, factor, step)

    def _update_layer(self, i, gradients, optimizer, factor, step):
        layer = self.layers[i]
        for name, gradient in gradients.items():
            bound = 1.0 if name == "weight" else math.inf
            optimizer.update(f"{i}.{name}", layer.parameters[name], gradient, factor, step, bound)
        if "weight" in gradients:
            layer.refresh()

    def backward_update(self, dscores, caches, optimizer, factor, step, precision="fixed16", penalties=None):
        """`backward` and `update` at once, to the same bytes: gradients of the weights are used while in cache.

        `caches` is empty afterwards: each is let go as soon as it is used.
        """
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            if isinstance(layer, Weighted) and hasattr(optimizer, "on_parts"):
                on_part = optimizer.on_parts(f"{i}.weight", layer.parameters["weight"], factor, step, 1.0)
                dscores = layer.backward_update(dscores, caches.pop(), precision, on_part)
            else:
                dscores, gradients = self._layer_backward(i, dscores, caches.pop(), precision, penalties)
                self._update_layer(i, gradients, optimizer, factor, step)

    def arrays(self):
        """Everything that training changes, by name ("0.weight", "1.running_mean", ...): views, not copies."""
        found = {}
        for i, layer in enumerate(self.layers):
            for name, value in layer.parameters.items():
                found[f"{i}.{name}"] = value
            for name, value in getattr(layer, "running", {}).items():
                found[f"{i}.running_{name}"] = value
        return found

    def load_arrays(self, arrays):
        """Take over what `arrays` gave; the bits are packed anew."""
        for name, value in self.arrays().items():
            value[...] = arrays[name]
        for layer in self.weighted:
            layer.refresh()

    def describe(self):
        """One line that names the layers, their sizes and settings: all that a checkpoint must agree on."""
        names = ("kernel", "stride", "padding", "pad_value", "offset", "size", "eps")
        words = []
        for layer, shape in zip(self.layers, self.shapes):
            settings = [f"{name}={getattr(layer, name)}" for name in names if hasattr(layer, name)]
            if getattr(layer, "gives", None) == "bits" and getattr(layer, "ste", Clipped()) != Clipped():
                settings.append(f"ste={layer.ste}")
            words.append(f"{type(layer).__name__}{list(shape)}" + (f"({', '.join(settings)})" if settings else ""))
        return f"{list(self.input_shape)} {' '.join(words)}"
