"""What `fit` leaves on a model, and `pack` gives to the network: how it was trained."""

import os
import signal

import pytest
from test_plug_ins import Doubled
from training_run import interrupt_at, run, small_model, small_split, stop

from bnnsim.faults import BitFlips, StuckAt
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.adaptation import reestimate_batch_norm, rescale_thresholds
from bnnsim.training.losses import cross_entropy
from bnnsim.training.optimizers import Adam, Sgd
from bnnsim.training.packing import pack
from bnnsim.training.regularisers import DirectRegulariser
from bnnsim.training.run import Run
from bnnsim.training.schedules import Constant
from bnnsim.training.settings import Settings


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_a_network_knows_how_it_was_trained(tmp_path):
    """From Python as from the command line, without a word of the user's; who says more is heard."""
    model, history = run(regulariser=DirectRegulariser(0.5, 4), optimizer=Sgd(0.05), keep="best")
    network = pack(model)
    assert network.metadata == {
        "architecture": model.describe(), "dataset": "synthetic", "seed": "5", "epochs": "3",
        "kept_epoch": str(history.kept_epoch), "flip_rate": "0.1", "gradient": "native",
        "optimizer": "Sgd(learning_rate=0.05, momentum=0.9)", "loss": "cross_entropy",
        "regulariser": "DirectRegulariser(strength=0.5, target=4)"}
    more = pack(model, {"seed": "mine", "note": "x"})
    assert more.metadata == network.metadata | {"seed": "mine", "note": "x"} and more.checksum == network.checksum
    network.save(tmp_path / "network.h5")
    assert PackedNetwork.load(tmp_path / "network.h5").metadata == network.metadata


def test_metadata_of_rates_faults_and_adaptation():
    model, _ = run(flip_rate=[0.1, 0, 0.25], epochs=1)
    assert pack(model).metadata["flip_rate"] == "0.1,0,0.25" and "faults" not in pack(model).metadata
    model, _ = run(flip_rate=0, faults=StuckAt(0.1, 0.2), loss=Doubled(2), epochs=1)
    said = pack(model).metadata
    assert (said["flip_rate"], said["faults"], said["loss"]) == ("0", repr(StuckAt(0.1, 0.2)), "Doubled(by=2)")
    for adapted in (rescale_thresholds(model, 0.0, 0.1), rescale_thresholds(pack(model), 0.0, 0.1)):
        network = adapted if isinstance(adapted, PackedNetwork) else pack(adapted)
        assert network.metadata == said | {"rescaled_for": "0.1"}
    assert pack(reestimate_batch_norm(model, small_split())).metadata["reestimated_at"] == "no errors"
    again = reestimate_batch_norm(model, small_split(), BitFlips(0.1), 0)
    assert pack(again).metadata["reestimated_at"] == repr(BitFlips(0.1)) and pack(model).metadata == said


@pytest.mark.parametrize("how, error", [(press, KeyboardInterrupt), (stop, RuntimeError)])
def test_an_interrupted_training_says_so(tmp_path, monkeypatch, how, error):
    """Else the network told of the training before it; one that goes on to its end says no more of it."""
    model, path = small_model(), tmp_path / "run.h5"
    run(model=model, epochs=1, rng=4)
    before = small_model()
    before.load_arrays(model.arrays())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, how)
        with pytest.raises(error):
            run(path, model=model, optimizer=Sgd(0.05), keep="best")
    said = pack(model).metadata
    assert said["seed"] == "5" and said["optimizer"].startswith("Sgd") and "kept_epoch" not in said
    assert (said["epochs"], said["stopped_after"], said["interrupted_at_step"]) == ("3", "1", "5")
    whole = run(model=before, optimizer=Sgd(0.05), keep="best")[0]
    again = run(path, model=model, optimizer=Sgd(0.05), keep="best", resume=True)[0]
    assert pack(again).metadata == pack(whole).metadata and "interrupted_at_step" not in pack(again).metadata


def test_a_training_that_is_refused_leaves_what_was_said(tmp_path):
    model, _ = run(tmp_path / "run.h5")
    said = dict(model.metadata)
    with pytest.raises(ValueError, match="another run"):
        run(tmp_path / "run.h5", model=model, rng=6, resume=True)
    assert model.metadata == said and model.left is not None


@pytest.mark.jit_off
def test_a_model_that_was_not_trained_says_nothing():
    assert pack(small_model()).metadata == {}
    with pytest.raises(TypeError, match="metadata must be a dict of str to str"):
        pack(small_model(), {"seed": 1})


@pytest.mark.jit_off
@pytest.mark.parametrize(("name", "data_set"), [
    ("fashion-train", "fashion"), ("fashion-train[:1000]", "fashion"), ("mnist-train[9 of 10][1:2]", "mnist"),
    ("fashion-subset-train", "fashion-subset"), ("mine", "mine"), ("cifar10-test", "cifar10"), ("[1:2]", None)])
def test_the_data_set_of_a_part_of_it(name, data_set):
    """What `load_dataset` knows it by: `evaluate` asks for it."""
    split = small_split()
    object.__setattr__(split, "name", name)
    settings = Settings(1, 8, Adam(), Constant(), cross_entropy, None, (0.0,) * 3, None, "native", "fixed16", False,
                        "last")
    assert Run(small_model(), split, None, 0, settings).metadata().get("dataset") == data_set
