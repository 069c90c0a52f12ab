"""Losses by differences in random directions, optimizers bit for bit, schedules at known points."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, strategies

import bnnsim.training.optimizers as optimizers
import bnnsim.training.schedules as schedules
from bnnsim.training.architectures import build
from bnnsim.training.losses import LOSSES, MarginCrossEntropy, ModifiedHinge, SquaredHinge, cross_entropy
from bnnsim.training.optimizers import Adam, Bop, Metaplastic, Sgd
from bnnsim.training.schedules import Constant, Cosine, Exponential, Step


@pytest.fixture
def rng():
    return np.random.default_rng(41)


# losses

def check_gradient(loss, gradient, at, rng, tolerance=1e-5):
    """Central differences of `loss` in 20 random directions, in float64, against the gradient."""
    for _ in range(20):
        direction, step = rng.normal(0, 1, at.shape), 1e-4
        numeric = (loss(at + step * direction) - loss(at - step * direction)) / (2 * step)
        exact = float((gradient * direction).sum())
        size = np.linalg.norm(gradient) * np.linalg.norm(direction) / math.sqrt(at.size)
        assert abs(numeric - exact) <= tolerance * size, f"{numeric} by differences, {exact} by the gradient"


def loss_cases(rng):
    """Scores spread as at the start of training, as late in it, and shifted far off zero."""
    labels = rng.integers(0, 10, 6).astype(np.uint8)
    kinds = (0.1, 0), (2, 0), (1, 300)
    return [(rng.normal(0, spread, (6, 10)) + shift, labels) for spread, shift in kinds]


EACH_LOSS = {**LOSSES, "MHL, half of it reached": ModifiedHinge(b=0.5), "SH": SquaredHinge(margin=0.5),
             "MCEL, no margin": MarginCrossEntropy(0, 5), "MCEL, all of it": MarginCrossEntropy(6, 3)}


@pytest.mark.parametrize("name", EACH_LOSS)
@pytest.mark.parametrize("case", range(3))
def test_loss_gradient(rng, name, case):
    """A wrong gradient trains something else than the loss that is printed."""
    (scores, labels), loss = loss_cases(rng)[case], EACH_LOSS[name]
    dscores = loss(scores, labels)[1].astype(np.float64)
    if isinstance(loss, MarginCrossEntropy) and case == 2:       # tanh is flat at 300 / bound: nothing is left
        scores = scores - 300
        dscores = loss(scores, labels)[1].astype(np.float64)
    check_gradient(lambda s: loss(s, labels)[0], dscores, scores, rng)
    with pytest.raises(AssertionError, match="by differences"):
        check_gradient(lambda s: loss(s, labels)[0], 1.001 * dscores, scores, rng)


def naive_loss(kind, scores, labels):
    """Loss by loss, image by image, class by class."""
    total = 0.0
    for s, label in zip(scores.tolist(), labels.tolist()):
        if isinstance(kind, MarginCrossEntropy):
            z = [kind.bound * math.tanh(v / kind.bound) - kind.margin * (c == label) for c, v in enumerate(s)]
            total += -z[label] + max(z) + math.log(sum(math.exp(v - max(z)) for v in z))
            continue
        for c, v in enumerate(s):
            y = 1 if c == label else -1
            if isinstance(kind, ModifiedHinge):
                total += max(0, kind.b - y * v) / kind.b / len(s)
            else:
                total += max(0, kind.margin - y * v) ** 2 / len(s)
    return total / len(labels)


@pytest.mark.parametrize("kind", [ModifiedHinge(), ModifiedHinge(3), SquaredHinge(), SquaredHinge(7),
                                  MarginCrossEntropy(), MarginCrossEntropy(32, 20)])
def test_losses_are_their_formulas(rng, kind):
    """On integer logits, as they come: 128 is b itself, where the loss has ended."""
    scores = rng.integers(-200, 201, (50, 10)).astype(float)
    scores[0] = 128
    labels = rng.integers(0, 10, 50).astype(np.uint8)
    loss, dscores = kind(scores, labels)
    assert loss == pytest.approx(naive_loss(kind, scores, labels), rel=1e-12)
    assert dscores.dtype == np.float32 and np.isfinite(dscores).all()


def test_the_hinges_end_at_their_margin():
    scores, labels = np.array([[4.0, -4, -4]]), np.array([0], np.uint8)
    for loss in (ModifiedHinge(4), SquaredHinge(4)):
        value, dscores = loss(scores, labels)
        assert value == 0 and not dscores.any()
        value, dscores = loss(scores * 0.99, labels)
        assert value > 0 and dscores[0, 0] < 0 < dscores[0, 1]


def test_large_logits_do_not_overflow_margin_cross_entropy():
    loss, dscores = MarginCrossEntropy()(np.array([[-1e6, 1e6]]), np.array([0], np.uint8))
    assert loss == pytest.approx(264) and np.isfinite(dscores).all()


@pytest.mark.parametrize("spoil", [lambda d: 1.001 * d, lambda d: d + 0.001 * np.abs(d).max(),
                                   lambda d: d + 0.001 * np.linalg.norm(d) * np.eye(*d.shape)])
def test_gradient_check_rejects_an_error_of_a_thousandth(rng, spoil):
    scores, labels = loss_cases(rng)[1]
    _, dscores = cross_entropy(scores, labels)
    with pytest.raises(AssertionError, match="by differences"):
        check_gradient(lambda s: cross_entropy(s, labels)[0], spoil(dscores.astype(np.float64)), scores, rng)


def test_cross_entropy_at_known_points():
    labels = np.array([0, 2], np.uint8)
    assert cross_entropy(np.zeros((2, 4)), labels)[0] == pytest.approx(math.log(4), rel=1e-15)
    sure, dscores = cross_entropy(np.array([[50.0, 0, 0, 0], [0, 0, 50, 0]]), labels)
    assert sure == pytest.approx(3 * math.exp(-50), rel=1e-6, abs=1e-15) and np.abs(dscores).max() < 1e-20
    loss, dscores = cross_entropy(np.array([[-1e5, 1e5]]), np.array([0], np.uint8))       # exp(1e5) overflows
    assert loss == 2e5
    np.testing.assert_array_equal(dscores, [[-1, 1]])
    assert dscores.dtype == np.float32


# optimizers

SIZE = 200


def updates(optimizer, naive_update, rng, n_steps, bound, schedule):
    """Run both for n_steps from the same latent values on the same gradients, comparing bits at each."""
    value = rng.uniform(-1, 1, SIZE).astype(np.float32)
    ref = value.copy()
    for step in range(1, n_steps + 1):
        gradient = (rng.normal(0, 1, SIZE) * np.exp(rng.normal(0, 3, SIZE))).astype(np.float32)
        gradient[:3] = 0
        optimizer.update("0.weight", value, gradient, schedule(step), step, bound)
        ref = naive_update(ref, gradient, schedule(step), step)
        np.testing.assert_array_equal(value, ref)
    return value


@pytest.mark.parametrize("bound", [1.0, math.inf])
def test_adam_is_its_formula(rng, bound):
    """Bit for bit in float32, bias correction and decaying rate included."""
    moments = [np.zeros(SIZE, np.float32)] * 2

    def naive_update(value, gradient, factor, step):
        settings = (0.8, 0.99, 0.3 * factor / (1 - 0.8**step), 1 / math.sqrt(1 - 0.99**step), 1e-6, bound)
        value, *moments[:] = naive.adam(value, gradient, *moments, *map(np.float32, settings))
        return value

    value = updates(Adam(0.3, 0.8, 0.99, 1e-6), naive_update, rng, 8, bound, lambda step: 1 / step)
    assert (np.abs(value).max() == 1) if bound == 1 else (np.abs(value).max() > 1)


def metaplastic_updates(rng, optimizer, m, **wrong):
    """`updates` against the naive twin, of which some part may be a wrong one."""
    moments = [np.zeros(SIZE, np.float32)] * 2

    def naive_update(value, gradient, factor, step):
        settings = (0.8, 0.99, 0.3 * factor / (1 - 0.8**step), 1 / math.sqrt(1 - 0.99**step), 1e-6, 1)
        value, *moments[:] = naive.metaplastic(value, gradient, *moments, *map(np.float32, settings), m)
        return value

    with pytest.MonkeyPatch.context() as patch:
        for name, function in wrong.items():
            patch.setattr(naive, name, function)
        return updates(optimizer, naive_update, rng, 8, 1.0, lambda step: 1 / step)


@pytest.mark.parametrize("m", [0.3, 2.7, 40.0])
def test_metaplastic_is_its_formula(rng, m):
    """Bit for bit in float32, far into where nothing is left of a step."""
    metaplastic_updates(rng, Metaplastic(0.3, 0.8, 0.99, 1e-6, m=m), m)


@pytest.mark.parametrize("wrong", [lambda value, m: 1 - np.tanh(m * value),                  # not squared, and its sign
                                   lambda value, m: np.float32(1) - np.tanh(m * np.sign(value)) ** 2,
                                   lambda value, m: np.ones_like(value)])
def test_another_consolidation_fails(rng, wrong):
    with pytest.raises(AssertionError):
        metaplastic_updates(rng, Metaplastic(0.3, 0.8, 0.99, 1e-6, m=2.7), 2.7, consolidation=wrong)


def test_what_a_latent_weight_loses_is_one_minus_tanh_squared(rng):
    """A step towards zero, by Python's tanh; away from zero it is Adam's, bit for bit."""
    value = np.concatenate([rng.uniform(-1, 1, 500), [0.0, -0.0, 1e-30, -1e-30]]).astype(np.float32)
    for m, bound in ((0.5, 1e9), (3.0, 1e9), (7.5, 1e9)):
        for side in (1, -1):
            new, plain, gradient = value.copy(), value.copy(), np.full(value.size, side, np.float32)
            Metaplastic(1e-3, m=m).update("0.weight", new, gradient, 1.0, 1, bound)
            Adam(1e-3).update("0.weight", plain, gradient, 1.0, 1, bound)
            towards = (value > 0) == (side > 0)
            np.testing.assert_array_equal(new[~towards], plain[~towards])
            wanted = [1e-3 * side * (1 - math.tanh(m * w) ** 2) for w in value[towards].tolist()]
            np.testing.assert_allclose(value[towards] - new[towards], wanted, rtol=1e-5, atol=1.3e-7)


def test_metaplastic_without_m_is_adam_and_batch_norm_is_always(rng):
    for optimizer, key, bound in ((Metaplastic(0.1, m=0), "0.weight", 1.0), (Metaplastic(0.1), "1.gamma", math.inf)):
        value = rng.uniform(-1, 1, 50).astype(np.float32)
        ref, adam = value.copy(), Adam(0.1)
        for step in range(1, 5):
            gradient = rng.normal(size=50).astype(np.float32)
            optimizer.update(key, value, gradient, 0.5, step, bound)
            adam.update(key, ref, gradient, 0.5, step, bound)
        np.testing.assert_array_equal(value, ref)


@given(strategies.integers(-6, 6), strategies.floats(0.125, 16, width=32), strategies.integers(0, 2**32))
def test_latent_weights_have_a_unit(exponent, m, seed):
    """c times the weights and the rate, and m / c, are the same signs, bit for bit for c a power of two."""
    rng, c = np.random.default_rng(seed), 2.0**exponent
    value = rng.uniform(-1, 1, 40).astype(np.float32)
    scaled, own, other = (value * c).astype(np.float32), Metaplastic(0.125, m=m), Metaplastic(0.125 * c, m=m / c)
    for step in range(1, 6):
        gradient = rng.normal(size=40).astype(np.float32)
        own.update("0.weight", value, gradient, 1.0, step, 2.0)
        other.update("0.weight", scaled, gradient, 1.0, step, 2.0 * c)
        np.testing.assert_array_equal(scaled, value * np.float32(c))


@pytest.mark.parametrize("bound", [1.0, math.inf])
def test_sgd_is_its_formula(rng, bound):
    velocity = [np.zeros(SIZE, np.float32)]

    def naive_update(value, gradient, factor, step):
        settings = map(np.float32, (0.7, 0.2 * factor, bound))
        value, velocity[0] = naive.momentum(value, gradient, velocity[0], *settings)
        return value

    value = updates(Sgd(0.2, 0.7), naive_update, rng, 8, bound, lambda step: 1 / step)
    assert (np.abs(value).max() == 1) if bound == 1 else (np.abs(value).max() > 1)


def test_bop_is_its_formula(rng):
    """Bit for bit in float32; weights are +-1 after one step, and some flip and flip back."""
    average, optimizer, signs = [np.zeros(SIZE, np.float32)], Bop(0.3, 0.1), []

    def naive_update(value, gradient, factor, step):
        value, average[0] = naive.bop(value, gradient, average[0], np.float32(0.3 * factor), np.float32(0.1))
        signs.append(value)
        return value

    value = updates(optimizer, naive_update, rng, 8, 1.0, lambda step: 1 / step)
    assert set(np.unique(value)) == {-1, 1} and list(optimizer.state) == ["0.weight"]
    flips = np.diff(signs, axis=0) != 0
    assert flips.any() and not flips.all() and (flips.sum(0) > 1).any()


def test_bop_leaves_batch_norm_to_adam(rng):
    value, gradient = (rng.normal(size=5).astype(np.float32) for _ in range(2))
    ref = value.copy()
    Bop(learning_rate=0.2).update("1.gamma", value, gradient, 0.5, 1, math.inf)
    Adam(0.2).update("1.gamma", ref, gradient, 0.5, 1, math.inf)
    np.testing.assert_array_equal(value, ref)


def test_defaults():
    """Published settings; another default silently changes everybody's results."""
    assert Adam() == Adam(1e-3, 0.9, 0.999, 1e-8) and Metaplastic() == Metaplastic(1e-3, 0.9, 0.999, 1e-8, m=7.5)
    assert Sgd() == Sgd(0.1, 0.9) and Step() == Step(25, 0.5)


