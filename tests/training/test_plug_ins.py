"""What a user brings along works wherever its kind does, to the bytes of what ships where it computes the same.

Estimators and regularisers that no kernel knows, optimizers, schedules, losses and faults: in training, stopped and
gone on with, and described in checkpoints.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from training_run import interrupt_at, run, small_split, state, stop

from bnnsim import metrics
from bnnsim.faults import BitFlips, StuckAt
from bnnsim.training.adaptation import reestimate_batch_norm, rescale_thresholds
from bnnsim.training.architectures import build
from bnnsim.training.estimators import Clipped, SwishSign
from bnnsim.training.layers import BatchNormSign, Layer
from bnnsim.training.losses import ModifiedHinge, cross_entropy
from bnnsim.training.model import Sequential
from bnnsim.training.optimizers import Adam
from bnnsim.training.packing import pack
from bnnsim.training.plug_ins import as_text, settings_of
from bnnsim.training.regularisers import DirectRegulariser, Penalty
from bnnsim.training.schedules import Constant

SPEC = "C18 MP2 FC70 FC20 FC10"     # of 16 units and more, and some left


# ---------------------------------------------------------------- what a user might write

@dataclass(frozen=True)
class MyClipped:
    """`Clipped`, in NumPy."""

    width: float = 1.0

    def pseudo_gradient(self, y):
        return (np.abs(y) <= self.width).astype(np.float64)


class MySwish:
    """`SwishSign(5)`, in NumPy, as a class of no special kind."""

    def pseudo_gradient(self, y):
        z = np.minimum(5 * np.abs(y), 700)
        return 5 * (2 - z * np.tanh(z / 2)) / (1 + np.cosh(z))


class MyRegulariser:
    """`DirectRegulariser`, in NumPy. -0.0 is what changes no number that it is added to, -0.0 neither."""

    def __init__(self, strength, target):
        self.strength, self.target = strength, target

    def __call__(self, model, caches):
        chosen = [(i, layer) for i, layer in enumerate(model.layers) if isinstance(layer, BatchNormSign)]
        n_neurons, level, value, penalties = sum(layer.units for _, layer in chosen), 255, 0.0, {}
        for i, layer in chosen:
            added, penalties[i] = self.of_layer(layer, caches[i], level, n_neurons)
            value, level = value + added, 1
        return value, penalties

    def of_layer(self, layer, cache, level, n_neurons):
        h, (mean, _, scale, beta) = cache.h.reshape(len(cache.h), -1, layer.units), cache.norm
        slope, reach = self.strength / (2 * level * len(h) * n_neurons), 2 * level * self.target + 1
        threshold = mean - beta / scale
        place = np.abs(h - threshold).argmin(1)[:, None]
        value = np.take_along_axis(h, place, 1)
        side = np.where(value >= threshold, 1, -1) * (np.abs(value - threshold) < reach)
        dh = np.full(h.shape, -0.0, np.float32)
        np.put_along_axis(dh, place, -(np.float32(slope) * side.astype(np.float32)), 1)
        count, total, signed = ((side ** 2).sum((0, 1)), side.sum((0, 1)), (side * value).sum((0, 1)))
        added = slope * float(np.sum(count * np.full(layer.units, reach) - (signed - total * threshold)))
        dbeta = -slope * total * (1 / scale)
        dgamma = -dbeta * (beta / layer.parameters["gamma"].astype(np.float64))
        return added, Penalty(dgamma, dbeta, dh.reshape(cache.h.shape))


class MySgd:
    """`Sgd` with momentum 0.9, on whole arrays."""

    def __init__(self, learning_rate):
        self.learning_rate, self.state, self._calls = learning_rate, {}, 0

    def moments_of(self, key):
        return ("velocity",)

    def update(self, key, value, gradient, factor, step, bound):
        self._calls += 1                                        # of no matter to a checkpoint
        velocity = self.state.setdefault(key, {"velocity": np.zeros(value.size, np.float32)})["velocity"]
        velocity *= np.float32(0.9)
        velocity += gradient.reshape(-1)
        flat = value.reshape(-1)
        flat -= np.float32(self.learning_rate * factor) * velocity
        np.clip(flat, -bound, bound, out=flat)


class Halving:
    """A schedule, as a class of no special kind."""

    def __init__(self, every):
        self.every = every

    def factor(self, epoch, n_epochs):
        return 0.5 ** (epoch // self.every)


class Doubled:
    """A loss with settings, as a class of no special kind."""

    def __init__(self, by):
        self.by = by

    def __call__(self, scores, labels):
        loss, dscores = cross_entropy(scores, labels)
        return self.by * loss, np.float32(self.by) * dscores


class FirstBit:
    """A fault: the first bit of each row is read as 0."""

    def apply(self, memory, rng=None, trial=0):
        changed = {i: layer.words.copy() for i, layer in enumerate(memory.layers)}
        for words in changed.values():
            words[..., 0] &= ~np.uint64(1)
        return memory.with_words(changed)


# name: (settings of the model, of fit), twice: the user's, and what ships. Optimizers are made anew for each run
TWINS = {
    "estimator": (({"ste": MyClipped()}, {}), ({"ste": Clipped()}, {})),
    "regulariser": (({}, {"regulariser": MyRegulariser(0.5, 4.0)}), ({}, {"regulariser": DirectRegulariser(0.5, 4.0)})),
    "both": (({"ste": MyClipped()}, {"regulariser": MyRegulariser(0.5, 4.0)}),
             ({}, {"regulariser": DirectRegulariser(0.5, 4.0)})),
}
# settings of the model, of fit, and of fit where a checkpoint is another run's, and the name of what differs
MINE = {
    "estimator": ({"ste": MyClipped(0.5)}, {}, {"model": build(SPEC, (1, 6, 6), rng=0, ste=MyClipped(0.6))}, "model"),
    "plain estimator": ({"ste": MySwish()}, {}, {"model": build(SPEC, (1, 6, 6), rng=0, ste="swish")}, "model"),
    "regulariser": ({}, {"regulariser": lambda: MyRegulariser(0.5, 4.0)}, {"regulariser": MyRegulariser(0.5, 5.0)},
                    "regulariser"),
    "optimizer": ({}, {"optimizer": lambda: MySgd(0.05)}, {"optimizer": MySgd(0.06)}, "optimizer"),
    "schedule": ({}, {"schedule": lambda: Halving(2)}, {"schedule": Halving(3)}, "schedule"),
    "loss": ({}, {"loss": lambda: Doubled(2)}, {"loss": Doubled(3)}, "loss"),
    "faults": ({}, {"faults": FirstBit, "flip_rate": lambda: 0.0}, {"faults": StuckAt(0.1, 0.1)}, "faults"),
}


def made(of_model, settings, checkpoint=None, **changes):
    return run(checkpoint, model=build(SPEC, (1, 6, 6), rng=0, **of_model), **settings, **changes)


@pytest.mark.parametrize("name", TWINS)
def test_the_same_in_numpy_gives_the_same_bytes(name):
    mine, shipped = TWINS[name]
    assert state(*made(*mine)) == state(*made(*shipped))


def test_an_estimator_in_numpy_is_the_kernels_within_float32():
    """g(y) * dL/dx is rounded once, to float32."""
    rng, h = np.random.default_rng(3), np.random.default_rng(4).integers(-50, 51, (9, 66)).astype(np.int32)
    dout, found = rng.normal(size=h.shape).astype(np.float32), []
    for ste in (MySwish(), SwishSign(5.0)):
        layer = BatchNormSign(66, ste=ste)
        layer.parameters["gamma"][:], layer.parameters["beta"][:] = np.random.default_rng(5).normal(0, 1, (2, 66))
        dh, gradients = layer.backward(dout, layer.forward_train(h)[1])
        found.append((dh, gradients["gamma"], gradients["beta"]))
    for mine, shipped in zip(*found):
        np.testing.assert_allclose(mine, shipped, rtol=1e-5, atol=1e-6 * np.abs(shipped).max())


def test_a_subclass_is_asked_for_its_own_pseudo_gradient():
    """The kernels know what `Clipped` does, not what a user made of it."""
    class Never(Clipped):
        def pseudo_gradient(self, y):
            return np.zeros(y.shape)

    layer, h = BatchNormSign(3, ste=Never()), np.arange(12, dtype=np.int32).reshape(4, 3)
    dh, _ = layer.backward(np.ones((4, 3), np.float32), layer.forward_train(h)[1])
    assert not dh.any()


def test_an_own_estimator_goes_through_everything_that_takes_a_model():
    """Adaptation, packing, importance: as with the one that ships."""
    split = small_split()
    mine, shipped = (build(SPEC, (1, 6, 6), rng=0, ste=ste) for ste in (MyClipped(), "clipped"))
    for adapt in (lambda model: rescale_thresholds(model, 0.0, 0.1),
                  lambda model: reestimate_batch_norm(model, split, BitFlips(0.1), 1)):
        assert pack(adapt(mine)).checksum == pack(adapt(shipped)).checksum
    found, wanted = (metrics.importance(model, split, "taylor") for model in (mine, shipped))
    for a, b in zip(found.layers, wanted.layers):
        np.testing.assert_array_equal(a.raw, b.raw)


@pytest.mark.parametrize("name", MINE)
def test_a_stopped_run_goes_on_to_the_same_bytes_and_another_one_is_refused(tmp_path, monkeypatch, name):
    of_model, settings, other, differs = MINE[name]

    def mine(checkpoint=None, **changes):
        return made(of_model, {key: make() for key, make in settings.items()}, checkpoint, **changes)

    whole, path = state(*mine()), tmp_path / "run.h5"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            mine(path)
    with pytest.raises(ValueError, match=f"the checkpoint of another run: {differs} is .* there and .* here$"):
        run(path, **{"model": build(SPEC, (1, 6, 6), rng=0, **of_model), **{k: make() for k, make in settings.items()},
                     **other}, resume=True)
    assert state(*mine(path, resume=True)) == whole


class Scales(Layer):
    """A layer of a kind of its own: scores times a real number a class, which no memory holds as bits."""

    takes = gives = "scores"

    def __init__(self, units, note):
        self.parameters, self.note = {"scale": np.full(units, 3, np.float32)}, note

    def settings(self):
        return {"note": self.note}

    def output_shape(self, shape):
        return shape

    def forward(self, x):
        return x * self.parameters["scale"]

    def forward_train(self, x):
        return self.forward(x), x

    def backward(self, dout, cache):
        return dout * self.parameters["scale"], {"scale": (dout * cache).sum(0).astype(np.float32)}

    def pack_into(self, stored, input_offset):
        last, scale = stored[-1], self.parameters["scale"].astype(np.float64)
        stored[-1] = replace(last, scale=last.scale * scale, shift=last.shift * scale)


def with_own_layer(note="a", kind=Scales):
    layers = build(SPEC, (1, 6, 6), rng=0).layers
    return Sequential([*layers, kind(10, note)], (1, 6, 6))


def test_a_layer_of_an_own_kind_trains_resumes_and_is_packed(tmp_path):
    """Nothing but the layer knows of it; only latent weights are clipped to [-1, 1]."""
    model, history = run(model=with_own_layer(), optimizer=Adam(0.05), checkpoint=tmp_path / "run.h5")
    assert np.abs(model.layers[-1].parameters["scale"] - 3).min() > 0.01
    assert model.layers[-1].parameters["scale"].max() > 1.0 and "Scales[10](note=a)" in model.describe()
    images, again = small_split().images, with_own_layer()
    np.testing.assert_allclose(pack(model).scores(images), model.scores(images), rtol=1e-12)
    assert state(*run(model=again, optimizer=Adam(0.05), checkpoint=tmp_path / "run.h5", resume=True)) == \
        state(model, history)
    with pytest.raises(ValueError, match="another run: model is"):
        run(model=with_own_layer("b"), optimizer=Adam(0.05), checkpoint=tmp_path / "run.h5", resume=True)


@pytest.mark.jit_off
def test_a_layer_lacks_nothing():
    """What is abstract is missed when it is made; one that does not say how it is packed, when it is packed."""
    class Half(Layer):
        takes = gives = "scores"

    class Unpacked(Scales):
        pack_into = Layer.pack_into

    with pytest.raises(TypeError, match="abstract.*backward"):
        Half()
    model = with_own_layer(kind=Unpacked)
    with pytest.raises(TypeError, match="cannot pack a layer of type Unpacked: give it a `pack_into`"):
        pack(model)
    lines = model.summary().splitlines()                        # which raised it, too
    assert lines[0].split() == ["layer", "output", "parameters"] and lines[-3].split() == ["10", "Unpacked", "10", "10"]
    assert lines[-2].startswith("of the layers as they are trained, since `pack` says: cannot pack a layer of type")
    assert lines[-1].startswith("trained: ") and "pack" not in with_own_layer().summary()


@pytest.mark.parametrize(("spoil", "error", "message"), [
    (lambda gradient: {"scale": gradient.sum(0)}, TypeError,
     r"gradient of 'scale', of layer \d+, Spoiled, must be an array of float32, got float64: let `backward` end with"),
    (lambda gradient: {"scale": 0.5}, TypeError, "must be an array of float32, got float: "),
    (lambda gradient: {"scale": gradient.astype(np.float32)}, ValueError,
     r"must have shape \(10,\) as the parameter has, got \(32, 10\): let `backward` sum over the batch"),
    (lambda gradient: {"scale": gradient.sum(0)[:3].astype(np.float32)}, ValueError, r"got \(3,\)"),
    (lambda gradient: {"skale": gradient.sum(0).astype(np.float32)}, ValueError,
     "gradient of 'skale'.* must be of one of its parameters, scale$")])
def test_a_gradient_that_is_none_of_its_parameter_is_refused_and_not_learnt_from(spoil, error, message):
    """Of another size an optimizer took the first numbers of it, or left the last parameters as they were."""
    class Spoiled(Scales):
        def backward(self, dout, cache):
            return dout * self.parameters["scale"], spoil((dout * cache).astype(np.float64))

    with pytest.raises(error, match=message):
        run(model=with_own_layer(kind=Spoiled))


def test_a_gradient_may_lie_in_memory_as_it_likes():
    class Strided(Scales):
        def backward(self, dout, cache):
            dx, gradients = super().backward(dout, cache)
            return dx, {"scale": np.repeat(gradients["scale"], 2)[::2]}

    strided, plain = run(model=with_own_layer(kind=Strided))[0], run(model=with_own_layer())[0]
    assert np.array_equal(strided.layers[-1].parameters["scale"], plain.layers[-1].parameters["scale"])


# ---------------------------------------------------------------- what is said of them

@dataclass
class Counted:
    n: int = 3
    state: dict = None


class Plain:
    def __init__(self):
        self.array, self.pair, self.inner = np.arange(3), (1, np.float32(2.0)), Constant()
        self.mode, self.limit, self._hidden, self.state = "a", np.inf, 7, {"moments": 1}


@pytest.mark.jit_off
@pytest.mark.parametrize(("thing", "settings", "text"), [
    (Counted(4, {"x": 1}), {"type": "Counted", "n": 4}, "Counted(n=4)"),
    (ModifiedHinge(8), {"type": "ModifiedHinge", "b": 8}, "ModifiedHinge(b=8)"),
    (Halving(2), {"type": "Halving", "every": 2}, "Halving(every=2)"),
    (cross_entropy, {"type": "function"}, "cross_entropy"),
    (Adam(), {"type": "Adam", "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
     "Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, eps=1e-08)")])
def test_settings_and_text(thing, settings, text):
    assert settings_of(thing) == settings and as_text(thing) == text


@pytest.mark.jit_off
def test_settings_are_json_that_comes_back_equal():
    """Tuples would come back as lists, and infinity not at all; an address in memory is another one tomorrow."""
    found = settings_of(Plain())
    digest = found.pop("array")
    assert found == {"type": "Plain", "pair": [1, 2.0], "inner": "Constant()", "mode": "a", "limit": "inf"}
    assert digest.startswith("int64 [3] ") and digest != settings_of(Changed())["array"]
    assert "0x" not in as_text(Plain())


class Changed(Plain):
    def __init__(self):
        super().__init__()
        self.array = np.arange(1, 4)
