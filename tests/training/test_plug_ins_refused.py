"""What a user's own plug-ins must not give is refused in words that name it: kernels trust what they are handed."""

import numpy as np
import pytest
from test_plug_ins import MyClipped, MySgd, SPEC
from training_run import run

from bnnsim.training.architectures import build
from bnnsim.training.estimators import pseudo_gradient
from bnnsim.training.layers import BatchNormSign
from bnnsim.training.regularisers import Penalty


class Wrong:
    """A plug-in of any kind that gives what it is told to."""

    def __init__(self, given):
        self.given = given

    def pseudo_gradient(self, y):
        return self.given(y)

    def __call__(self, *args):
        return self.given(*args)

    def factor(self, epoch, n_epochs):
        return self.given(epoch)

    def apply(self, memory, rng=None, trial=0):
        return self.given(memory)


ESTIMATES = [
    (lambda y: y.astype(np.float32), TypeError, r"pseudo_gradient\(y\) of Wrong must have dtype float64, got float32"),
    (lambda y: 1.0, TypeError, r"pseudo_gradient\(y\) of Wrong must be a NumPy array, got float"),
    (lambda y: y[0], ValueError, r"pseudo_gradient\(y\) of Wrong must have shape \(2, 3\), got \(3,\)")]


@pytest.mark.jit_off
@pytest.mark.parametrize(("given", "error", "message"), ESTIMATES)
def test_estimators_that_give_no_gradient_are_refused_as_a_network_is_built(given, error, message):
    for make in (lambda: build(SPEC, (1, 6, 6), rng=0, ste=Wrong(given)), lambda: BatchNormSign(4, ste=Wrong(given))):
        with pytest.raises(error, match=message):
            make()


@pytest.mark.jit_off
def test_an_estimator_that_goes_wrong_later_is_refused_then():
    layer, h = BatchNormSign(4, ste=MyClipped()), np.ones((5, 4), np.int32)
    object.__setattr__(layer.ste, "pseudo_gradient", lambda y: y.sum(1))
    with pytest.raises(ValueError, match=r"must have shape \(5, 4\), got \(5,\)"):
        layer.backward(np.ones((5, 4), np.float32), layer.forward_train(h)[1])
    with pytest.raises(ValueError, match="pseudo_gradient"):
        pseudo_gradient(layer.ste, np.ones((5, 4)))


def penalty(units=4, dtype=np.float64, shape=(32, 3, 3, 4), kind=np.float32):
    return Penalty(np.zeros(units, dtype), np.zeros(units), np.zeros(shape, kind))


def one_moment(kind, size):
    class Momentous(MySgd):
        def update(self, key, value, gradient, factor, step, bound):
            self.state[key] = {"velocity": np.zeros(size or value.size, kind)}

    return Momentous(0.1)


def shifted(memory):
    return memory.with_words({0: memory.layers[0].words[:-1]})


def padded(memory):
    return memory.with_words({0: ~memory.layers[0].words})


