"""Independent bit flips: every stored bit is wrong with the same probability, the bit error rate (BER)."""

from dataclasses import dataclass, replace

import bnnsim.products as products
from bnnsim.checks import check_int, check_probability
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class BitFlips:
    """Each stored weight bit flips with probability p, independently, exactly Bernoulli: never drawn with replacement.

    Parameters
    ----------
    p : float, or a sequence of one float a layer
        Bit error rate(s).
    layers : sequence of int, optional
        Only these layers have errors; all by default.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> broken = bnnsim.faults.BitFlips(0.01).apply(network, rng=1)
    >>> int(np.bitwise_count(broken.layers[0].words ^ network.layers[0].words).sum())
    45
    """

    p: float | tuple
    layers: tuple | None = None

    def __post_init__(self):
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(check_int("layers", i, 0) for i in self.layers))
        if isinstance(self.p, (list, tuple)):
            object.__setattr__(self, "p", tuple(check_probability(f"p[{i}]", p) for i, p in enumerate(self.p)))
        else:
            object.__setattr__(self, "p", check_probability("p", self.p))

    def at(self, rate):
        """The same fault at another bit error rate."""
        return replace(self, p=rate)

    def rates(self, n_layers):
        """One rate a layer."""
        rates = self.p if isinstance(self.p, tuple) else (self.p,) * n_layers
        if len(rates) != n_layers:
            raise ValueError(f"p must be one probability or {n_layers}, one for each layer, got {len(rates)}")
        if self.layers is None:
            return rates
        if max(self.layers, default=0) >= n_layers:
            raise ValueError(f"layers must be in 0..{n_layers - 1}, got {self.layers}")
        return tuple(p if i in self.layers else 0.0 for i, p in enumerate(rates))

    def apply(self, network, rng=None, trial=0):
        """A network with bit errors; `network` is untouched, and layers without an error are shared.

        Parameters
        ----------
        network : PackedNetwork
        rng : None, int, SeedSequence or Generator
            The root seed. A draw's key is (root seed, "bit flips", trial, layer, array 0) and its counter the bit's
            place in the layer: not the rate, so one trial's flips at a lower rate are a subset of a higher rate's.
        trial : int
            Which chip.

        Returns
        -------
        PackedNetwork
        """
        if not hasattr(network, "with_words"):
            raise TypeError(f"network must be a PackedNetwork (see bnnsim.pack), got {type(network).__name__}")
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        broken = {}
        for i, (layer, p) in enumerate(zip(network.layers, self.rates(len(network.layers)))):
            rows = layer.words.reshape(-1, layer.words.shape[-1])
            masks = products.flip_masks(len(rows), layer.n_in, p, stream_key(root, "bit flips", trial, i, 0))
            if masks.any():
                broken[i] = layer.words ^ masks.reshape(layer.words.shape)
        return network.with_words(broken) if broken else network
