"""Wrong activations in training: which bits, straight-through gradients, resumed training, and nothing when packed."""

import naive
import numpy as np
import pytest
from training_run import interrupt_at, stop

import bnnsim
from bnnsim.seeding import stream_key
from bnnsim.training.layers import BitNoise, with_bit_noise

SPEC, SHAPE = "C9 MP2 FC20 FC10", (1, 8, 8)


def noisy(p=0.1, rng=3, seed=0, spec=SPEC):
    model = bnnsim.architectures.build(spec, SHAPE, rng=seed)
    return bnnsim.Sequential(with_bit_noise(model.layers, p, rng), SHAPE)


def data(n=120):
    rng = np.random.default_rng(5)
    return bnnsim.Split(rng.integers(0, 256, (n, *SHAPE), np.uint8), rng.integers(0, 10, n).astype(np.uint8), "random")


@pytest.mark.jit_off
@pytest.mark.parametrize("shape", [(5, 2), (3, 2, 2, 2)])
def test_a_step_flips_its_bits_and_the_next_one_others(shape):
    layer = BitNoise(70, 0.3, rng=4)
    x = np.zeros(shape, np.uint64)
    for step in range(2):
        out, cache = layer.forward_train(x)
        key = [int(word) for word in stream_key(4, "bit noise", step)]
        flips = naive.flips(x.size // 2, 70, *key, int(0.3 * 2**64))
        np.testing.assert_array_equal(out.reshape(-1, 2), naive.pack(np.where(flips, 1, -1)))
        assert cache == (*shape[:-1], 70)
    assert layer.running["steps"][0] == 2
    np.testing.assert_array_equal(layer.forward(x), x)


@pytest.mark.jit_off
def test_gradients_pass_straight_through():
    layer = BitNoise(70, 0.5, rng=4)
    _, cache = layer.forward_train(np.zeros((5, 2), np.uint64))
    dout = np.random.default_rng(0).normal(0, 1, (5, 70)).astype(np.float32)
    dx, gradients = layer.backward(dout, cache)
    np.testing.assert_array_equal(dx, dout)
    assert gradients == {}


def test_without_noise_a_model_trains_as_one_that_has_no_such_layers():
    plain, zero = bnnsim.architectures.build(SPEC, SHAPE, rng=0), noisy(0.0)
    for model in (plain, zero):
        bnnsim.fit(model, data(), 2, rng=1, batch_size=40, progress=False)
    assert bnnsim.pack(plain).checksum == bnnsim.PackedNetwork(bnnsim.pack(zero).layers, SHAPE, 0,
                                                               bnnsim.pack(plain).metadata).checksum


def test_noise_changes_what_is_trained_and_a_seed_gives_one_model():
    packed = []
    for p, rng, n_threads in ((0.2, 3, 1), (0.2, 3, 2), (0.2, 4, 2), (0.05, 3, 2)):
        model = noisy(p, rng)
        with bnnsim.threads(n_threads):
            bnnsim.fit(model, data(), 2, rng=1, batch_size=40, progress=False)
        packed.append([layer.words for layer in bnnsim.pack(model).layers])
    same = [all(map(np.array_equal, packed[0], other)) for other in packed[1:]]
    assert same == [True, False, False]


def test_a_packed_model_predicts_what_the_model_does_without_noise():
    model = noisy(0.2)
    bnnsim.fit(model, data(), 1, rng=1, batch_size=40, progress=False)
    network = bnnsim.pack(model)
    assert len(network.layers) == 3
    np.testing.assert_array_equal(network.scores(data().images), model.scores(data().images))


def test_a_resumed_training_draws_on(tmp_path, monkeypatch):
    """Same bytes as in one go; another p, or root, is another training."""
    whole, part = noisy(), noisy()
    bnnsim.fit(whole, data(), 3, rng=1, batch_size=40, progress=False)
    path = tmp_path / "c.h5"

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="stopped by the test"):
        interrupt_at(patch, 5, stop)
        bnnsim.fit(part, data(), 3, rng=1, batch_size=40, progress=False, checkpoint=path, checkpoint_seconds=0)
    resumed = noisy()
    bnnsim.fit(resumed, data(), 3, rng=1, batch_size=40, progress=False, checkpoint=path, resume=True)
    for name, value in whole.arrays().items():
        np.testing.assert_array_equal(value, resumed.arrays()[name], err_msg=name)
    with pytest.raises(ValueError, match="BitNoise"):
        bnnsim.fit(noisy(0.3), data(), 3, rng=1, batch_size=40, progress=False, checkpoint=path, resume=True)


BAD = [
    (lambda: BitNoise(0, 0.1), ValueError, "n_channels must be >= 1"),
    (lambda: BitNoise(4, 1.1), ValueError, "p must be a probability"),
    (lambda: BitNoise(4, 0.1, "seed"), TypeError, "rng must be None"),
    (lambda: BitNoise(9, 0.1).output_shape((8,)), ValueError, "BitNoise of 9 channels cannot follow"),
    (lambda: BitNoise(9, 0.1).forward(np.zeros((3, 2), np.uint64)), ValueError, "the last 1 long"),
    (lambda: with_bit_noise([], 2.0), ValueError, "p must be a probability"),
    (lambda: bnnsim.Sequential([*bnnsim.architectures.build(SPEC, SHAPE).layers[:1], BitNoise(9, 0.1)], SHAPE),
     ValueError, "BitNoise, takes bits, but gets pre-activations"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
