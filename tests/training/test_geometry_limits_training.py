"""Layers of geometry at their limits in training."""

import naive
import naive_geometry
import numpy as np
import pytest

import bnnsim
from bnnsim.training.layers import BatchNorm, BatchNormSign, Conv2d, Dense, InputConv2d, MaxPool2d, SumPositions
from bnnsim.training.model import Sequential


@pytest.mark.parametrize("stride", [1, 2, (2, 1), (1, 2)])
@pytest.mark.parametrize("kernel", [1, (1, 2), (2, 1), (3, 1)])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_gradients_of_narrow_maps(width, kernel, stride):
    """Six inputs of which each lies in a row of its own: all rows of outputs that they read must be at hand."""
    rng = np.random.default_rng(0)
    layer = Conv2d(3, 5, kernel, stride, (0, 1, 0, 0), generator=rng)
    values = rng.choice([-1, 1], (2, 14, width, 3))
    h, cache = layer.forward_train(naive.pack(values))
    dh = rng.integers(-9, 10, h.shape).astype(np.float32)
    dx, _ = layer.backward(dh, cache, "float32")
    weight = np.where(layer.parameters["weight"] >= 0, 1, -1)
    wanted, _ = naive_geometry.conv_gradients(values, weight, dh, layer.stride, layer.padding)
    np.testing.assert_array_equal(dx, wanted)


def test_a_checkpoint_knows_replication():
    models = [bnnsim.architectures.build(f"C8{word} FC10", (1, 8, 8), rng=0) for word in ("", "rep", "plus", "d2")]
    assert len({model.describe() for model in models}) == 4
    assert "replicate" not in models[0].describe()


def test_settings_may_be_arrays():
    stream = np.random.default_rng(0)
    layer = Conv2d(1, 1, np.array([3, 2]), np.array([1, 2]), np.array([1, 0, 0, 1]), generator=stream)
    assert (layer.kernel, layer.stride, layer.padding) == ((3, 2), (1, 2), (1, 0, 0, 1))
    assert MaxPool2d(np.array([2, 3])).windows[:4] == (2, 3, 2, 3)


@pytest.mark.parametrize(("layers", "message"), [
    ([MaxPool2d(2), SumPositions(), BatchNorm(4)], "SumPositions, must stand between .* behind MaxPool2d"),
    ([SumPositions(), BatchNormSign(4), Dense(4, 2, np.random.default_rng(0)), BatchNorm(2)],
     "behind InputConv2d as layer 1 of 5"),
])
def test_sums_that_could_not_be_packed_are_refused_before_they_are_trained(layers, message):
    first = InputConv2d(1, 4, offset=0, generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match=message):
        Sequential([first, *layers], (1, 6, 6))


def test_sums_over_positions_must_fit():
    first = InputConv2d(3, 2, offset=0, generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match="largest sum, which must fit int32"):
        Sequential([first, SumPositions(), BatchNorm(2)], (3, 600, 600))
    Sequential([first, SumPositions(), BatchNorm(2)], (3, 500, 500))
