"""What a layer says of itself at its place, and running a network from any layer on, against `naive_metrics`."""

import naive_metrics
import numpy as np
import pytest
import random_networks
from hypothesis import given, settings
from kernel_calls import in_threads

from bnnsim.packed.blocks import each_block, reads
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.tolerance import NEVER, tolerance
from bnnsim.packed.words import unpack_signs
from bnnsim.training.packing import pack


def case(plan, n_images=5):
    """(network, images, naive blocks, what each of them reads)."""
    model, images = random_networks.build(plan, n_images)
    network = pack(model)
    blocks = naive_metrics.of_packed(network)
    return network, images, blocks, naive_metrics.inputs(blocks, images, network.input_offset)


def layer(units, fan_in, rng, **settings):
    return {"weight": rng.choice([-1, 1], (units, *fan_in)), "threshold": rng.integers(-3, 4, units),
            "inverted": rng.random(units) < 0.5, **settings}


def small(pool=2):
    """(network, images): a pooled convolution with padding, another with a stride, two dense layers."""
    rng = np.random.default_rng(0)
    layers = [layer(5, (2, 3, 2), rng, padding=1, pool=pool, order="HWC"),
              layer(3, (2, 1, 5), rng, stride=2, pad_value=1, padding=1),
              layer(4, (12 if pool == 2 else 48,), rng), {"weight": rng.choice([-1, 1], (3, 4))}]
    return PackedNetwork.from_arrays(layers, (2, 6, 5), 3), rng.integers(0, 9, (7, 2, 6, 5), np.uint8)


def values_of(x, n_features, shape):
    """+-1 of words (N, ..., W)."""
    return unpack_signs(x.reshape(-1, x.shape[-1]).copy(), n_features).reshape(shape)


# ---------------------------------------------------------------- running

@settings(max_examples=60)
@given(random_networks.plans())
def test_a_network_runs_from_any_layer_to_any_other(plan):
    """What layer i reads is what the naive network has there, and from it on all goes as from the images."""
    network, images, blocks, xs = case(plan)
    scores = network.scores(images)
    for i, stage in enumerate(network.stages):
        x = network.run(0, images, i)
        if i:
            given = network.stages[i - 1]
            np.testing.assert_array_equal(values_of(x, given.layer.units, (len(x), *given.output_shape)), xs[i])
            assert x.shape == (len(x), *given.bits_shape)
        for read in (x, stage.read(x)):                          # a map, or already flattened
            np.testing.assert_array_equal(network.run(i, read), scores)
        assert network.run(i, x, i) is x


@pytest.mark.jit_off
def test_a_small_network_runs_and_writes_where_it_is_told():
    network, images = small()
    xs, out = reads(network, images), np.full((7, 3), np.nan)
    assert network.run(2, xs[2], out=out) is out
    np.testing.assert_array_equal(out, network.scores(images))
    np.testing.assert_array_equal(out, naive_metrics.scores(naive_metrics.of_packed(network), images.transpose(
        0, 2, 3, 1).astype(int) - 3))
    for x, again in zip(xs[2:], reads(network, network.run(0, images, 2), 2), strict=True):
        np.testing.assert_array_equal(x, again)


NETWORK, IMAGES = small()
BAD = {
    "floats": (lambda: NETWORK.run(0, IMAGES / 255), r"layer 0 reads, uint8 of shape .N, 2, 6, 5., got float64"),
    "one image": (lambda: NETWORK.run(0, IMAGES[0]), "layer 0 reads"),
    "images inside": (lambda: NETWORK.run(1, IMAGES), r"layer 1 reads, uint64 of shape .N, 3, 2, 1., got uint8"),
    "another layer's": (lambda: NETWORK.run(3, NETWORK.run(0, IMAGES, 1)), r"layer 3 reads, uint64 of shape .N, 1."),
    "a row for a map": (lambda: NETWORK.run(1, np.zeros((2, 1), np.uint64)), "layer 1 reads"),
}


@pytest.mark.parametrize("row", BAD)
def test_what_a_layer_does_not_read_is_refused(row):
    """Kernels trust shapes: a wrong one would be read past its end."""
    call, message = BAD[row]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_slice_with_steps_is_made_one_block_of_memory():
    np.testing.assert_array_equal(NETWORK.run(0, IMAGES[::2]), NETWORK.scores(IMAGES)[::2])


