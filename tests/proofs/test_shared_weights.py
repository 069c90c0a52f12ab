"""Certificates by shared weights: never too large by enumeration, larger than without, wrong versions caught."""

import itertools

import naive
import naive_flips
import naive_geometry as geometry
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_certificates import NORMS, SHAPES, case, conv, most_flips, output

import bnnsim.proofs.shared_weights as shared_weights
from bnnsim import threads
from bnnsim.kernels import are_compiled
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import unpack_signs
from bnnsim.proofs.attack import breaking_flips
from bnnsim.proofs.bounds import BlockBounds
from bnnsim.proofs.certificates import certified_flips

CONVS = sorted(name for name in SHAPES if any(layer.words.ndim == 4 for layer in case(name, 0)[0].layers))


@pytest.mark.jit_off
@settings(max_examples=30 if are_compiled() else 3)
@given(st.sampled_from(CONVS), st.integers(0, 2**20), NORMS)
def test_no_set_within_a_certificate_changes_the_class(shape, seed, norm):
    """All sets of flips of each convolution are tried, up to some thousand; an attack never beats it either."""
    network, images = case(shape, seed, norm)
    found, before = certified_flips(network, images, shared=True), certified_flips(network, images)
    layers = naive_flips.of_packed(network)
    assert (found.layers >= before.layers).all() and (found.whole >= before.whole).all()
    for i, layer in enumerate(network.layers[:-1]):
        attacks = breaking_flips(network, images, i)
        for n, image in enumerate(images):
            most = most_flips(layer.n_bits)
            smallest = naive_flips.smallest_break(layers, image, network.input_offset, i, most)
            assert smallest > min(found.layers[n, i], most), (shape, n, i)
            assert attacks[n] is None or len(attacks[n]) > found.layers[n, i]


def aligned(seed=0, pool=1, n_hidden=1, n_maps=6):
    """(network, images): each class's row is what the last convolution makes of one image, so leads are large."""
    rng = np.random.default_rng(seed)
    layers = [conv(n_maps, (2, 2), 1, rng, 500, pool=pool if n_hidden == 1 else 1)]
    if n_hidden == 2:
        layers.append(conv(n_maps, (2, 2), n_maps, rng, 5, pool=pool))
    size = (7 - n_hidden) // pool
    images = rng.integers(0, 256, (3, 1, 7, 7), np.uint8)
    blank = PackedNetwork.from_arrays([*layers, output(3, size * size * n_maps, rng, "none")], (1, 7, 7), 128)
    bits = unpack_signs(blank.run(0, images, n_hidden).reshape(3 * size * size, -1), n_maps)
    last = {"weight": bits.reshape(3, -1)}
    return PackedNetwork.from_arrays([*layers, last], (1, 7, 7), 128), images


@pytest.mark.parametrize("n_hidden, pool, tight", [(1, 1, 0.6), (1, 2, 0.1), (2, 1, 0.7), (2, 2, 0.4)])
def test_what_flips_change_is_at_most_what_the_bound_says(n_hidden, pool, tight):
    """Of all sets of up to 3 flips in a map, outputs that change, each by a worth of its own; exact for one of bits."""
    network, images = aligned(1, pool, n_hidden)
    i, block = n_hidden - 1, BlockBounds(network, images)
    flips = shared_weights.SharedFlips(block.stages[i], block.x[i], block.h[i])
    size, fan_in, layer = block.stages[i].pooled_shape[0], network.layers[i].fan_in, naive_flips.of_packed(network)[i]
    worth, shares = np.random.default_rng(2).random((size * size, 6, 1)), []
    for n in range(3):
        x = block.x[i][n:n + 1]
        clean = outputs(layer, block.stages[i], x)
        for q in (1, 2, 3) if fan_in < 10 else (1, 2):
            most = flips.most_of_maps(n, flips.by_position(n, worth), q)[:, 0]
            for u in range(6):
                sets = [[fan_in * u + f for f in chosen] for chosen in itertools.combinations(range(fan_in), q)]
                after = outputs(layer, block.stages[i], x, naive_flips.flipped(layer["weight"], sets))
                truth = ((after != clean)[..., u].reshape(len(sets), -1) * worth[:, u, 0]).sum(axis=1).max()
                assert truth <= most[u] * shared_weights.SLACK
                if n_hidden == 2 and pool == q == 1:
                    assert truth == pytest.approx(most[u])
                shares += [truth / most[u]] if most[u] else []
    assert np.mean(shares) > tight


