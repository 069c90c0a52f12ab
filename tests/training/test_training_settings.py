"""Losses, estimators, optimizers, regulariser and faults in training, alone and together: they learn, the number of
threads changes no byte, a stopped run goes on to the same bytes, and a checkpoint knows its settings."""

import naive
import numpy as np
import pytest
from training_run import interrupt_at, run, small_split, state, stop

import bnnsim
import bnnsim.training.fitting as fitting
from bnnsim import threads
from bnnsim.datasets.find import load_embedded
from bnnsim.faults import AsymmetricFlips
from bnnsim.training.architectures import build
from bnnsim.training.estimators import ApproxSign, Clipped, Identity, SwishSign
from bnnsim.training.fitting import fit
from bnnsim.training.losses import LOSSES, MarginCrossEntropy, ModifiedHinge, SquaredHinge, cross_entropy
from bnnsim.training.optimizers import Adam, Bop, Metaplastic
from bnnsim.training.packing import pack
from bnnsim.training.regularisers import DirectRegulariser
from bnnsim.training.schedules import Constant


def model(logits=False, ste="clipped", seed=0, spec="C4 MP2 FC20 FC10"):
    return build(spec, (1, 6, 6), output_norm=not logits, rng=seed, ste=ste)


MIXED = dict(flip_rate=0, faults=AsymmetricFlips((0.1, 0.0, 0.2), (0.02, 0.1, 0.0)), gradient="native",
             precision="float32")
# name: (settings of the model, of fit); Bop has moments of its own, so each run makes one
RUNS = {
    "mhl": (dict(logits=True), dict(loss=ModifiedHinge(b=8))),
    "squared hinge": ({}, dict(loss="squared-hinge")),
    "squared hinge, logits": (dict(logits=True), dict(loss=SquaredHinge(margin=10))),
    "mcel": (dict(logits=True), dict(loss=MarginCrossEntropy(margin=4, bound=20))),
    "regulariser": ({}, dict(regulariser=DirectRegulariser(0.5, 4))),
    "regulariser, each layer its rate": ({}, dict(regulariser=DirectRegulariser(0.5, 4), flip_rate=[0.2, 0, 0.1],
                                                  gradient="straight-through")),
    "bop": ({}, dict(optimizer=lambda: Bop(gamma=0.1, tau=1e-4))),
    "metaplastic": ({}, dict(optimizer=lambda: Metaplastic(0.02, m=3.0))),
    "identity": (dict(ste="identity"), {}), "approx": (dict(ste=ApproxSign()), {}),
    "swish": (dict(ste=SwishSign(2.0)), {}),
    "all at once": (dict(logits=True, ste="swish"), dict(
        loss=ModifiedHinge(b=8), regulariser=DirectRegulariser(0.5, 4), optimizer=lambda: Bop(gamma=0.1, tau=1e-4),
        **MIXED)),
}


def made(name, checkpoint=None, **changes):
    """One run of the table."""
    of_model, settings = RUNS[name]
    settings = {key: value() if key == "optimizer" else value for key, value in settings.items()}
    return run(checkpoint, model=model(**of_model), **settings, **changes)


@pytest.fixture(scope="module")
def plain():
    return state(*run(model=model()))


@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_goes_on_to_the_same_bytes_in_any_number_of_threads(tmp_path, monkeypatch, plain, name):
    """And each setting does something."""
    with threads(2):
        whole = state(*made(name))
    assert whole != plain
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with threads(3), pytest.raises(RuntimeError, match="stopped by the test"):
            made(name, tmp_path / "run.h5")
    with threads(1):
        assert state(*made(name, tmp_path / "run.h5", resume=True)) == whole


@pytest.mark.parametrize("name", RUNS)
def test_packed_is_trained(name):
    """On every image, whatever it was trained with."""
    trained, images = made(name)[0], small_split(200, 3).images
    np.testing.assert_array_equal(pack(trained).scores(images), trained.scores(images))


def test_defaults_are_what_they_were(plain):
    """Naming a default does not change a byte, and neither does a regulariser of no strength."""
    assert state(*run(model=model(ste=Clipped()), loss=cross_entropy, optimizer=Adam())) == plain
    assert model(ste="clipped").describe() == model().describe()


@pytest.mark.parametrize("settings", [
    dict(loss=ModifiedHinge(b=32)), dict(loss="mcel"), dict(loss=SquaredHinge(margin=20)),
    dict(optimizer=lambda: Bop(gamma=0.05, tau=1e-5)), dict(regulariser=DirectRegulariser(0.01, 4))])
@pytest.mark.parametrize("ste", ["clipped", "swish"])
def test_it_learns(settings, ste):
    """Far over chance, from pixels it can only know by class."""
    logits = "loss" in settings
    settings = {key: value() if key == "optimizer" else value for key, value in settings.items()}
    trained, history = run(model=model(logits, ste, spec="FC64 FC64 FC10"), epochs=15, flip_rate=0, augment=False,
                           **{"optimizer": Adam(0.01), **settings})
    assert history.accuracy[-1] > 0.5 and history.loss[-1] < history.loss[0]


