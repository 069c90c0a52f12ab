"""Errors of reading in training: which, straight-through gradients, resumed training, and nothing when packed."""

import functools

import naive
import naive_read_errors
import numpy as np
import pytest
from training_run import interrupt_at, stop

import bnnsim
from bnnsim.faults import ActivationErrors, AnalogColumns, BitFlips, PopcountErrors, PopcountNoise, SenseErrors
from bnnsim.seeding import child_root
from bnnsim.training import with_read_errors
from bnnsim.training.read_errors import ReadErrors

SPEC, SHAPE = "C9 MP2 C5p1 FC20 FC10", (1, 8, 8)
FAULTS = [ActivationErrors(0.1), PopcountErrors(0.3), PopcountNoise(0.1), SenseErrors(0.05)]


def noisy(fault=FAULTS[0], rng=3, spec=SPEC):
    return with_read_errors(bnnsim.architectures.build(spec, SHAPE, rng=0), fault, rng)


def data(n=120):
    rng = np.random.default_rng(5)
    return bnnsim.Split(rng.integers(0, 256, (n, *SHAPE), np.uint8), rng.integers(0, 10, n).astype(np.uint8), "random")


def fitted(model, epochs=2, **how):
    bnnsim.fit(model, data(), epochs, rng=1, batch_size=40, progress=False, **how)
    return model


def errors_of(model):
    return [layer for layer in model.layers if isinstance(layer, ReadErrors)]


def root_of(kind, layer):
    """Of seed 4, in a model that had no such errors before."""
    return child_root(child_root(4, kind.STREAM, 0), "read errors", layer)


def off_by_one(u, a, n, p):
    return -1 if u < p / 2 else 1 if u >= 1 - p / 2 else 0


@pytest.mark.jit_off
def test_a_step_errs_as_the_definition_says_and_the_next_one_anew():
    """Bits and sums against naive draws, of the layer's own stream; padded zeros are no summands."""
    bits, sums = errors_of(noisy(ActivationErrors(0.3), 4))[0], errors_of(noisy(PopcountErrors(0.6), 4))[0]
    words = np.zeros((3, *bits.stage.output_shape[:-1], 1), np.uint64)
    h = np.random.default_rng(1).integers(-9, 10, (3, *sums.stage.map_shape, 5)).astype(np.int32) * 2 + 1
    before = h.copy()
    for step in range(2):
        key = naive_read_errors.key_of(root_of(ActivationErrors, 0), "read errors", step)
        flips = naive_read_errors.draws(words.size, 9, key) < 0.3
        found, _ = bits.forward_train(words)
        np.testing.assert_array_equal(found.reshape(-1, 1), naive.pack(np.where(flips, 1, -1)))
        key = naive_read_errors.key_of(root_of(PopcountErrors, 1), "read errors", step)
        wanted = naive_read_errors.moved(h.reshape(3, -1, 5), sums.stage.n_summands,
                                         functools.partial(off_by_one, p=0.6), key)
        np.testing.assert_array_equal(sums.forward_train(h)[0].reshape(3, -1, 5), wanted)
        assert (wanted.reshape(h.shape) != h).mean() > 0.3
    np.testing.assert_array_equal(h, before)
    assert bits.running["steps"][0] == 2
    for layer, x in ((bits, words), (sums, h)):
        np.testing.assert_array_equal(layer.forward(x), x)
        dout = np.ones(x.shape, np.float32)
        assert layer.backward(dout, None)[0] is dout and layer.backward(dout, None)[1] == {}


def test_errors_stand_where_the_fault_hits():
    """Behind each sign, or behind the sums of each layer that reads bits, before the pool; of some layers alone."""
    names = [type(layer).__name__ for layer in noisy(ActivationErrors(0.1)).layers]
    assert [names[i - 1] for i, name in enumerate(names) if name == "ReadErrors"] == ["BatchNormSign"] * 3
    names = [type(layer).__name__ for layer in noisy(PopcountNoise(0.1)).layers]
    assert [names[i - 1] for i, name in enumerate(names) if name == "ReadErrors"] == ["Conv2d", "Dense", "Dense"]
    assert [layer.rate for layer in errors_of(noisy(PopcountErrors((0, 0, 0.2, 0.1))))] == [0.2, 0.1]
    assert len(errors_of(noisy(SenseErrors(0.1, layers=(3,))))) == 1


def test_two_kinds_of_errors_and_the_same_twice_draw_apart():
    """p = 0.3 twice, of one seed: 2 p (1 - p) of the bits, not 0 of them."""
    twice = errors_of(with_read_errors(noisy(ActivationErrors(0.3), 4), ActivationErrors(0.3), 4))[:2]
    words = np.zeros((200, *twice[0].stage.output_shape[:-1], 1), np.uint64)
    for layer in twice:
        words = layer.forward_train(words)[0]
    assert abs(np.bitwise_count(words).sum() / (words.size * 9) - 0.42) < 0.02


@pytest.mark.parametrize("fault", FAULTS[1:], ids=lambda fault: type(fault).__name__)
def test_sums_over_positions_have_errors_before_they_are_summed_up(fault):
    model = fitted(noisy(fault, spec="C9 C10 SUM"), 1)
    names = [type(layer).__name__ for layer in model.layers]
    assert names[-4:] == ["Conv2d", "ReadErrors", "SumPositions", "BatchNorm"]
    np.testing.assert_array_equal(bnnsim.pack(model).scores(data().images), model.scores(data().images))


