"""Metrics of networks of any geometry, by definition and by brute force; what needs scores refuses others by name."""

import naive_geometry
import naive_metrics
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from random_geometries import networks
from test_metrics import blocks_of, check_margins

import bnnsim
import bnnsim.metrics as metrics
import bnnsim.metrics.flip_statistics as flip_statistics
import bnnsim.training.layers as layers
from bnnsim.metrics.neuron_importance import output_gradients
from bnnsim.metrics.neuron_tolerance import neuron_tolerance
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.tolerance import NEVER
from bnnsim.training.model import Sequential

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def labelled(network, images):
    labels = network.predict(images)
    labels[0] = (labels[0] + 1) % network.n_classes
    return bnnsim.Split(images, labels, "random", network.n_classes)


@few
@given(networks())
def test_margins_are_those_of_their_definition(case):
    check_margins(*case)


@few
@given(networks())
def test_tolerance_by_trying_all_flips(case):
    """Exact, but for pooled comparisons that hold: there it is a bound from below."""
    network, images = case
    blocks, xs = blocks_of(network, labelled(network, images))
    result = metrics.bit_error_tolerance(network, images)
    for i, (stage, measured) in enumerate(zip(network.stages[:-1], result.layers, strict=True)):
        if not stage.shares_weights:
            continue
        found = neuron_tolerance(stage, network.run(0, images, i))
        outputs = naive_metrics.outputs(blocks[i], xs[i]).reshape(len(images), -1, found.shape[1])
        below = (outputs == np.where(blocks[i]["inverted"], 1, -1)).all(1)
        assert measured.exact == (stage.layer.pool == (1, 1))
        assert measured.n_never == (found == NEVER).sum()
        for n, u in np.ndindex(found.shape):
            true = naive_metrics.tolerance(blocks[i], xs[i][n:n + 1], u)
            true = NEVER if true is None else true
            assert found[n, u] == true if measured.exact or below[n, u] else found[n, u] <= true


@few
@given(networks())
def test_the_papers_form_is_its_definition(case):
    network, images = case
    blocks, xs = blocks_of(network, labelled(network, images))
    found = metrics.bit_error_tolerance(network, images)
    for i, layer in enumerate(found.layers):
        block, h = blocks[i], naive_metrics.sums(blocks[i], xs[i])
        h = naive_geometry.pool(h.reshape(len(h), *naive_metrics.map_shape(block, xs[i]), -1), block["pool"],
                                block["pool_stride"], block["pool_padding"])
        level = max(block["level"], abs(block["value"])) if i == 0 else 1
        theta = np.clip(block["theta"].astype(int), -network.stages[i].bound, network.stages[i].bound + 1)
        ref = ((np.abs(h - (theta - 0.5)) - 1) / (2 * level)).min((1, 2)).mean(0)
        np.testing.assert_allclose(layer.paper_by_neuron, ref, atol=2e-6)


@few
@given(networks())
def test_importance_and_critical_bits_by_brute_force(case):
    """Last layers that sum over positions, or have thresholds, too."""
    network, images = case
    split = labelled(network, images)
    blocks, xs = blocks_of(network, split)
    np.testing.assert_array_equal(network.scores(images), naive_metrics.scores(blocks, xs[0]))
    for i, layer in enumerate(metrics.importance(network, split).layers):
        change = naive_metrics.inverted_changes(blocks, xs, i, split.labels)
        np.testing.assert_array_equal(layer.raw, -change.sum(0) / len(split))
    for i in range(len(network.layers)):
        np.testing.assert_array_equal(metrics.critical_bits(network, split, i).effect,
                                      naive_metrics.flip_effects(blocks, xs, i, split.labels))


@few
@given(networks(ends=("dense",)))
def test_a_prediction_draws_chips(case):
    """And at rate 1, where all is certain, it is what a network of wrong weights gives."""
    network, images = case
    x = images
    for i, stage in enumerate(network.stages[:-1]):
        if stage.shares_weights:
            flips = flip_statistics.SharedFlips(stage)
            chip, = flips.chances(3, [0.3], np.random.default_rng(0), np.array([1, 2], np.uint64))
            np.testing.assert_array_equal(
                flips.drawn(flips.given(x), 0.3, chip),
                network.with_words({i: network.layers[i].words ^ chip}).run(i, x, i + 1))
        x = network.run(i, x, i + 1)
    found = metrics.predicted_accuracy(network, labelled(network, images), [0, 1.0], draws=2)
    broken = bnnsim.faults.BitFlips(1.0).apply(network, rng=0)
    np.testing.assert_array_equal(found.right[1], broken.predict(images) == labelled(network, images).labels)