# what a checkpoint knows

OTHERS = {
    "loss": dict(loss=ModifiedHinge(b=9)), "loss of another kind": dict(loss=SquaredHinge(margin=8)),
    "regulariser": dict(regulariser=DirectRegulariser(0.5, 5)), "no regulariser": dict(regulariser=None),
    "optimizer": dict(optimizer=Bop(gamma=0.1, tau=2e-4)), "model": dict(model=model(True, SwishSign(4.0)))}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "run.h5"
    made("all at once", path, epochs=1)
    return path


@pytest.mark.parametrize("what", OTHERS)
def test_the_checkpoint_of_another_run_is_refused(checkpoint, what):
    name = what.removeprefix("no ").split()[0]
    settings = dict(loss=ModifiedHinge(b=8), regulariser=DirectRegulariser(0.5, 4), optimizer=Bop(gamma=0.1, tau=1e-4),
                    model=model(True, "swish"), **MIXED)
    with pytest.raises(ValueError, match=f"checkpoint of another run: {name} is .* there and .* here$"):
        run(checkpoint, **{**settings, **OTHERS[what]}, epochs=1, resume=True)


# flip ratio

@pytest.mark.parametrize("optimizer", [lambda: Adam(0.02), lambda: Bop(gamma=0.5, tau=1e-4)])
def test_flip_ratio_is_the_share_of_signs_that_changed_over_an_epoch(optimizer):
    """Each layer's, from the weights themselves; one epoch at a time gives the same as three."""
    settings = dict(schedule=Constant(), augment=False, flip_rate=0)
    latent = {i: [] for i in range(3)}
    for epochs in range(4):
        trained = model()
        history = run(model=trained, epochs=epochs, optimizer=optimizer(), **settings)[1] if epochs else None
        for i, layer in enumerate(trained.weighted):
            latent[i].append(np.where(layer.parameters["weight"] >= 0, 1, -1))
    wanted = [[np.mean(latent[i][e] != latent[i][e + 1]) for i in range(3)] for e in range(3)]
    np.testing.assert_allclose(history.flip_ratio, wanted, rtol=1e-12)
    assert 0 < np.min(wanted[0]) and np.max(wanted) < 1


# estimators

@pytest.mark.jit_off
@pytest.mark.parametrize("ste, name, beta", [
    (Identity(), "identity", None), (Clipped(), "clipped", None), (ApproxSign(), "approx", None),
    (SwishSign(), "swish", 5.0), (SwishSign(0.5), "swish", 0.5)])
def test_pseudo_gradients(ste, name, beta):
    """A layer's backward pass is batch norm's of dout times g(y), by its definition; forward is the sign's in all."""
    rng = np.random.default_rng(3)
    layer, h = build("FC66 FC2", (1, 2, 2), rng=0, ste=ste).layers[1], rng.integers(-50, 51, (9, 66)).astype(np.int32)
    layer.parameters["gamma"][:], layer.parameters["beta"][:] = rng.normal(0, 1, (2, 66))
    inverse = 1 / np.sqrt(h.var(0) + layer.eps)
    scale = layer.parameters["gamma"] * inverse
    y = naive.batch_norm(h, h.mean(0), scale, layer.parameters["beta"])
    dout = rng.normal(size=h.shape).astype(np.float32)
    out, cache = layer.forward_train(h)
    np.testing.assert_array_equal(out, naive.pack(np.where(y >= 0, 1, -1)))
    dy = naive.through_sign(dout, y, name, beta)
    ref_dh, ref_dgamma, ref_dbeta = naive.batch_norm_backward(dy, h, h.mean(0), inverse, scale)
    dh, gradients = layer.backward(dout, cache)
    np.testing.assert_allclose(dh, ref_dh, rtol=1e-5, atol=1e-6 * np.abs(ref_dh).max())
    np.testing.assert_allclose(gradients["gamma"], ref_dgamma, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients["beta"], ref_dbeta, rtol=1e-5, atol=1e-6)
    if name != "identity":
        assert not np.allclose(dh, naive.batch_norm_backward(dout, h, h.mean(0), inverse, scale)[0], rtol=1e-3)


# bad input

