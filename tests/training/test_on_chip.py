"""Training on the chip: writes are counted bit by bit, and a limit on them holds, against loops in plain Python."""

import math
from functools import partial

import graph_models
import numpy as np
import pytest
from hypothesis import given, strategies
from training_run import interrupt_at, run, small_model, state, stop

import bnnsim.training.step as step_module
from bnnsim.kernels import threads
from bnnsim.packed.words import unpack_bits
from bnnsim.training.on_chip import CountedWrites, LimitedWrites
from bnnsim.training.optimizers import Adam, Bop, Metaplastic, Sgd
from bnnsim.training.schedules import Constant
from bnnsim.training.write_counts import WriteCounts

LATER = dict(schedule=Constant())            # which does not look at `epochs`
STEADY = dict(flip_rate=0, augment=False)
MAKES = {"adam": partial(Adam, 0.02), "bop": partial(Bop, gamma=0.3, tau=1e-4), "sgd": partial(Sgd, 1.0),
         "metaplastic": partial(Metaplastic, 0.02)}


def bits(model):
    return [unpack_bits(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in).reshape(
        layer.parameters["weight"].shape).astype(int) for layer in model.weighted]


@pytest.fixture
def seen(monkeypatch):
    """A function that trains, and gives the model and the stored bits before the first and after each step."""
    def train(optimizer, model=None, **settings):
        model = small_model() if model is None else model
        stored, step = [bits(model)], step_module.train_step

        def watched(run):
            step(run)
            stored.append(bits(run.model))

        with monkeypatch.context() as patch:
            patch.setattr(step_module, "train_step", watched)
            run(model=model, optimizer=optimizer, **{**STEADY, **settings})
        return model, stored

    return train


def counted_by_hand(stored):
    return [sum(np.abs(after[i] - before[i]) for before, after in zip(stored[:-1], stored[1:]))
            for i in range(len(stored[0]))]


def same(counts, wanted):
    assert [each.dtype for each in counts.layers] == [np.int64] * len(wanted)
    for found, each in zip(counts.layers, wanted, strict=True):
        np.testing.assert_array_equal(found, each)


# ---------------------------------------------------------------- counts

@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_every_change_of_a_stored_bit_is_counted_and_nothing_else_changes(seen, make):
    with threads(3):
        counted = CountedWrites(make())
        model, stored = seen(counted)
    counts = counted.writes(model)
    same(counts, counted_by_hand(stored))
    assert counts.total > 0 and (counts.largest > 1 or make is not MAKES["metaplastic"])
    plain, _ = seen(make())
    assert all(np.array_equal(a, b) for a, b in zip(model.arrays().values(), plain.arrays().values(), strict=True))


@pytest.mark.parametrize("make", [CountedWrites, LimitedWrites])
def test_writes_of_a_graph_with_branches(seen, make):
    optimizer = make(Adam(0.02))
    model, stored = seen(optimizer, graph_models.dense_blocks())
    same(optimizer.writes(model), counted_by_hand(stored))
    assert optimizer.writes(model).total > 0


@pytest.mark.jit_off
@pytest.mark.parametrize("size", [1, 63, 64, 65, 130])
def test_counts_at_the_edges_of_words(size):
    rng, counted, wanted = np.random.default_rng(size), CountedWrites(Sgd(1.0, 0)), np.zeros(size)
    value = rng.choice([-0.5, 0, 0.5], size).astype(np.float32)
    for step in range(1, 6):
        before = value >= 0
        counted.update("0.weight", value, rng.choice([-1, 0, 1], size).astype(np.float32), 1.0, step, 1.0)
        wanted += before != (value >= 0)
    np.testing.assert_array_equal(counted.state["0.weight"]["writes"], wanted)
    assert wanted.sum() > 0


def test_a_count_by_epochs_would_miss_writes(seen):
    """What `flip_ratio` tells: bits that changed over an epoch. One that changed twice was written twice."""
    counted = CountedWrites(Adam(0.02))
    model, stored = seen(counted)
    with pytest.raises(AssertionError):
        same(counted.writes(model), counted_by_hand(stored[::3]))


@pytest.mark.parametrize("make", [lambda: CountedWrites(Metaplastic(0.02)), lambda: LimitedWrites(Adam(0.02)),
                                  lambda: LimitedWrites(Adam(0.02), 2, 0.5, 0.01)])