def outputs(layer, stage, x, weight=None):
    """Bits (S, OH, OW, K) of a convolution that reads x, under weights (S, ...)."""
    h = naive_flips.conv(layer, stage.values(x).astype(int), layer["weight"][None] if weight is None else weight)
    h = geometry.pool(h, layer["pool"], layer["pool_stride"], layer["pool_padding"])
    return naive.threshold_bits(h, layer["threshold"], layer["inverted"]) > 0


def test_certificates_are_neither_0_nor_1():
    """Where they were: the truth lies between them and what the attack finds."""
    before, after, above = [], [], []
    for seed in range(6):
        network, images = aligned(seed, n_hidden=2, n_maps=16)
        before += certified_flips(network, images, singles=True).layers[:, 1].tolist()
        after += certified_flips(network, images, singles=True, shared=True).layers[:, 1].tolist()
        above += [len(found) for found in breaking_flips(network, images, 1)]
    before, after, above = map(np.array, (before, after, above))
    assert (after >= before).all() and (after < above).all()
    assert after.mean() > 1.5 * before.mean() and (after > 1).mean() > 0.5, (before, after, above)


def test_a_share_out_is_the_worst():
    """By trying all ways to give k flips to maps; flips beyond what a map has change nothing more."""
    rng = np.random.default_rng(0)
    gains = rng.random((6, 3, 2)) * np.arange(1, 7)[:, None, None]
    shares = shared_weights.Shares(3, 2)
    grown = np.concatenate([np.zeros((1, 3, 2)), np.maximum.accumulate(gains)])
    for k in range(1, 7):
        found = shares.add(gains[k - 1])
        ways = [way for way in itertools.product(range(k + 1), repeat=3) if sum(way) <= k]
        ref = np.max([sum(grown[q, u] for u, q in enumerate(way)) for way in ways], axis=0)
        np.testing.assert_allclose(found, ref, rtol=1e-12)


@pytest.mark.parametrize("wrong", ["need", "side", "maps"])
def test_a_bound_that_errs_is_caught_by_enumeration(wrong, monkeypatch):
    """Flips thought to be more than needed; sides exchanged; maps that are thought to share their flips."""
    if wrong == "maps":
        monkeypatch.setattr(shared_weights.Shares, "add", lambda self, most: np.max(most, axis=0))
    else:
        init = shared_weights.SharedFlips.__init__

        def changed(self, *args):
            init(self, *args)
            self.need = self.need + 2 * (wrong == "need")
            self.above = self.above ^ (wrong == "side")

        monkeypatch.setattr(shared_weights.SharedFlips, "__init__", changed)
    lies = 0
    for seed in range(6):
        network, images = aligned(seed, n_hidden=2, n_maps=16 if wrong == "maps" else 2)
        found, layers = certified_flips(network, images, shared=True).layers[:, 1], naive_flips.of_packed(network)
        attacks = breaking_flips(network, images, 1)
        for n, image in enumerate(images):
            lies += attacks[n] is not None and len(attacks[n]) <= found[n]
            if wrong != "maps":
                lies += naive_flips.smallest_break(layers, image, network.input_offset, 1, 5) <= min(found[n], 5)
    assert lies


def test_threads_do_not_change_them():
    network, images = aligned(n_hidden=2)
    found = []
    for n in (1, 2):
        with threads(n):
            found.append(certified_flips(network, images, shared=True).layers.tolist())
    assert found[0] == found[1]