@pytest.mark.parametrize("optimizer", [Adam(0.5), Metaplastic(0.5), Sgd(50.0)])
def test_latent_weights_stay_clipped_and_words_are_their_signs(rng, optimizer):
    """The paper's code clips a copy, so nothing is clipped there; stale words would train another network."""
    model = build("C5 MP2 FC70 FC3", (1, 6, 6), rng=0)
    optimizer.state.clear()
    images, labels = rng.integers(0, 256, (8, 1, 6, 6), np.uint8), rng.integers(0, 3, 8)
    clipped = changed = 0
    for step in range(1, 5):
        before = [layer.words.copy() for layer in model.weighted]
        scores, caches = model.forward_train(images)
        model.update(model.backward(cross_entropy(scores, labels)[1], caches), optimizer, 1.0, step)
        for layer, words in zip(model.weighted, before):
            weight = layer.parameters["weight"]
            assert np.abs(weight).max() <= 1
            np.testing.assert_array_equal(layer.words, naive.pack(np.where(weight >= 0, 1, -1)))
            clipped += np.sum(np.abs(weight) == 1)
            changed += np.sum(words != layer.words)
        assert max(np.abs(layer.parameters["gamma"]).max() for layer in model.layers
                   if "gamma" in layer.parameters) > 1
    assert clipped and changed