def test_metrics_see_no_errors_and_what_is_packed_knows_of_them():
    model = fitted(noisy(PopcountNoise(0.2), spec="FC20 FC20 FC10"), 1)
    steps = [float(layer.running["steps"][0]) for layer in errors_of(model)]
    one, other = (bnnsim.metrics.importance(model, data(), "taylor").layers for _ in range(2))
    assert all(np.array_equal(a.share, b.share) for a, b in zip(one, other))
    assert [float(layer.running["steps"][0]) for layer in errors_of(model)] == steps
    assert bnnsim.pack(model).metadata["read_errors"] == repr(PopcountNoise(0.2))
    both = with_read_errors(model, ActivationErrors(0.1))
    assert bnnsim.pack(both).metadata["read_errors"] == f"{PopcountNoise(0.2)!r}; {ActivationErrors(0.1)!r}"


@pytest.mark.parametrize("kind", [ActivationErrors, PopcountErrors, PopcountNoise, SenseErrors])
def test_at_rate_zero_a_model_trains_as_one_that_has_no_such_layers(kind):
    plain, zero = fitted(bnnsim.architectures.build(SPEC, SHAPE, rng=0)), noisy(kind(1e-12))
    assert len(errors_of(zero)) == 3
    for one, other in zip(bnnsim.pack(plain).layers, bnnsim.pack(fitted(zero)).layers):
        np.testing.assert_array_equal(one.words, other.words)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_errors_change_what_is_trained_and_a_seed_gives_one_model(fault):
    packed = []
    for rng, n_threads in ((3, 1), (3, 2), (4, 2)):
        with bnnsim.threads(n_threads):
            packed.append([layer.words for layer in bnnsim.pack(fitted(noisy(fault, rng))).layers])
    plain = [layer.words for layer in bnnsim.pack(fitted(bnnsim.architectures.build(SPEC, SHAPE, rng=0))).layers]
    same = [all(map(np.array_equal, packed[0], other)) for other in (*packed[1:], plain)]
    assert same == [True, False, False]


def test_training_with_popcount_noise_stands_more_of_it():
    """On embedded images: what it is for."""
    train, test = bnnsim.load_embedded()
    train, test, fault, found = train[:2000], test[:500], PopcountNoise(0.1), []
    for errors in (None, fault):
        model = bnnsim.architectures.build("FC64 FC64 FC10", (1, 28, 28), rng=0)
        model = with_read_errors(model, errors, 0) if errors else model
        bnnsim.fit(model, train, 3, rng=0, batch_size=50, progress=False)
        found.append(fault.apply(bnnsim.pack(model), 1).accuracy(test))
    assert found[1] > found[0] + 0.05


def test_a_packed_model_predicts_what_the_model_does_without_errors():
    for fault in FAULTS:
        model = fitted(noisy(fault), 1)
        network = bnnsim.pack(model)
        assert len(network.layers) == 4
        np.testing.assert_array_equal(network.scores(data().images), model.scores(data().images))


@pytest.mark.parametrize("fault", FAULTS[:2], ids=lambda fault: type(fault).__name__)
def test_a_resumed_training_draws_on(fault, tmp_path, monkeypatch):
    """Same bytes as in one go; another rate, or root, is another training."""
    whole, path = fitted(noisy(fault), 3), tmp_path / "c.h5"
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="stopped by the test"):
        interrupt_at(patch, 5, stop)
        fitted(noisy(fault), 3, checkpoint=path, checkpoint_seconds=0)
    resumed = fitted(noisy(fault), 3, checkpoint=path, resume=True)
    for name, value in whole.arrays().items():
        np.testing.assert_array_equal(value, resumed.arrays()[name], err_msg=name)
    with pytest.raises(ValueError, match="ReadErrors"):
        fitted(noisy(type(fault)(0.31)), 3, checkpoint=path, resume=True)


def small(fault=FAULTS[1]):
    return errors_of(noisy(fault))[0]


BAD = [
    (lambda: noisy(rng="seed"), TypeError, "rng must be None"),
    (lambda: noisy(BitFlips(0.1)), TypeError, r"fault must be one of reading .*, got BitFlips\(p=0.1.*faults= of bnn"),
    (lambda: noisy(AnalogColumns()), TypeError, "fault must be one of reading that changes sums or bits, such as"),
    (lambda: noisy(None), TypeError, "fault must be one of reading"),
    (lambda: noisy(PopcountErrors), TypeError, "fault must be one of reading"),
    (lambda: noisy(spec="FC10"), ValueError, "model must have a layer that ActivationErrors.* hits, got none: layer 0"),
    (lambda: with_read_errors([], FAULTS[0]), TypeError, "model must be a Sequential, layers in a row, got list"),
    (lambda: noisy(PopcountErrors(0.1, layers=(0,))), ValueError, "popcount errors, but layer 0 reads pixels"),
    (lambda: bnnsim.Sequential([*bnnsim.architectures.build("C9 MP2 FC10", SHAPE).layers[:3], small()], SHAPE),
     ValueError, "takes pre-activations, but gets bits"),
    (lambda: small().output_shape((3, 4, 5)), ValueError, "ReadErrors of layer 1 cannot follow an output of shape"),
    (lambda: small(FAULTS[0]).output_shape((8, 8, 9)), ValueError, "make it anew for this model, by bnnsim.tr"),
    (lambda: small().forward(np.zeros((3, 4, 4, 2), np.int32)), ValueError, "the last 5 long"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
