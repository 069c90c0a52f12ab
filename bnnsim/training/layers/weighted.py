"""What dense and conv layers share: latent weights, the bits they stand for, and reading those bits from a memory."""

import numpy as np

import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.words.packing as packing
from bnnsim.checks import check_array
from bnnsim.packed.words import pack_latent


class Weighted:
    """A layer with latent float32 weights (U, ..., F) in [-1, 1], stored as packed words (U, ..., ceil(F / 64)).

    Parameters
    ----------
    shape : tuple of int
        Of the latent weights.
    fan_in, fan_out : int
        For the initial weights, uniform in +-sqrt(1.5 / (fan_in + fan_out)) [C: the code of Buschjaeger et al. 2020].
    generator : numpy.random.Generator
    """

    gives = "pre-activations"

    def __init__(self, shape, fan_in, fan_out, generator):
        bound = np.sqrt(1.5 / (fan_in + fan_out))
        self.parameters = {"weight": generator.uniform(-bound, bound, shape).astype(np.float32)}
        self.gradient = np.zeros(shape, np.float32)            # reused at every step: it is as large as the weights
        self.refresh()

    def refresh(self):
        """Pack the latent weights' signs anew: after each update."""
        self.words = pack_latent(self.parameters["weight"])

    def forward(self, x):
        """Pre-activations int32 of x."""
        return self.preactivations(self.checked(x), self.words)

    def forward_train(self, x, words=None, mask=None):
        """Pre-activations from `words` as read from a memory (None: the stored ones), and the cache.

        mask : words of the flipped bits if the weight gradient is to see them ("native"), else None.
        """
        x, words = self.checked(x), self.words if words is None else words
        return self.preactivations(x, words), (x, words, mask)

    def backward(self, dout, cache, precision="fixed16"):
        """dx from the words that the forward pass read; dweight from x, and from `mask` where there is one.

        precision : "fixed16" or "float32"
            Round dout to 16 bits once and sum exactly (see `kernels.fixed_point`), or sum float32 in float32.
        """
        rows = self.gradient.reshape(-1, self.gradient.shape[-1])

        def keep(first, gradient):
            if not np.shares_memory(gradient, rows):
                rows[first:first + len(gradient)] = gradient

        return self._backward(dout, cache, precision, keep), {"weight": self.gradient}

    def backward_update(self, dout, cache, precision, on_part):
        """dx; each weight is updated, clipped and packed as soon as its gradient is there, which is stored nowhere.

        on_part : function (start, gradient)
            An optimizer's step on the flat weights from `start` on: see `optimizers`.
        """
        weight = self.parameters["weight"].reshape(-1, self.parameters["weight"].shape[-1])
        words = np.empty((len(weight), self.words.shape[-1]), np.uint64)

        def update(first, gradient):
            last = first + len(gradient)
            on_part(first * weight.shape[1], gradient.reshape(-1))
            packing.pack_latent(weight[first:last], words[first:last], 0, len(gradient))

        dx = self._backward(dout, cache, precision, update)
        self.words = words.reshape(self.words.shape)
        return dx

    def _backward(self, dout, cache, precision, consume):
        """dx; rows of dweight, straight through the sign (B(W) := W), go to ``consume(first, rows)`` in blocks."""
        x, words, mask = cache
        self.check_gradient(dout, (len(x), *self.output_shape(self.input_size(x))))
        dx = self.input_gradient(dout, x, words, precision)

        def masked(first, gradient):                            # native: dW = M * (dH X^T)
            rows = mask.reshape(-1, mask.shape[-1])[first:first + len(gradient)]
            packing.negate_masked(rows, gradient, 0, len(gradient))
            consume(first, gradient)

        self.weight_gradients(dout, x, precision, consume if mask is None else masked)
        return dx

    def check_gradient(self, dout, shape):
        """Refuse a gradient of another shape or type; one that stands behind a max-pool has its shape."""
        if not (isinstance(dout, pool.Pooled) and dout.shape == shape):
            check_array(f"dout of {type(self).__name__}", dout, np.float32, shape)