# ---------------------------------------------------------------- what a layer says of itself

def check_stage(network, images, blocks, xs):
    for i, (stage, x) in enumerate(zip(network.stages, reads(network, images), strict=True)):
        patches, inside = naive_metrics.reads(blocks[i], xs[i])
        np.testing.assert_array_equal(stage.patches(x), patches)
        np.testing.assert_array_equal(stage.squares(x), (patches.astype(np.int64)**2).sum(-1))
        np.testing.assert_array_equal(stage.sums(x), naive_metrics.sums(blocks[i], xs[i]))
        assert np.abs(stage.sums(x)).max() <= stage.bound
        if i:
            np.testing.assert_array_equal(stage.n_summands, inside[0].sum(-1))
        weight = blocks[i]["weight"].reshape(stage.layer.units, -1)
        np.testing.assert_array_equal(stage.layer.signs(), weight)
        np.testing.assert_array_equal(stage.signs_by_summand, weight.T)
        assert stage.map_shape == naive_metrics.map_shape(blocks[i], xs[i])
        assert stage.macs == stage.n_positions * weight.size
        assert stage.patch_shape == (blocks[i]["weight"].shape[1:] if stage.shares_weights else xs[i].shape[1:]
                                     if xs[i].ndim == 4 else (1, 1, xs[i].shape[1]))


@settings(max_examples=60)
@given(random_networks.plans())
def test_summands_and_sums_are_those_of_the_naive_network(plan):
    check_stage(*case(plan))


@pytest.mark.jit_off
def test_summands_and_sums_of_a_small_network():
    network, images = small()
    blocks = naive_metrics.of_packed(network)
    check_stage(network, images, blocks, naive_metrics.inputs(blocks, images, 3))


@pytest.mark.jit_off
def test_layers_at_their_places_are_shared_by_copies_that_leave_them_alone():
    """And laid out once for all of them, whichever needs it first."""
    network, images = small()
    other = network.with_words({1: ~network.layers[1].words & np.uint64(2**5 - 1)})
    ref = other.scores(images)
    assert [one is two for one, two in zip(network.stages, other.stages)] == [True, False, True, True]
    assert "to_bits" in network.stages[0].__dict__ and "to_bits" not in network.stages[1].__dict__
    fresh = PackedNetwork(other.layers, other.input_shape, 3)
    np.testing.assert_array_equal(fresh.scores(images), ref)
    assert other.checksum == fresh.checksum != network.checksum


# ---------------------------------------------------------------- sums over blocks, T

@pytest.mark.parametrize("block_images", [1, 3, 7, 50])
def test_blocks_add_up_to_the_whole(block_images):
    network, images = small()
    images = np.concatenate([images] * 5)

    def visit(block, xs):
        return [[stage.sums(x).sum((0, 1), dtype=np.int64)] for stage, x in zip(network.stages, xs)]

    ref = visit(slice(0, 35), reads(network, images))
    found = in_threads(lambda: tuple(total for total, in each_block(network, images, visit, block_images)))
    for total, (whole,) in zip(found, ref, strict=True):
        np.testing.assert_array_equal(total, whole)
    assert each_block(network, images, lambda block, xs: [], block_images) == []


@pytest.mark.jit_off
def test_t_of_pixels_and_of_bits_by_sorted_summands():
    """T + 1 is the least number of summands of h's own side, the largest first, that bring h across."""
    network, images = small(pool=1)
    for stage, x in zip(network.stages[:-1], reads(network, images[:2])):
        h, patches, signs = stage.sums(x), stage.patches(x), stage.layer.signs()
        found = tolerance(stage, x, h)
        for n, p, u in np.ndindex(h.shape):
            above = h[n, p, u] >= stage.theta[u]
            push = np.sort(signs[u] * patches[n, p] * (1 if above else -1))[::-1].astype(int)
            after = h[n, p, u] - (1 if above else -1) * 2 * np.cumsum(push[push > 0])
            crossed = np.flatnonzero((after >= stage.theta[u]) != above)
            assert found[n, p, u] == (crossed[0] if len(crossed) else NEVER)