# schedules

@pytest.mark.parametrize("schedule, points", [
    (Constant(), {0: 1, 3.7: 1, 20: 1}),
    (Cosine(), {0: 1, 5: (1 + math.sqrt(0.5)) / 2, 10: 0.5, 20: 0, 21: 0}),
    (Step(), {0: 1, 24.99: 1, 25: 0.5, 50: 0.25, 99: 0.125}),
    (Step(2, 0.1), {1.9: 1, 2: 0.1, 4.5: 0.01}),
    (Exponential(0.9), {0: 1, 1: 0.9, 2: 0.81, 0.5: math.sqrt(0.9)})])
def test_schedules(schedule, points):
    for epoch, factor in points.items():
        assert schedule.factor(epoch, 20) == pytest.approx(factor, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("call, error, message", [
    (lambda: Adam(0), ValueError, "learning_rate must be > 0"),
    (lambda: Adam(-1e-3), ValueError, "learning_rate must be > 0"),
    (lambda: Adam(math.nan), ValueError, "learning_rate must be finite"),
    (lambda: Adam("0.1"), TypeError, "learning_rate must be a real number"),
    (lambda: Adam(beta1=1.0), ValueError, r"beta1 must be in \[0, 1\)"),
    (lambda: Adam(beta2=-0.1), ValueError, r"beta2 must be in \[0, 1\)"),
    (lambda: Adam(eps=0), ValueError, "eps must be > 0"),
    (lambda: Metaplastic(m=-1), ValueError, "m must be >= 0"),
    (lambda: Metaplastic(m=math.inf), ValueError, "m must be finite"),
    (lambda: Metaplastic(m="7"), TypeError, "m must be a real number"),
    (lambda: Metaplastic(0), ValueError, "learning_rate must be > 0"),
    (lambda: Metaplastic(1e-3, 0.9, 0.999, 1e-8, {}, 7.5), TypeError, "positional arguments"),
    (lambda: Sgd(math.inf), ValueError, "learning_rate must be finite"),
    (lambda: Sgd(momentum=1), ValueError, r"momentum must be in \[0, 1\)"),
    (lambda: Bop(0), ValueError, "gamma must be > 0"),
    (lambda: Bop(1.5), ValueError, "gamma must be <= 1"),
    (lambda: Bop(tau=0), ValueError, "tau must be > 0"),
    (lambda: Bop(learning_rate=0), ValueError, "learning_rate must be > 0"),
    (lambda: ModifiedHinge(0), ValueError, "b must be > 0"),
    (lambda: ModifiedHinge("128"), TypeError, "b must be a real number"),
    (lambda: SquaredHinge(-1), ValueError, "margin must be > 0"),
    (lambda: MarginCrossEntropy(-1), ValueError, r"margin \(m\) must be >= 0, got -1"),
    (lambda: MarginCrossEntropy(201), ValueError, r"margin \(m\) must be at most 2 \* bound, 200"),
    (lambda: MarginCrossEntropy(bound=0), ValueError, r"bound \(L\) must be > 0"),
    (lambda: Step(0), ValueError, "every must be >= 1"),
    (lambda: Step(2.5), TypeError, "every must be an integer"),
    (lambda: Step(gamma=0), ValueError, "gamma must be > 0"),
    (lambda: Exponential(1.1), ValueError, "gamma must be <= 1"),
    (lambda: Exponential(True), TypeError, "gamma must be a real number")])
def test_bad_settings(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_every_schedule_and_optimizer_is_tested_here():
    """A new one brings its row."""
    public = {name for module in (optimizers, schedules) for name, value in vars(module).items()
              if isinstance(value, type) and value.__module__ == module.__name__ and name[0] != "_"}
    assert public == {"Adam", "Bop", "Constant", "Cosine", "Exponential", "Metaplastic", "Sgd", "Step",
                      "ByParts", "Optimizer", "Schedule"}       # the protocols
