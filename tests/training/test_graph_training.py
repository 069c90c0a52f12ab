"""Training of graphs: the chain against itself, what a packed graph computes, checkpoints, batch norm, regulariser."""

import copy

import graph_models
import h5py
import naive
import numpy as np
import pytest
import training_run
from graph_models import MODELS, rng_of, smooth
from training_run import run, small_model, small_split, state

import bnnsim.training.layers as layers
from bnnsim.faults import BitFlips, StuckAt
from bnnsim.kernels import threads
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.adaptation import reestimate_batch_norm
from bnnsim.training.fitting import fit
from bnnsim.training.model import Graph, Sequential
from bnnsim.training.wires import Wired, Wiring
from bnnsim.training.packing import pack
from bnnsim.training.regularisers import DirectRegulariser


# ---------------------------------------------------------------- a chain is a graph without branches

def as_graph(model):
    return Graph([Wired(layer, (i - 1,)) for i, layer in enumerate(model.layers)], model.input_shape)


@pytest.mark.parametrize("spec", ["C4 MP2 FC20 FC10", "FC20 FC10"])
def test_a_chain_is_the_same_as_a_graph(spec, tmp_path):
    """Training, bytes of checkpoints, its description, scores, and the bits and thresholds that are packed."""
    chain, graph = small_model(spec), as_graph(small_model(spec))
    assert chain.describe() == graph.describe()
    results = [run(tmp_path / name, model) for name, model in (("chain.h5", chain), ("graph.h5", graph))]
    assert state(*results[0]) == state(*results[1])
    files = []
    for name in ("chain.h5", "graph.h5"):
        with h5py.File(tmp_path / name) as file:
            files.append(bytes(file.attrs["checksum"]))
    assert files[0] == files[1]
    images = small_split(50, 3).images
    np.testing.assert_array_equal(chain.scores(images), graph.scores(images))
    packed, wired = pack(chain), pack(graph)
    assert type(packed) is PackedNetwork and type(wired) is PackedGraph
    np.testing.assert_array_equal(packed.scores(images), wired.scores(images))
    for one, other in zip(packed.layers, wired.layers, strict=True):
        for key, value in one.fields().items():
            np.testing.assert_array_equal(value, other.fields()[key])


# ---------------------------------------------------------------- trained = packed

SETTINGS = [{}, {"precision": "float32", "flip_rate": 0.0},
            {"flip_rate": 0.0, "faults": StuckAt(0.05, 0.02), "gradient": "straight-through"}]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_packed_graph_is_the_trained_one(name, settings, tmp_path):
    model, _ = run(model=MODELS[name](), train=small_split(120), **settings)
    network = pack(model)
    images = np.concatenate([small_split(400, 7).images, rng_of(0).integers(0, 256, (300, 1, 6, 6), np.uint8)])
    np.testing.assert_array_equal(network.scores(images), model.scores(images))
    assert all((words.words == layer.words).all() for words, layer in zip(network.layers, model.weighted, strict=True))
    network.save(tmp_path / "g.h5")
    np.testing.assert_array_equal(PackedNetwork.load(tmp_path / "g.h5").scores(images), model.scores(images))
    for size in (1, 7, 1000):
        model.evaluation_batch = size
        np.testing.assert_array_equal(model.scores(images[:60]), network.scores(images[:60]))


@pytest.mark.parametrize("chain", [
    lambda: (layers.MaxPool2d(3, 2, (1, 0)), layers.BatchNormReal(4)), lambda: (layers.MaxPool2d(2), layers.AsReals(4)),
    lambda: (layers.MaxPool2d(3, 1, 1), layers.BatchNormSign(4), layers.Conv2d(4, 4, generator=rng_of(1)),
             layers.BatchNormReal(4)),
    lambda: (layers.AsReals(4), layers.RealMaxPool2d(2))], ids=["norm", "as reals", "sign", "pool of reals"])
def test_a_max_pool_folds_where_a_sign_is_behind_it_and_stands_alone_elsewhere(chain):
    rng, w = rng_of(0), Wiring()
    w.add(layers.InputConv2d(1, 4, offset=9, generator=rng), *chain(), layers.GlobalAverage(),
          layers.RealDense(4, 10, generator=rng))
    model, images = Graph(w.nodes, (1, 6, 6)), small_split(40).images
    graph = pack(model)
    np.testing.assert_array_equal(graph.scores(images), model.scores(images))
    assert (graph.layers[0].pools, "max-pool" in {operation.word for operation in graph.operations}) in (
        {(True, False)} if len(graph.layers) == 2 else {(False, True)})