REFUSED = {
    "loss, one thing": ({"loss": Wrong(lambda s, y: 1.0)}, TypeError, r"a loss must give two .*Wrong gave 1.0"),
    "loss, an array": ({"loss": Wrong(lambda s, y: (s, s))}, TypeError, "a loss must give two things"),
    "loss, float64": ({"loss": Wrong(lambda s, y: (1.0, s))}, TypeError,
                      r"the gradient that Wrong gave must have dtype float32, got float64"),
    "loss, shape": ({"loss": Wrong(lambda s, y: (1.0, np.zeros(10, np.float32)))}, ValueError,
                    r"must have shape \(32, 10\), got \(10,\)"),
    "loss, nan": ({"loss": Wrong(lambda s, y: (1.0, np.full(s.shape, np.nan, np.float32)))}, ValueError,
                  r"the gradient that Wrong gave with a loss of 1 must be finite, got nan at index \(0, 0\)"),
    "loss, inf in float32": ({"loss": Wrong(lambda s, y: (0.5, np.where(y[:, None] < 5, s, np.inf).astype(np.float32))),
                              "precision": "float32"}, ValueError,
                             "the gradient that Wrong gave with a loss of 0.5 must be finite, got inf"),
    "loss, nan itself": ({"loss": Wrong(lambda s, y: (np.nan, np.full(s.shape, np.nan, np.float32)))},
                         FloatingPointError, "the loss is nan at step 0"),
    "schedule": ({"schedule": Wrong(lambda epoch: None)}, TypeError,
                 r"factor\(epoch, n_epochs\) of the schedule must be a real number, got None"),
    "schedule, nan": ({"schedule": Wrong(lambda epoch: np.nan)}, ValueError, "of the schedule must be finite"),
    "regulariser, one thing": ({"regulariser": Wrong(lambda m, c: 0.0)}, TypeError,
                               r"a regulariser must give two things, .*; Wrong gave 0.0"),
    "regulariser, no norm": ({"regulariser": Wrong(lambda m, c: (0.0, {0: penalty()}))}, TypeError,
                             "each Penalty by the number of a batch norm in model.layers; .* gave 0: Penalty"),
    "regulariser, no layer": ({"regulariser": Wrong(lambda m, c: (0.0, {99: penalty()}))}, TypeError,
                              "gave 99: Penalty"),
    "regulariser, no Penalty": ({"regulariser": Wrong(lambda m, c: (0.0, {2: c[2].h}))}, TypeError, "gave 2: array"),
    "regulariser, units": ({"regulariser": Wrong(lambda m, c: (0.0, {2: penalty(5)}))}, ValueError,
                           r"dgamma of the Penalty that Wrong gave must have shape \(4\), got \(5,\)"),
    "regulariser, dtype": ({"regulariser": Wrong(lambda m, c: (0.0, {2: penalty(dtype=np.float32)}))}, TypeError,
                           "dgamma of the Penalty .* must have dtype float64, got float32"),
    "regulariser, dh": ({"regulariser": Wrong(lambda m, c: (0.0, {2: penalty(shape=(32, 4))}))}, ValueError,
                        r"dh of the Penalty .* must have shape \(32, 3, 3, 4\), got \(32, 4\)"),
    "regulariser, dh float64": ({"regulariser": Wrong(lambda m, c: (0.0, {2: penalty(kind=np.float64)}))}, TypeError,
                                "dh of the Penalty .* must have dtype float32"),
    "regulariser, nan in dbeta": (
        {"regulariser": Wrong(lambda m, c: (0.0, {2: Penalty(np.zeros(4), np.full(4, np.nan), penalty().dh)}))},
        ValueError, r"dbeta of the Penalty that Wrong gave must be finite, got nan at index \(0,\)"),
    "regulariser, nan in dh": (
        {"regulariser": Wrong(lambda m, c: (0.0, {2: Penalty(*np.zeros((2, 4)), np.full_like(penalty().dh, np.nan))}))},
        ValueError, "dh of the Penalty that Wrong gave must be finite, got nan"),
    "optimizer, no rate": ({"optimizer": Wrong(None)}, TypeError, "optimizer must be an object with a method `update`"),
    "moments, dtype": ({"optimizer": one_moment(np.float64, None)}, TypeError,
                       r"the optimizer's state\['7.gamma'\]\['velocity'\] must have dtype float32, got float64"),
    "moments, size": ({"optimizer": one_moment(np.float32, 3)}, ValueError, r"must have shape \(10\), got \(3,\)"),
    "faults, nothing": ({"faults": Wrong(lambda memory: None), "flip_rate": 0}, TypeError,
                        r"apply\(memory, rng, trial\) of faults must give the memory .*, got None"),
    "faults, shape": ({"faults": Wrong(shifted), "flip_rate": 0}, ValueError,
                      r"words of layer 0 that the faults gave must have shape \(4, 3, 3, 1\), got \(3, 3, 3, 1\)"),
    "faults, padding": ({"faults": Wrong(padded), "flip_rate": 0}, ValueError,
                        "words of layer 0 that the faults gave must have 0 in every padding bit, past feature 0"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_a_plug_in_must_not_give_is_refused_in_words(tmp_path, row):
    changes, error, message = REFUSED[row]
    with pytest.raises(error, match=message):
        run(tmp_path / "run.h5", **changes)


@pytest.mark.jit_off
@pytest.mark.parametrize("attribute", ["learning_rate", "state"])
def test_an_optimizer_lacks_nothing_before_the_first_step(attribute):
    """Once it was found missing at the end of the first epoch."""
    optimizer = MySgd(0.1)
    delattr(optimizer, attribute)
    with pytest.raises(TypeError, match=f"optimizer must be an object with an attribute `{attribute}`, such as"):
        run(optimizer=optimizer)
