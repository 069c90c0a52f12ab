"""Training under any fault: what the forward pass reads, what the gradient sees, checkpoints that name the fault."""

import numpy as np
import pytest
from fault_parts import count, within_5_sigma

import bnnsim.training.architectures as architectures
import bnnsim.training.fitting as fitting
import bnnsim.training.step as step_module
from bnnsim.datasets.split import Split
from bnnsim.faults import (ArrayMapping, AsymmetricFlips, BitFlips, Compose, EachRead, FaultMap, Protected, StuckAt,
                           StuckLine)
from bnnsim.packed.memory import Memory, of_model
from bnnsim.seeding import child_root
from bnnsim.training.layers.conv import Convolution
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.packing import pack
from bnnsim.training.step import train_step

RNG = np.random.default_rng(0)
TRAIN = Split(RNG.integers(0, 256, (48, 1, 6, 6), np.uint8), RNG.integers(0, 10, 48), "noise")
SPEC = "FC40 FC70 FC10"


def run(spec=SPEC, shape=(1, 6, 6), epochs=2, **settings):
    model = architectures.build(spec, shape, rng=0)
    settings = {"rng": 5, "batch_size": 16, "progress": False, **settings}
    return model, fitting.fit(model, TRAIN, epochs=epochs, **settings)


@pytest.fixture
def reads(monkeypatch):
    """(stored words, words read, mask) of each forward of each layer with weights, in order."""
    seen, forward, pooled = [], Weighted.forward_train, Convolution.forward_train_pooled

    def see(layer, words, mask):
        seen.append((layer.words.copy(), None if words is None else words.copy(),
                     None if mask is None else mask.copy()))

    def spy(self, x, words=None, mask=None):
        see(self, words, mask)
        return forward(self, x, words, mask)

    def pooled_spy(self, x, pool, words, mask):
        see(self, words, mask)
        return pooled(self, x, pool, words, mask)

    for kind in [*Weighted.__subclasses__(), *Convolution.__subclasses__()]:
        assert "forward_train" not in vars(kind)
        assert kind is Convolution or "forward_train_pooled" not in vars(kind)
    monkeypatch.setattr(Weighted, "forward_train", spy)
    monkeypatch.setattr(Convolution, "forward_train_pooled", pooled_spy)
    return seen


FAULTS = {"flips": BitFlips((0.1, 0, 0.3)), "asymmetric": AsymmetricFlips(0.2, 0.0), "stuck": StuckAt(0.2, 0.3),
          "read": EachRead(BitFlips(0.1)), "line": StuckLine(ArrayMapping(16, 16), "column", 4, 3, 1),
          "protected": Protected(BitFlips(0.1), "secded(8,4)"),
          "composed": Compose([BitFlips(0.1), StuckAt(0.1, 0.1)])}


@pytest.mark.parametrize("gradient", ["straight-through", "native"])
@pytest.mark.parametrize("name", FAULTS)
def test_the_forward_pass_reads_what_the_fault_leaves(reads, name, gradient):
    """Step by step the words of ``fault.apply(memory, root, step)``; the native gradient gets the mask of them."""
    run(faults=FAULTS[name], gradient=gradient)
    root, n_wrong = child_root(5, "training faults"), 0
    assert len(reads) == 6 * 3
    for step in range(6):
        part = reads[3 * step:3 * step + 3]
        memory = of_model(architectures.build(SPEC, (1, 6, 6), rng=0))
        memory = memory.with_words({i: stored for i, (stored, _, _) in enumerate(part)})
        broken = FAULTS[name].apply(memory, root, step)
        for (stored, words, mask), layer in zip(part, broken.layers):
            np.testing.assert_array_equal(words, layer.words)
            n_wrong += count(words ^ stored)
            assert (mask is None) == (gradient != "native")
            if mask is not None:
                np.testing.assert_array_equal(mask, words ^ stored)
    assert n_wrong


def test_faults_are_drawn_anew_at_each_step_and_a_map_never(reads):
    """Stuck cells too: this trains for all chips. A map trains for its own."""
    run(faults=StuckAt(0.25, 0.25))
    masks = [words ^ stored for stored, words, _ in reads[::3]]
    assert len({mask.tobytes() for mask in masks}) == len(masks)
    for mask in masks:
        assert within_5_sigma(count(mask), 36 * 40, 0.25)
    reads.clear()
    chip = FaultMap.record(StuckAt(0.25, 0.25), pack(architectures.build(SPEC, (1, 6, 6), rng=0)), 3)
    run(faults=chip)
    for stored, words, _ in reads[::3]:
        zero, one = chip.layers[0].f10 & ~chip.layers[0].f01, chip.layers[0].f01 & ~chip.layers[0].f10
        np.testing.assert_array_equal(words, (stored & ~zero) | one)