def test_a_score_that_is_no_finite_number_is_the_lowest_before_it_is_packed_too():
    model, images = MODELS["residual"](), small_split(30).images
    model.layers[-1].parameters["bias"][[0, 2, 5]] = np.nan, np.inf, -np.inf
    scores = model.scores(images)
    assert np.isneginf(scores[:, [0, 2, 5]]).all() and not np.isin(model.predict(images), [0, 2, 5]).any()
    np.testing.assert_array_equal(pack(model).scores(images), scores)


@pytest.mark.parametrize("name", MODELS)
def test_faults_of_training_are_those_of_the_memory(name):
    """What a forward pass with broken words gives on running statistics is what the broken packed graph gives."""
    model, _ = run(model=MODELS[name](), train=small_split(120))
    broken = BitFlips(0.2).apply(pack(model), 3)
    for layer, stored in zip(model.weighted, broken.layers):
        layer.words = stored.words.copy()
    images = small_split(100, 7).images
    np.testing.assert_array_equal(model.scores(images), broken.scores(images))


# ---------------------------------------------------------------- checkpoints, threads

@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_training_gives_the_same_bytes(name, tmp_path, monkeypatch):
    wanted = state(*run(model=MODELS[name]()))
    for at in (2, 5):
        path = tmp_path / f"{at}.h5"
        with monkeypatch.context() as patch:
            training_run.interrupt_at(patch, at, training_run.stop)
            with pytest.raises(RuntimeError, match="stopped by the test"):
                run(path, MODELS[name]())
        assert state(*run(path, MODELS[name](), resume=True)) == wanted


def test_a_checkpoint_of_other_wires_is_refused(tmp_path):
    def model(read):
        rng, w = rng_of(0), Wiring()
        a = w.add(layers.InputConv2d(1, 4, offset=0, generator=rng), layers.BatchNormReal(4))
        b = w.add(layers.PReLU(4), inputs=a)
        w.add(layers.Add(), layers.GlobalAverage(), layers.RealDense(4, 10, generator=rng), inputs=(a, b)[::read])
        return Graph(w.nodes, (1, 6, 6))

    run(tmp_path / "c.h5", model(1))
    with pytest.raises(ValueError, match="checkpoint of another run: model is"):
        run(tmp_path / "c.h5", model(-1), resume=True)


CONV = {"in_channels": 4, "out_channels": 4, "padding": 2}
SET = {
    layers.Pixels: ({"n_channels": 4}, {"scale": 0.5}, {"shift": 1.0}),
    layers.Sign: ({"units": 4}, {"ste": "swish"}, {"learned": True}),
    layers.HardTanh: ({}, {"low": -2.0}, {"high": 2.0}),
    layers.AveragePool2d: ({"size": 3, "padding": 1}, {"size": 2}, {"stride": 2}, {"padding": 0}, {"whole": True}),
    layers.RealMaxPool2d: ({"size": 3, "padding": 1}, {"size": 2}, {"stride": 2}, {"padding": 0}),
    layers.RealConv2d: (CONV, {"kernel": 1}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"groups": 2}),
    layers.BlurPool2d: ({"n_channels": 4}, {"size": 2}, {"stride": 1}, {"padding": 0})}


@pytest.mark.parametrize("kind", SET, ids=lambda kind: kind.__name__)
def test_settings_tell_layers_apart(kind):
    """A checkpoint of another setting is refused by them."""
    first, *others = SET[kind]
    more = {"generator": rng_of(0)} if kind is layers.RealConv2d else {}
    told = [kind(**first, **more).settings(), *(kind(**{**first, **other}, **more).settings() for other in others)]
    assert len({str(settings) for settings in told}) == len(told)


@pytest.mark.parametrize("name", MODELS)
def test_any_number_of_threads_trains_the_same(name):
    states = []
    for n in (1, 2, 3):
        with threads(n):
            states.append(state(*run(model=MODELS[name](), epochs=1)))
    assert states[0] == states[1] == states[2]


# ---------------------------------------------------------------- batch norm, regulariser, losses

def ending_in(*last, before=()):
    """A graph on a convolution's maps of 4 channels."""
    rng, w = rng_of(0), Wiring()
    w.add(layers.InputConv2d(1, 4, offset=0, generator=rng), layers.BatchNormReal(4), *before, *last)
    return Graph(w.nodes, (1, 6, 6))


def test_a_batch_of_one_image_is_refused_where_a_norm_sees_rows():
    rows = [layers.GlobalAverage(), layers.BatchNormReal(4), layers.RealDense(4, 10, generator=rng_of(0))]
    one = [layers.AveragePool2d(6), layers.BatchNormReal(4), layers.GlobalAverage()]
    maps = [layers.GlobalAverage(), layers.RealDense(4, 10, generator=rng_of(0))]
    assert ending_in(*rows).needs_batches and ending_in(*one).needs_batches and not ending_in(*maps).needs_batches
    with pytest.raises(ValueError, match="batch_size must be >= 2"):
        fit(ending_in(*rows), small_split(9), 1, batch_size=1, progress=False)
    fit(ending_in(*maps), small_split(9), 1, batch_size=1, progress=False)


