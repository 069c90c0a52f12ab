"""Buschjaeger et al., DATE 2021: what the margin of the integer logits says about bit errors of the output layer."""

import naive
import naive_flips
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bnnsim.packed.network import PackedNetwork
from bnnsim.proofs.certificates import certified_flips


def network_of(output, seed):
    """Random hidden units before the output layer that a claim is about."""
    n_in = output["weight"].shape[1]
    hidden = {"weight": np.random.default_rng(seed).choice([-1, 1], (n_in, n_in)), "threshold": np.zeros(n_in)}
    return PackedNetwork.from_arrays([hidden, output], (1, 1, n_in), 100)


def gains_formula(z, h, a, n_in, y):
    """The rule for the output layer: pool the gains of y and of a rival, take the largest until they reach the lead."""
    fewest = []
    for c in range(len(z)):
        if c == y:
            continue
        up_y = int((n_in + np.sign(a[y]) * h[y]) // 2) if a[y] else 0    # summands that hold the score up
        down_c = int((n_in - np.sign(a[c]) * h[c]) // 2) if a[c] else 0
        gains = sorted([2 * abs(a[y])] * up_y + [2 * abs(a[c])] * down_c, reverse=True)
        total, lead = 0.0, z[y] - z[c]
        for k, gain in enumerate(gains, 1):
            total += gain
            if total > lead or (total == lead and c < y):
                fewest.append(k)
                break
    return min(fewest, default=None)


@given(st.integers(2, 5), st.integers(3, 40), st.integers(0, 10**6))
def test_pooled_gains_are_the_tolerance_of_the_output_layer(n_classes, n_in, seed):
    """With an output batch norm of either sign, in quarters: sums of gains are exact, and ties occur."""
    rng = np.random.default_rng(seed)
    scale, shift = rng.integers(-4, 5, n_classes) / 4, rng.integers(-3, 4, n_classes) / 4
    output = {"weight": rng.choice([-1, 1], (n_classes, n_in)), "gamma": scale, "beta": shift,
              "mean": np.zeros(n_classes), "var": np.ones(n_classes)}
    network = network_of(output, seed)
    image = np.where(rng.random((1, 1, n_in)) < 0.5, 0, 200).astype(np.uint8)
    found = certified_flips(network, image[None])
    first = naive.dense(image.reshape(1, -1).astype(int) - 100, naive_flips.of_packed(network)[0]["weight"])
    bits = naive.threshold_bits(first, 0, np.zeros(n_in, bool))[0]
    h = output["weight"] @ bits
    z = h * scale + shift
    y = int(z.argmax())
    fewest = gains_formula(z, h, scale, n_in, y)
    assert found.predictions[0] == y
    assert found.layers[0, -1] == (fewest - 1 if fewest else network.layers[-1].n_bits)


@given(st.integers(2, 40), st.integers(0, 10**6))
def test_integer_logits_tolerate_half_of_their_margin(n_in, seed):
    """ceil(m / 2) - 1 flips for the margin m of the two best logits where ties are lost, floor(m / 2) where won.

    This is what the modified hinge loss buys: a margin of b holds against ceil(b / 2) - 1 flips, b = 128 against 63.
    """
    rng = np.random.default_rng(seed)
    weight = rng.choice([-1, 1], (2, n_in))
    network = network_of({"weight": weight}, seed)
    images = np.where(rng.random((8, 1, 1, n_in)) < 0.5, 0, 200).astype(np.uint8)
    found, scores = certified_flips(network, images), network.scores(images)
    for z, y, tolerance in zip(scores, found.predictions, found.layers[:, -1]):
        margin = int(z.max() - z.min())
        assert tolerance == (margin // 2 if y == 0 else -(-margin // 2) - 1)


@given(st.integers(1, 10**6))
def test_a_learnable_scale_changes_no_tolerance(seed):
    """One scale for all logits multiplies leads and gains alike: the margin that counts is that of the integers.

    So b / scale is what a hinge on scaled logits enforces, and the scale is to be held at 1.
    """
    rng = np.random.default_rng(seed)
    weight, n_in = rng.choice([-1, 1], (4, 30)), 30
    images = np.where(rng.random((5, 1, 1, n_in)) < 0.5, 0, 200).astype(np.uint8)
    plain = certified_flips(network_of({"weight": weight}, seed), images).layers[:, -1]
    scaled = {"weight": weight, "gamma": np.full(4, 2.0 ** rng.integers(-3, 4)), "beta": np.zeros(4),
              "mean": np.zeros(4), "var": np.ones(4)}
    np.testing.assert_array_equal(certified_flips(network_of(scaled, seed), images).layers[:, -1], plain)