def test_stored_bits_are_not_changed_and_flip_rate_is_what_it_was():
    """Weights are signs of latent weights after training too; without faults nothing changes."""
    model, _ = run(faults=StuckAt(0.5, 0.5))
    for layer in model.weighted:
        words = layer.words.copy()
        layer.refresh()
        np.testing.assert_array_equal(layer.words, words)
    plain, none = run()[0].arrays(), run(faults=None, flip_rate=0.0)[0].arrays()
    same = run(faults=BitFlips(0.0))[0].arrays()
    for name, value in plain.items():
        assert value.tobytes() == none[name].tobytes() == same[name].tobytes()
    broken = run(faults=BitFlips(0.3))[0].arrays()
    assert any(value.tobytes() != broken[name].tobytes() for name, value in plain.items())


def test_conv_layers_too(reads):
    split = Split(RNG.integers(0, 256, (16, 3, 4, 4), np.uint8), RNG.integers(0, 3, 16), "noise")
    model = architectures.build("C70 MP2 C9 FC20 FC3", (3, 4, 4), rng=0)
    fitting.fit(model, split, 1, rng=0, faults=AsymmetricFlips(1.0, 0.0), progress=False, batch_size=16)
    for (stored, words, _), layer in zip(reads, model.weighted, strict=True):
        n_in = layer.parameters["weight"].shape[-1]
        assert count(words) == words[..., 0].size * n_in and words.shape == stored.shape


@pytest.mark.parametrize("name", ["stuck", "composed", "protected"])
def test_a_resumed_run_gives_the_same_bytes(tmp_path, name):
    path, settings = tmp_path / "run.h5", {"faults": FAULTS[name], "epochs": 3}
    whole = run(**settings)[0].arrays()
    stop = train_step

    def stopping(state, _left=[4]):
        _left[0] -= 1
        if _left[0] < 0:
            raise RuntimeError("power cut")
        return stop(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_module, "train_step", stopping)
        with pytest.raises(RuntimeError, match="power cut"):
            run(**settings, checkpoint=path, checkpoint_seconds=0)
    resumed = run(**settings, checkpoint=path, resume=True)[0].arrays()
    for key, value in whole.items():
        assert value.tobytes() == resumed[key].tobytes()


def test_a_checkpoint_of_another_fault_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    network = pack(architectures.build(SPEC, (1, 6, 6), rng=0))
    chips = [FaultMap.record(StuckAt(0.1, 0.1), network, seed) for seed in (0, 1)]
    for first, second in ((StuckAt(0.1, 0.1), StuckAt(0.1, 0.2)), (None, BitFlips(0.1)), (BitFlips(0.1), None),
                          (chips[0], chips[1])):
        path.unlink(missing_ok=True)
        run(epochs=1, faults=first, checkpoint=path)
        with pytest.raises(ValueError, match="checkpoint of another run: faults is .* there and .* here"):
            run(epochs=1, faults=second, checkpoint=path, resume=True)
        run(epochs=1, faults=first, checkpoint=path, resume=True)


def test_anything_with_apply_is_a_fault():
    """Training knows no kind of fault, only the method."""
    class Inverting:
        def apply(self, network, rng=None, trial=0):
            assert isinstance(network, Memory)
            return network.with_words({0: np.zeros_like(network.layers[0].words)})

        def __repr__(self):
            return "Inverting()"

    assert len(run(faults=Inverting())[1].loss) == 2


@pytest.mark.parametrize("settings, error, message", [
    ({"faults": 0.1}, TypeError, "faults must be an object with a method `apply`, such as bnnsim.faults.BitFlips"),
    ({"faults": BitFlips}, TypeError, "faults must be an object with a method `apply`"),
    ({"faults": BitFlips(0.1), "flip_rate": 0.1}, ValueError, "flip_rate or faults, not both"),
    ({"faults": BitFlips((0.1, 0.2))}, ValueError, "p must be one probability or 3"),
    ({"faults": StuckLine(ArrayMapping(9, 9), "row", 999, 0, 1)}, ValueError, "array must be in"),
    ({"faults": FaultMap.record(BitFlips(0.1), pack(architectures.build("FC9 FC10", (1, 6, 6), rng=0)))}, ValueError,
     "the fault map is of a network with 2 layers, the network has 3")])
def test_bad_faults_fail_before_the_first_step(settings, error, message, monkeypatch):
    monkeypatch.setattr(step_module, "train_step", lambda run: pytest.fail("a step was made"))
    with pytest.raises(error, match=message):
        run(**settings)