@pytest.mark.jit_off
@pytest.mark.parametrize("changes, error, message", [
    (dict(loss="mhl"), ValueError, "modified hinge loss needs integer logits.*output_norm=False"),
    (dict(loss="mcel"), ValueError, "margin cross entropy needs integer logits"),
    (dict(loss="mlh", model=model(True)), ValueError, "did you mean 'mhl'"),
    (dict(loss=ModifiedHinge(b=21), model=model(True)), ValueError,
     "b must be at most the output layer's fan-in, 20, .* got 21"),
    (dict(loss=SquaredHinge(21), model=model(True)), ValueError, "margin must be at most the output layer's fan-in"),
    (dict(loss=ModifiedHinge), TypeError, r"loss must be an object such as ModifiedHinge\(\)"),
    (dict(loss=3), TypeError, "loss must be one of 'cross-entropy', 'mhl'"),
    (dict(regulariser=0.01), TypeError, "regulariser must be an object such as"),
    (dict(regulariser=DirectRegulariser), TypeError, "regulariser must be an object such as"),
    (dict(regulariser=DirectRegulariser(), model=model(spec="FC10")), ValueError, "needs hidden neurons"),
    (dict(optimizer=Bop), TypeError, "optimizer must be an object"),
    (dict(augment="no"), TypeError, "augment must be True or False, got 'no'"),
    (dict(resume=0), TypeError, "resume must be True or False, got 0"),
    (dict(flip_rate=0.1, faults=AsymmetricFlips(0.1, 0.1)), ValueError, "give flip_rate or faults, not both")])
def test_bad_settings_are_refused_before_the_first_step(changes, error, message):
    trained = changes.get("model") or model()
    before = state(trained, None)
    with pytest.raises(error, match=message):
        run(**{"model": trained, **changes})
    assert state(trained, None) == before


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: model(ste="swich"), ValueError, "ste must be one of .* did you mean 'swish'"),
    (lambda: model(ste=SwishSign), TypeError, "ste must be one of"),
    (lambda: model(ste=2.0), TypeError, "ste must be one of"),
    (lambda: SwishSign(0), ValueError, "beta must be > 0"),
    (lambda: SwishSign(np.inf), ValueError, "beta must be finite")])
def test_bad_estimators(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_user_s_own_loss(tmp_path):
    """Any function will do; its name is what the checkpoint remembers."""
    def twice(scores, labels):
        loss, dscores = cross_entropy(scores, labels)
        return 2 * loss, 2 * dscores

    ref = run(model=model(), epochs=1)[1]
    assert run(tmp_path / "run.h5", model=model(), loss=twice, epochs=1)[1].loss[0] > 1.5 * ref.loss[0]
    with pytest.raises(ValueError, match="another run: loss is .*twice.* there and 'cross_entropy' here"):
        run(tmp_path / "run.h5", model=model(), epochs=1, resume=True)


def test_every_loss_trains_by_its_name():
    train, _ = load_embedded()
    for name in LOSSES:
        small = build("FC128 FC10", (1, 28, 28), output_norm=name == "cross-entropy", rng=0)
        assert len(fit(small, train[:100], 1, rng=0, loss=name, progress=False).loss) == 1


# ---------------------------------------------------------------- batches of one image

def seen_batches(n_images, batch_size, spec="FC8 FC2", epochs=2, output_norm=True):
    """The images of each batch, by number, in each epoch."""
    split = bnnsim.Split(np.arange(n_images, dtype=np.uint8).repeat(16).reshape(-1, 1, 4, 4),
                         np.arange(n_images) % 2, "numbers")
    model = bnnsim.architectures.build(spec, (1, 4, 4), output_norm=output_norm, rng=0)
    whole, batches = model.forward_train, []

    def watched(images, read=None):
        batches.append(images[:, 0, 0, 0].tolist())
        return whole(images, read)

    model.forward_train = watched
    history = fitting.fit(model, split, epochs, rng=0, batch_size=batch_size, progress=False)
    assert len(history.loss) == epochs
    per_epoch = len(batches) // epochs
    return [batches[i * per_epoch:(i + 1) * per_epoch] for i in range(epochs)]


@pytest.mark.parametrize("n_images, batch_size, sizes", [
    (9, 4, [4, 5]), (8, 4, [4, 4]), (10, 4, [4, 4, 2]), (3, 2, [3]), (5, 256, [5]), (2, 2, [2])])
def test_a_last_batch_of_one_image_joins_the_one_before(n_images, batch_size, sizes):
    """Of one image a dense batch norm gives its shift, whatever the image: its step would learn nothing but that."""
    for batches in seen_batches(n_images, batch_size):
        assert [len(batch) for batch in batches] == sizes
        assert sorted(sum(batches, [])) == list(range(n_images))


def test_a_last_batch_of_one_image_stays_where_positions_are_many():
    assert [len(batch) for batch in seen_batches(9, 4, "C8 FC2", output_norm=False)[0]] == [4, 4, 1]
    assert [len(batch) for batch in seen_batches(2, 1, "C8 FC2", output_norm=False)[0]] == [1, 1]


@pytest.mark.parametrize("n_images, batch_size, message", [(8, 1, "batch_size must be >= 2"),
                                                           (1, 8, "number of training images must be >= 2")])
def test_training_on_one_image_at_a_time_is_refused(n_images, batch_size, message):
    with pytest.raises(ValueError, match=f"{message} .*, got 1: of one image .* nothing is learnt"):
        seen_batches(n_images, batch_size)