def test_a_stopped_training_goes_on_to_the_same_bytes_and_counts(make, tmp_path, monkeypatch):
    with threads(2):
        whole = make()
        wanted = run(optimizer=whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with threads(1), pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", optimizer=make())
    with threads(3):
        resumed = make()
        found = run(tmp_path / "run.h5", optimizer=resumed, resume=True)
    assert state(*found) == state(*wanted)
    same(resumed.writes(found[0]), whole.writes(wanted[0]).layers)


def limited():
    return LimitedWrites(Adam(0.05), every=2, most=0.02)


def test_going_on_is_one_longer_training_of_what_waits_too():
    model, optimizer = small_model(), limited()
    run(model=model, epochs=1, optimizer=optimizer, **LATER)
    assert any((model.arrays()[key] != moments["latent"].reshape(model.arrays()[key].shape)).any()
               for key, moments in optimizer.state.items() if "latent" in moments), "nothing waits"
    found = run(model=model, epochs=2, optimizer=optimizer, initial_epoch=1, **LATER)
    assert state(*found) == state(*run(epochs=2, optimizer=limited(), **LATER))


def test_going_on_from_the_best_epoch_goes_on_from_its_weights():
    """Not from the latent weights of the last one, which are another network's by then."""
    model, optimizer = small_model(), limited()
    run(model=model, epochs=1, optimizer=optimizer, **LATER)
    best = {name: value.copy() for name, value in model.arrays().items()}
    run(model=model, epochs=3, optimizer=optimizer, initial_epoch=1, **LATER)
    assert any((model.arrays()[name] != value).any() for name, value in best.items())
    model.load_arrays(best)                                     # as keep="best" does at the end
    optimizer.learning_rate = 1e-50                               # 0 in float32
    run(model=model, epochs=4, optimizer=optimizer, initial_epoch=3, **LATER)
    for i, value in ((name, value) for name, value in best.items() if name.endswith(".weight")):
        np.testing.assert_array_equal(model.arrays()[i], value)


def test_another_limit_is_another_run(tmp_path):
    run(tmp_path / "run.h5", optimizer=LimitedWrites(Adam(0.02), every=2), epochs=1)
    with pytest.raises(ValueError, match="optimizer is .*every.*2.* there and .*every.*3.* here"):
        run(tmp_path / "run.h5", optimizer=LimitedWrites(Adam(0.02), every=3), epochs=1, resume=True)


def test_a_second_training_of_the_chip_adds_its_writes(seen):
    counted = [CountedWrites(Adam(0.02)) for _ in range(2)]
    model = small_model()
    first, second = (each.writes(run(model=model, optimizer=each, **STEADY)[0]) for each in counted)
    same(first + second, [a + b for a, b in zip(first.layers, second.layers)])
    assert first.total != second.total


# ---------------------------------------------------------------- limits

def test_without_a_limit_it_is_counted_writes(seen):
    for make in MAKES.values():
        limited, counted = LimitedWrites(make()), CountedWrites(make())
        (model, _), (other, _) = seen(limited), seen(counted)
        assert all(np.array_equal(a, b) for a, b in zip(model.arrays().values(), other.arrays().values(), strict=True))
        same(limited.writes(model), counted.writes(other).layers)


def test_at_most_so_many_bits_of_a_layer_are_written_and_only_at_those_steps(seen):
    limited = LimitedWrites(Adam(0.05), every=2, most=0.01)
    model, stored = seen(limited)
    same(limited.writes(model), counted_by_hand(stored))
    full = 0
    for i, layer in enumerate(model.weighted):
        limit = max(1, math.floor(0.01 * layer.n_bits))
        changes = [int(np.abs(after[i] - before[i]).sum()) for before, after in zip(stored[:-1], stored[1:])]
        assert not any(changes[::2]) and max(changes) <= limit          # steps count from 1
        full += changes.count(limit)
    assert full


def by_hand(latent, stored, step, every, most):
    """(stored bits, writes) of one step, bit by bit, largest latent weight first."""
    stored, waiting = list(stored), [i for i, w in enumerate(latent) if (w >= 0) != stored[i]]
    if step % every:
        return stored, []
    chosen = sorted(waiting, key=lambda i: (-abs(float(latent[i])), i))[:max(1, math.floor(most * len(stored)))]
    for i in chosen:
        stored[i] = not stored[i]
    return stored, chosen


@pytest.mark.jit_off
@given(strategies.integers(1, 4), strategies.sampled_from([0.004, 0.05, 0.3, 1.0]), strategies.integers(0, 2**32),
       strategies.integers(1, 150))
def test_a_limit_is_its_definition_bit_by_bit(every, most, seed, size):
    """The latent weights are those of the optimizer alone, given the same gradients."""
    rng = np.random.default_rng(seed)
    value = rng.choice([-0.5, -0.1, 0, 0.1, 0.5], size).astype(np.float32)
    latent, plain, limited = value.copy(), Sgd(1.0, 0), LimitedWrites(Sgd(1.0, 0), every, most=most)
    stored, writes = [bool(w >= 0) for w in value], np.zeros(size)
    for step in range(1, 7):
        gradient = rng.choice([-0.75, -0.25, 0, 0.25, 0.75], size).astype(np.float32)
        limited.update("0.weight", value, gradient, 1.0, step, 1.0)
        plain.update("0.weight", latent, gradient, 1.0, step, 1.0)
        stored, chosen = by_hand(latent, stored, step, every, most)
        writes[chosen] += 1
        np.testing.assert_array_equal(value >= 0, stored)
        agrees = (latent >= 0) == stored
        np.testing.assert_array_equal(value[agrees], latent[agrees])
        assert np.all(np.abs(value[~agrees]) < 1e-30)
    np.testing.assert_array_equal(limited.state["0.weight"]["writes"], writes)


def test_waiting_bits_are_written_with_a_probability_each():
    """Counts within 5 sigma; another probability is not; another seed, step and layer draw others."""
    def written(p, seed=0, step=1, key="0.weight"):
        value = np.full(100_000, 0.5, np.float32)
        limited = LimitedWrites(Sgd(1.0, 0), probability=p, seed=seed)
        limited.update(key, value, np.ones(value.size, np.float32), 1.0, step, 1.0)
        return value < 0

    def within(k, p):
        return abs(k - 1e5 * p) <= 5 * math.sqrt(1e5 * p * (1 - p))

    assert within(written(0.03).sum(), 0.03) and not within(written(0.033).sum(), 0.03)
    draws = [written(0.5), written(0.5, seed=1), written(0.5, step=2), written(0.5, key="3.weight")]
    assert all(within(np.sum(draws[0] & other), 0.25) for other in draws[1:])
    assert np.array_equal(draws[0], written(0.5)) and np.all(written(0.03) <= written(0.3)), "nested by probability"


# ---------------------------------------------------------------- what counts say

@given(strategies.lists(strategies.integers(0, 9), min_size=1, max_size=60), strategies.floats(0.1, 20))
def test_what_counts_say_is_what_they_are(numbers, limit):
    counts = WriteCounts([np.array([numbers]), np.array([[3.0, 0.0]], np.float32)])
    every = [*numbers, 3, 0]
    assert (counts.n_bits, counts.total, counts.largest) == (len(every), sum(every), max(every))
    assert counts.histogram().tolist() == [every.count(n) for n in range(max(every) + 1)]
    assert counts.share_beyond(limit) == sum(n > limit for n in every) / len(every)
    assert counts.share_beyond(limit, 2.0) == sum(n > limit / 2 for n in every) / len(every)
    mean, most = counts.endurance_spent(limit, 0.5)
    assert mean == pytest.approx(sum(every) / len(every) / limit / 2) and most == pytest.approx(max(every) / limit / 2)
    assert counts.table().splitlines()[-1].split()[1:3] == [str(len(every)), str(sum(every))]


def test_a_bit_that_was_written_as_often_as_the_memory_stands_is_not_beyond():
    counts = WriteCounts([np.array([[2, 3, 4]])])
    assert counts.share_beyond(3) == 1 / 3 and counts.share_beyond(1.5, 0.5) == 1 / 3


COUNTS = WriteCounts([np.ones((2, 3), int)])


@pytest.mark.parametrize("call, error, message", [
    (lambda: CountedWrites(Adam), TypeError, "optimizer must be an object with a method `update`"),
    (lambda: CountedWrites(LimitedWrites()), TypeError, "optimizer must be an object with a method `on_parts`"),
    (lambda: LimitedWrites("adam"), TypeError, "optimizer must be an object with a method `update`"),
    (lambda: LimitedWrites(every=0), ValueError, "every must be >= 1, got 0"),
    (lambda: LimitedWrites(every=2.0), TypeError, "every must be an integer"),
    (lambda: LimitedWrites(probability=0), ValueError, "probability must be > 0, got 0: nothing would ever"),
    (lambda: LimitedWrites(probability=1.1), ValueError, r"probability must be a probability in \[0, 1\]"),
    (lambda: LimitedWrites(most=0), ValueError, "most must be > 0"),
    (lambda: LimitedWrites(most=math.nan), ValueError, "most must be a probability"),
    (lambda: LimitedWrites(seed=-1), ValueError, "seed must be >= 0"),
    (lambda: CountedWrites().writes(small_model()), ValueError, "model must be the one that was trained"),
    (lambda: WriteCounts([]), ValueError, "layers must be counts of one layer at least"),
    (lambda: WriteCounts([np.ones(3, int)]), TypeError, r"layers\[0\] must be an array \(U, ..., F\)"),
    (lambda: WriteCounts([np.array([["a"]])]), TypeError, r"layers\[0\] must be an array"),
    (lambda: WriteCounts([np.array([[-1]])]), ValueError, "must have whole numbers >= 0"),
    (lambda: WriteCounts([np.array([[0.5]])]), ValueError, "must have whole numbers >= 0"),
    (lambda: WriteCounts([np.array([[math.nan]])]), ValueError, "must have whole numbers >= 0"),
    (lambda: COUNTS + WriteCounts([np.ones((3, 2), int)]), ValueError, "both must be counts of one network"),
    (lambda: COUNTS + 1, TypeError, "unsupported operand"),
    (lambda: COUNTS.share_beyond(0), ValueError, "endurance_cycles must be > 0"),
    (lambda: COUNTS.share_beyond(1, 0), ValueError, "cycles_per_write must be > 0"),
    (lambda: COUNTS.endurance_spent(math.inf), ValueError, "endurance_cycles must be finite")])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_learning_rate_is_that_of_the_optimizer_inside():
    counted = CountedWrites(Adam(0.02))
    counted.learning_rate = 0.01
    assert counted.optimizer.learning_rate == 0.01 == counted.learning_rate
    assert counted.moments_of("0.weight") == ("first", "second", "writes")
    assert LimitedWrites(Sgd()).moments_of("1.gamma") == ("velocity",)