@pytest.mark.parametrize("name", MODELS)
def test_reestimated_statistics_are_those_of_the_batch(name):
    model, split = run(model=MODELS[name]())[0], small_split(60, 4)
    found, twin = reestimate_batch_norm(model, split, batch_size=60), copy.deepcopy(model)
    assert type(found) is Graph and found is not model
    _, caches = twin.forward_train(split.images)
    n_norms = 0
    for layer, cache in zip(found.layers, caches):
        if "mean" in layer.running:
            n_norms += 1
            np.testing.assert_allclose(layer.running["mean"], cache.norm[0], rtol=1e-6, atol=1e-9)
    assert n_norms >= 4
    np.testing.assert_array_equal(pack(found).scores(split.images), found.scores(split.images))
    broken = reestimate_batch_norm(model, split, BitFlips(0.2), rng=1, batch_size=20)
    assert any((a.running["mean"] != b.running["mean"]).any() for a, b in zip(broken.layers, found.layers)
               if "mean" in a.running)


def regularised(pixels_last):
    """Two BatchNormSign, one behind pixels, in either order."""
    rng, w = rng_of(0), Wiring()

    def of_pixels():
        return w.add(layers.InputConv2d(1, 3, offset=100, generator=rng), layers.MaxPool2d(2), layers.BatchNormSign(3),
                     layers.Conv2d(3, 4, generator=rng), layers.BatchNormReal(4), inputs=-1)

    def of_bits():
        return w.add(layers.Pixels(1, 1 / 32, -3.3), layers.RealConv2d(1, 3, generator=rng), layers.Sign(3),
                     layers.Conv2d(3, 5, generator=rng), layers.BatchNormSign(5),
                     layers.Conv2d(5, 4, 2, 2, 0, generator=rng), layers.BatchNormReal(4), inputs=-1)

    ends = [make() for make in ((of_bits, of_pixels) if pixels_last else (of_pixels, of_bits))]
    w.add(layers.Add(), layers.GlobalAverage(), layers.RealDense(4, 10, generator=rng), inputs=tuple(ends))
    return Graph(w.nodes, (1, 6, 6))


@pytest.mark.parametrize("pixels_last", [False, True])
def test_the_regulariser_knows_which_neurons_read_pixels(pixels_last):
    """Tolerance of pixels' sums is in flips of 155 levels, wherever the layer stands."""
    model, images = regularised(pixels_last), small_split(15).images
    _, caches = model.forward_train(images)
    regulariser = DirectRegulariser(0.7, 30.0)
    value, penalties = regulariser(model, caches)
    rows = []
    for i, layer in enumerate(model.layers):
        if isinstance(layer, layers.BatchNormSign):
            h = caches[i].h.reshape(len(images), -1, layer.units)
            gamma, beta = (layer.parameters[key].astype(np.float64) for key in ("gamma", "beta"))
            rows.append((h, gamma, beta, layer.eps, 155 if layer.units == 3 else 1))
    assert len(penalties) == len(rows) == 2
    np.testing.assert_allclose(value, 0.7 * naive.lacking_tolerance(rows, 30.0), rtol=1e-9)
    history = fit(model, small_split(40), 1, regulariser=regulariser, rng=0, progress=False)
    assert np.isfinite(history.loss[0])


def test_a_graph_without_thresholds_has_nothing_to_regularise():
    with pytest.raises(ValueError, match="needs hidden neurons, with a BatchNormSign"):
        fit(graph_models.residual(), small_split(40), 1, regulariser=DirectRegulariser(), progress=False)


def test_losses_of_integers_want_integers():
    """Reals that end in a layer without parameters are none."""
    model = ending_in(layers.RealConv2d(4, 10, generator=rng_of(0)), layers.GlobalAverage())
    assert not model.integer_logits
    with pytest.raises(ValueError, match="needs integer logits"):
        fit(model, small_split(40), 1, loss="mhl", progress=False)
    model = ending_in(layers.Sign(4), layers.Flatten(4), layers.Dense(144, 10, rng_of(0)), layers.Logits(10))
    assert model.integer_logits and model.output_fan_in == 144
    fit(model, small_split(40), 1, loss="mhl", progress=False)
    np.testing.assert_array_equal(pack(model).scores(small_split(30).images), model.scores(small_split(30).images))


def test_no_layer_of_bits_is_no_network_of_a_memory():
    model = smooth()
    with pytest.raises(ValueError, match="a graph must have a layer of bits"):
        pack(model)


def test_what_a_sequential_is_it_stays():
    assert isinstance(small_model(), Sequential) and not isinstance(as_graph(small_model()), Sequential)