def test_taylor_through_groups_replication_pools_and_sums_of_positions():
    """|a dL/da| by the chain rule, tap by tap."""
    rng = np.random.default_rng(0)
    stack = [layers.InputConv2d(2, 4, 2, padding=(1, 0, 0, 1), groups=2, offset=100, generator=rng),
             layers.MaxPool2d((2, 1), (1, 2), padding=(1, 0)), layers.BatchNormSign(4),
             layers.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(1, 1, 0, 2), pad_value="replicate", groups=2,
                           generator=rng), layers.BatchNormSign(6),
             layers.Conv2d(6, 3, 2, dilation=(1, 2), generator=rng), layers.SumPositions(), layers.BatchNorm(3)]
    model = Sequential(stack, (2, 5, 6))
    images = rng.integers(0, 256, (8, 2, 5, 6), np.uint8)
    split = bnnsim.Split(images, rng.integers(0, 3, 8), "random", 3)
    bnnsim.fit(model, split, epochs=3, batch_size=4, rng=0, progress=False)
    found = output_gradients(model, images, split.labels)
    convs, norms = [stack[i] for i in (0, 3, 5)], [stack[i].affine() for i in (2, 4, 7)]
    weights = [np.where(conv.parameters["weight"] >= 0, 1, -1) for conv in convs]
    given_as = [((1, 1), (1, 0, 0, 1), 0, False, (1, 1), 2), ((2, 1), (1, 1, 0, 2), 0, True, (1, 1), 2),
                ((1, 1), (1, 1, 1, 1), 0, False, (1, 2), 1)]
    h1 = naive_geometry.conv(np.moveaxis(images.astype(int), 1, 3) - stack[0].offset, weights[0], *given_as[0])
    normed = [(naive_geometry.pool(h1, (2, 1), (1, 2), (1, 0, 1, 0)) - norms[0][0]) * norms[0][1] + norms[0][2]]
    acts = [np.where(normed[0] >= 0, 1, -1)]
    h2 = naive_geometry.conv(acts[0], weights[1], *given_as[1])
    normed.append((h2 - norms[1][0]) * norms[1][1] + norms[1][2])
    acts.append(np.where(normed[1] >= 0, 1, -1))
    h3 = naive_geometry.conv(acts[1], weights[2], *given_as[2])
    z = (h3.sum((1, 2)) - norms[2][0]) * norms[2][1] + norms[2][2]
    e = np.exp(z - z.max(1, keepdims=True))
    dz = (e / e.sum(1, keepdims=True) - np.eye(3)[split.labels]) * norms[2][1]
    dh = np.broadcast_to(dz[:, None, None], h3.shape)
    second = naive_geometry.conv_gradients(acts[1], weights[2], dh, *given_as[2])[0]
    dh = second * (np.abs(normed[1]) <= 1) * norms[1][1]
    first = naive_geometry.conv_gradients(acts[0], weights[1], dh, *given_as[1])[0]
    for (outputs, gradient), a, ref in zip(found, acts, (first, second), strict=True):
        np.testing.assert_array_equal(outputs, a)
        np.testing.assert_allclose(gradient, ref, rtol=2e-3, atol=2e-3 * np.abs(ref).max())
    shares = metrics.importance(model, split, "taylor").layers
    np.testing.assert_allclose(shares[0].raw, np.abs((acts[0] * first).sum((1, 2))).mean(0), rtol=5e-3, atol=1e-4)


def ending_in(last):
    """A network of a convolution, and images."""
    rng = np.random.default_rng(0)
    first = {"weight": rng.choice([-1, 1], (4, 1, 1, 1)), "threshold": np.zeros(4, int), "order": "HWC"}
    dense = {"weight": rng.choice([-1, 1], (5, 24)), "threshold": np.zeros(5, int)}
    ends = {"conv": [{"weight": rng.choice([-1, 1], (3, 2, 2, 4)), "order": "HWC"}],
            "thresholds": [dense, {"weight": rng.choice([-1, 1], (3, 5)), "threshold": np.zeros(3, int)}]}
    return PackedNetwork.from_arrays([first, *ends[last]], (1, 2, 3)), rng.integers(0, 256, (4, 1, 2, 3), np.uint8)


@pytest.mark.parametrize(("last", "came"), [("conv", "layer 1, the last, is a convolution, whose sums"),
                                            ("thresholds", "layer 2, the last, has thresholds, which give")])
@pytest.mark.parametrize("measure", [lambda network, split: metrics.predicted_accuracy(network, split, [0.1]),
                                     lambda network, split: metrics.importance(network, split, "readout")])
def test_what_needs_scores_of_a_dense_layer_says_so(last, came, measure):
    network, images = ending_in(last)
    with pytest.raises(ValueError, match=f"needs a network whose last layer is dense and gives scores; {came}"):
        measure(network, labelled(network, images))


@pytest.mark.parametrize(("args", "came"), [([], "--what prediction needs"), (["--what", "importance", "--method",
                                                                               "readout"], "--method readout needs")])
def test_explain_says_so_before_it_measures(args, came, tmp_path, capsys):
    import bnnsim.explain as explain

    network, _ = ending_in("conv")
    network.save(tmp_path / "net.h5")
    with pytest.raises(SystemExit):
        explain.main([str(tmp_path / "net.h5"), *args])
    printed = capsys.readouterr()
    assert printed.out == "" and f"{came} a network whose last layer is dense" in printed.err
