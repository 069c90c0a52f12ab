"""A benchmark refuses to time a wrong result, and its limits and references are right themselves."""

import numpy as np
import pytest
import random_networks
from hypothesis import given, settings
from test_bench import tiny

import bnnsim
import bnnsim.benchmarks.kernels as kernels
import bnnsim.benchmarks.reference as reference
import bnnsim.benchmarks.scaling as scaling
import bnnsim.benchmarks.scaling_axes as scaling_axes
import bnnsim.benchmarks.sizes as sizes
import bnnsim.benchmarks.timing as timing
import bnnsim.campaign.cells as cells
import bnnsim.kernels.limits as limits
import bnnsim.packed.bits as bits
import bnnsim.training.model as model
import bnnsim.training.packing as packing
from bnnsim.kernels import operations
from bnnsim.packed.network import PackedNetwork


def spoilt(function):
    """The function with its first number wrong by one step."""
    def wrong(*args):
        out = function(*args)
        out.reshape(-1)[0] += 1 if out.dtype != np.float32 else np.float32(0.02 * np.abs(out).max())
        return out
    return wrong


def spoilt_rows(function):
    """A gradient whose first row, when it is handed out, has its first number wrong."""
    def wrong(*args):
        def consume(first, rows):
            if first == 0:
                rows[0, 0] += np.float32(0.02 * np.abs(rows).max())
            args[-1](first, rows)
        return function(*args[:-1], consume)
    return wrong


def without_last_bits(function):
    return lambda *args: function(*args) & np.uint64(2**63 - 1)


def wrong_cell(function):
    def wrong(*args):
        found = function(*args)
        return found._replace(right=found.right + (np.arange(len(found.right)) == 0))
    return wrong


WRONG = [
    (kernels, "dense_forward", spoilt, kernels.binary_gemm, "the binary GEMM"),
    (kernels, "dense_dx", spoilt, kernels.gradient_dx, "the product dX"),
    (kernels, "dense_dweight", spoilt_rows, kernels.gradient_dweight, "the product dW"),
    (kernels, "pixels_dense_forward", spoilt, kernels.first_layer, "the first layer"),
    (kernels, "flip_masks", without_last_bits, kernels.bit_errors, "drawing bit errors"),
]


@pytest.mark.tiny
@pytest.mark.parametrize(("module", "name", "how", "product", "message"), WRONG, ids=[row[1] for row in WRONG])
def test_a_wrong_kernel_is_found(module, name, how, product, message, monkeypatch):
    product(512, np.random.default_rng(1))
    monkeypatch.setattr(module, name, how(getattr(module, name)))
    with pytest.raises(timing.WrongResultError, match=f"{message} gives a wrong result"):
        product(512, np.random.default_rng(1))


@pytest.mark.parametrize(("section", "owner", "name", "how"), [
    ("training", model.Sequential, "predict", spoilt), ("inference", PackedNetwork, "scores", spoilt),
    ("sweep", cells, "run_cell", wrong_cell)])
def test_a_wrong_network_is_found(section, owner, name, how, monkeypatch, capsys):
    monkeypatch.setattr(owner, name, how(getattr(owner, name)))
    with pytest.raises(SystemExit) as stop:
        tiny("--only", section)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and "gives a wrong result, so it is not timed" in captured.err
    assert section not in captured.out


@pytest.mark.parametrize(("axis", "owner", "name", "how"), [
    ("batch", PackedNetwork, "predict", spoilt), ("width", PackedNetwork, "predict", spoilt),
    ("depth", PackedNetwork, "predict", spoilt), ("flips", cells, "run_cell", wrong_cell)])
def test_a_wrong_point_of_an_axis_is_found(axis, owner, name, how, monkeypatch, tmp_path):
    monkeypatch.setattr(owner, name, how(getattr(owner, name)))
    tiny_size = sizes.SIZES["tiny"]
    points = scaling_axes.AXES[axis].points(tiny_size, sizes.Images(tiny_size), str(tmp_path))
    for point in points.values():
        with pytest.raises(timing.WrongResultError):
            scaling.peak_allocated(point)


def test_a_lost_cell_is_found(monkeypatch, tmp_path):
    points = scaling_axes._cells(sizes.SIZES["tiny"], None, str(tmp_path))
    found = points["many rates", 100].call()
    assert points["many rates", 100].is_right(found) and not points["many rates", 1000].is_right(found)
    found.right[0, 3, 5] = -1
    assert not points["many rates", 100].is_right(found)


def test_a_wrong_limit_is_found(monkeypatch):
    has_tile = operations()["limits.madd_chains"].in_use is not None
    assert set(kernels.make_limits(3)) == ({"binary", "16-bit"} if has_tile else {"binary"})
    monkeypatch.setattr(limits, "xnor_limit", lambda seeds, n, out, first, last: out.fill(1))
    with pytest.raises(timing.WrongResultError, match="the limit's loop"):
        kernels.make_limits(3)


@pytest.mark.jit_off
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_limit_chains_are_what_their_twins_say(steps):
    rng = np.random.default_rng(0)
    cases = [(limits.xnor_limit, rng.integers(0, 2**64, (17, 8), np.uint64), lambda s, w: s + np.bitwise_count(s ^ w)),
             (limits.madd_limit, rng.integers(-2**31, 2**31, (17, 16)).astype(np.int32), products_added)]
    for kernel, seeds, step in cases:
        out = np.zeros((3, 16, seeds.shape[1]), seeds.dtype)
        kernel(seeds, steps, out, 1, 3)
        expected = seeds[:16]
        for _ in range(steps):
            expected = step(expected, seeds[16]).astype(seeds.dtype)
        assert (out[0] == 0).all() and (out[1:] == expected).all()


def products_added(totals, operand):
    """int32 totals + their pairs of int16 times the operand's, wrapping."""
    pairs, others = (np.ascontiguousarray(values).view(np.int16).astype(np.int64) for values in (totals, operand))
    return totals + (pairs * others).reshape(len(totals), -1, 2).sum(axis=2)


@settings(max_examples=30)
@given(random_networks.plans())
def test_the_reference_is_right_for_every_kind_of_layer(plan):
    """Not for the networks of the benchmark alone: strides, padding of all kinds, several pools, odd widths."""
    made, images = random_networks.build(plan, 3)
    network = packing.pack(made)
    np.testing.assert_array_equal(reference.reference_scores(network, images), network.scores(images))


def test_the_reference_is_right_for_every_geometry():
    for spec in ("C6k3x2s2x1p1x0x2x3d1x2 MP3x2s2x1p1 FC5", "C6rep MP3s2same C8g2plus C8g8minus FC5", "C6 C4g2k2 SUM"):
        network = packing.pack(bnnsim.architectures.build(spec, (2, 9, 8), rng=0))
        images = np.random.default_rng(1).integers(0, 256, (5, 2, 9, 8), np.uint8)
        np.testing.assert_array_equal(reference.reference_scores(network, images), network.scores(images))


@pytest.mark.tiny
def test_unpacked_weights_are_the_stored_bits():
    network = packing.pack(bnnsim.architectures.build("C3 MP2 FC10", (1, 8, 8), rng=0))
    for layer, found in zip(network.layers, reference.unpacked(network)):
        np.testing.assert_array_equal(bits.PackedBits.pack(found["weight"]).words, layer.words)
