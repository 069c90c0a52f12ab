"""Chips of few wrong bits that fail by one layer: what it weighs is told from chips with more errors in it.

Of all chips, those without a wrong bit in the layer that fail are for `rare_failures`, with rate 0 in it.

R rates, T trials ("chips").
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import check_int, check_probability, check_sequence
from bnnsim.faults import BitFlips
from bnnsim.packed.blocks import check_labelled
from bnnsim.packed.graph_pass import clean_pass_of
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource, root_seed
from bnnsim.statistics.rare_shares import RareShare, reweighted_share
from bnnsim.statistics.yields import reaches

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages


def layer_failures(network: PackedNetwork, split: "LabelledImages", rate: float, limit: float, *, layer: int = 0,
                   drawn_at: Sequence[float] = (1e-4, 3e-4, 1e-3, 3e-3, 0.01), trials: int = 100,
                   rng: RandomSource = None, level: float = 0.95) -> RareShare:
    """The share of chips at a bit error rate that are below a limit and have a wrong bit in one layer.

    All layers err. The one is drawn at each of the rates ``drawn_at``, all others at `rate`, so that their
    probabilities cancel in a chip's weight: `bnnsim.statistics.reweighted_share` of the one layer's wrong bits is the
    share among all chips of the whole network.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
    rate : float
        Bit error rate, of all layers.
    limit : float
        Least accuracy of a good chip.
    layer : int
    drawn_at : sequence of float
        At which one or a few bits of the layer are wrong, as they are on chips that fail at `rate`.
    trials : int
        Chips at each of these rates.
    rng : None, int, SeedSequence or Generator
        Trial t has the wrong bits of trial t of a sweep.
    level : float
        Of the interval.

    Returns
    -------
    RareShare
        The same for any number of threads.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_cnn")
    >>> test = bnnsim.load_embedded()[1][:50]
    >>> found = layer_failures(network, test, 1e-6, 0.8, drawn_at=[1e-3, 1e-2], trials=2, rng=0)
    >>> found.low <= found.share <= found.high
    True
    """
    labels = check_labelled(network, split)
    rate, limit, root = check_probability("rate", rate), check_probability("limit", limit), root_seed(rng)
    layer, trials = check_int("layer", layer, 0, len(network.layers) - 1), check_int("trials", trials, 1)
    rates = [check_probability(f"drawn_at[{i}]", q) for i, q in enumerate(
        check_sequence("drawn_at", drawn_at, "bit error rates, such as [1e-4, 1e-3]"))]
    others, clean = BitFlips([rate * (i != layer) for i in range(len(network.layers))]), network.layers[layer]
    answers = clean_pass_of(network, split.images)
    failed, wrong = np.zeros((len(rates), trials), bool), np.zeros((len(rates), trials), np.int64)
    for t in range(trials):
        rest = others.apply(network, root, t)
        for r, q in enumerate(rates):
            words = BitFlips(q, (layer,)).apply(network, root, t).layers[layer].words
            wrong[r, t] = np.bitwise_count(words ^ clean.words).sum()
            if wrong[r, t]:
                right = np.mean(answers.predict(rest.with_words({layer: words})) == labels)
                failed[r, t] = not reaches(right, limit)
    return reweighted_share(failed, wrong, rates, clean.n_bits, rate, level)
