"""The networks that are graphs: built to their papers' sizes, they train, stop and go on, pack, to the same bytes."""

import numpy as np
import pytest
import slow_cases
from training_run import interrupt_at, run, small_split, state, stop

import bnnsim
import bnnsim.train as train_command
import bnnsim.training.architectures as architectures
import bnnsim.training.graph_architectures as graphs
from bnnsim import layers
from bnnsim.packed.operations import RealConv
from bnnsim.training.estimators import ApproxSign, Clipped
from bnnsim.training.optimizers import Adam

NAMES = sorted(architectures.GRAPHS)


def small(name, input_shape=(1, 6, 6), seed=0, **settings):
    return architectures.GRAPHS[name](rng=seed, input_shape=input_shape, width=8, **settings)


def chain(*channels):
    """Weights of 3 x 3 convolutions from each number of channels to the next."""
    return sum(9 * a * b for a, b in zip(channels, channels[1:]))


BITS = {"bireal_resnet18": chain(*[64] * 5, *[128] * 4, *[256] * 4, *[512] * 4),
        "bnn_resnet20": chain(1, *[16] * 7, *[32] * 6, *[64] * 6) + 16 * 32 + 32 * 64,
        "reactnet_small": sum(9 * c * c + c * k for c, k in ((32, 64), (64, 128), (128, 128), (128, 256), (256, 256))),
        "quicknet_small": 4 * sum(9 * c * c for c in (32, 64, 256)),
        "binary_densenet_small": sum(9 * 32 * c for c in (32, 64, 96, 128, 64, 96, 128, 160, 64, 96, 128, 160))}
REAL = {"bireal_resnet18": 9 * 64 + 64 * 128 + 128 * 256 + 256 * 512, "bnn_resnet20": 0, "reactnet_small": 9 * 32,
        "quicknet_small": 9 * 8 + 9 * 8 + 8 * 32 + 32 * 64 + 64 * 256,
        "binary_densenet_small": 9 * 32 + 160 * 64 + 192 * 64}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_those_that_the_docstring_tells(name):
    """A network of another size is another experiment."""
    model = architectures.GRAPHS[name](rng=0)
    assert sum(layer.n_bits for layer in model.weighted) == BITS[name]
    real = [layer for layer in model.layers if isinstance(layer, layers.RealConv2d)]
    assert sum(layer.parameters["kernel"].size for layer in real) == REAL[name]
    stem = layers.InputConv2d if name == "bnn_resnet20" else layers.Pixels
    assert isinstance(model.layers[0], stem) and isinstance(model.layers[-1], layers.RealDense)
    paper = Clipped() if name in ("quicknet_small", "binary_densenet_small") else ApproxSign()
    signs = [layer for layer in model.layers if isinstance(layer, layers.Sign)]
    assert {sign.ste for sign in signs} == {paper} and signs[0].learned == (name == "reactnet_small")
    assert {layer.pad_value for layer in model.weighted} == {int(name == "quicknet_small")}


@pytest.mark.parametrize("shape, sizes", [((1, 28, 28), {28, 14, 7, 4}), ((3, 32, 32), {32, 16, 8, 4})])
@pytest.mark.parametrize("name", NAMES)
def test_maps_of_both_sizes(name, shape, sizes):
    """28 x 28 and 32 x 32; where a size is odd, shortcut and convolution agree. QuickNet's pool of stride 1 costs 1."""
    model = small(name, shape)
    found = {size[0] for size in model.shapes if len(size) == 3}
    if name == "quicknet_small":
        sizes = sizes - {4} | {size - 1 for size in (28, 14, 32, 16) if size in sizes}
    elif name != "bireal_resnet18":
        sizes = sizes - {4}
    assert found == sizes and model.shapes[-1] == (10,)
    assert small(name, shape, n_classes=7).n_classes == 7


@pytest.mark.parametrize("name", slow_cases.first(2, NAMES))
def test_it_learns_and_packs_to_the_same_scores(name, tmp_path):
    """Scores of the trained model, of the packed one and of its file, to the bit."""
    split = small_split(80)
    model = small(name)
    history = bnnsim.fit(model, split, 8, rng=0, batch_size=20, optimizer=Adam(0.005), progress=False)      # 32 steps
    assert history.loss[-1] < 0.8 * history.loss[0]
    network = bnnsim.pack(model)
    network.save(tmp_path / "x.h5")
    scores = model.scores(split.images)
    np.testing.assert_array_equal(network.scores(split.images), scores)
    np.testing.assert_array_equal(bnnsim.PackedNetwork.load(tmp_path / "x.h5").scores(split.images), scores)
    assert len(np.unique(scores)) > 100


def parts(name):
    """Settings of `training_run.run`: nine steps under flips."""
    return {"model": small(name), "train": small_split(), "augment": False}


@pytest.mark.parametrize("name", slow_cases.first(2, NAMES))
def test_a_training_that_is_stopped_goes_on_to_the_same_bytes(name, tmp_path, monkeypatch):
    """And one thread gives what two give."""
    with bnnsim.threads(1):
        whole = state(*run(**parts(name)))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", **parts(name))
    with bnnsim.threads(2):
        assert state(*run(tmp_path / "run.h5", resume=True, **parts(name))) == whole


@pytest.mark.parametrize("name", NAMES)
def test_bit_errors_change_what_is_in_memory_alone(name):
    """Of a ResNet-20 all but batch norm and the last layer; of the others no real-valued convolution."""
    network = bnnsim.pack(small(name))
    broken = bnnsim.faults.BitFlips(0.5).apply(network, rng=1)
    images = small_split(20).images
    assert not np.array_equal(network.scores(images), broken.scores(images))
    real = [operation for operation in network.operations if isinstance(operation, RealConv)]
    assert bool(real) == (name != "bnn_resnet20")
    assert all(a is b for a, b in zip(network.operations, broken.operations, strict=True))


def naive_halved(x):
    """2 x 2 averages of a map (H, W, C) of what lies inside."""
    height, width, _ = x.shape
    return np.array([[x[i:i + 2, j:j + 2].mean(axis=(0, 1)) for j in range(0, width, 2)] for i in range(0, height, 2)])


@pytest.mark.parametrize("height, width", [(6, 6), (7, 7), (7, 4), (1, 1)])
def test_shortcuts_of_odd_maps_average_what_there_is(height, width):
    """A padding that counted as zeros would darken the border."""
    net = graphs._Net((2, height, width), 0, 10, 8)
    net.halved(net.pixels())
    x = np.random.default_rng(0).integers(-8, 8, (1, height, width, 2)).astype(np.float32)
    np.testing.assert_allclose(net.nodes[-1].layer.forward(x)[0], naive_halved(x[0]), rtol=1e-6)
    assert net.size(1) == naive_halved(x[0]).shape


def test_seeds_draw_other_weights_for_each_layer():
    a, b = (small("bireal_resnet18", seed=seed).arrays() for seed in (0, 1))
    first, second = (value for name, value in a.items() if name.endswith(".weight") and value.shape == (8, 3, 3, 8)
                     and name in ("4.weight", "8.weight"))
    assert not np.array_equal(first, second) and not np.array_equal(first, b["4.weight"])
    assert all(np.array_equal(value, a[name]) for name, value in small("bireal_resnet18").arrays().items())


@pytest.mark.jit_off
@pytest.mark.parametrize("build", [graphs.bireal_resnet18, graphs.bnn_resnet20, graphs.reactnet_small,
                                   graphs.quicknet_small, graphs.binary_densenet_small])
def test_bad_settings_are_told_by_the_names_that_the_caller_gave(build):
    with pytest.raises(ValueError, match="^width must be >= 1, got 0"):
        build(width=0)
    with pytest.raises(TypeError, match="^width must be an integer, got 8.5"):
        build(width=8.5)
    with pytest.raises(ValueError, match="^n_classes must be >= 1, got 0"):
        build(n_classes=0)


@pytest.mark.jit_off
def test_shortcuts_are_there_or_not():
    with pytest.raises(TypeError, match="shortcuts must be True or False, got 'no'"):
        graphs.bireal_resnet18(shortcuts="no")


def test_what_they_have_not_is_refused_by_name():
    train = small_split()
    with pytest.raises(ValueError, match="bnn_resnet20 ends in a dense layer with real weights"):
        architectures.make_model("bnn_resnet20", train, False, 0)
    with pytest.raises(ValueError, match="width must be a multiple of 4, got 6"):
        graphs.quicknet_small(width=6)
    with pytest.raises(ValueError, match="did you mean 'bnn_resnet20'"):
        architectures.make_model("bnn_resnet-20", train, True, 0)
    for network in (small("bnn_resnet20"), bnnsim.pack(small("bnn_resnet20"))):
        with pytest.raises(TypeError, match="reestimate_batch_norm.*takes a Graph"):
            bnnsim.rescale_thresholds(network, 0.0, 0.1)


def test_the_command_line_knows_them(tmp_path, capsys, monkeypatch):
    """By name, for images of any size and number of classes; what suits no graph is refused before the training."""
    monkeypatch.chdir(tmp_path)
    train = small_split(40)
    np.savez("mine.npz", x_train=train.images, y_train=train.labels % 3, x_test=train.images, y_test=train.labels % 3)
    words = ["--network", "bnn_resnet20", "--dataset", "mine.npz", "--epochs", "1", "--quiet"]
    assert train_command.main([*words, "--out", "x.h5", "--reestimate", "0.01"]) == 0
    network = bnnsim.PackedNetwork.load("x.h5")
    assert network.n_classes == 3 and network.n_bits == BITS["bnn_resnet20"] and "bnn" in network.metadata["command"]
    for extra, message in (["--loss", "mhl"], "has no integer logits"), (["--rescale", "0.1"], "is a graph: use"):
        with pytest.raises(SystemExit):
            train_command.main([*words, *extra])
        assert message in capsys.readouterr().err


def test_statistics_of_a_graph_are_taken_anew_under_faults():
    """Twice on the same images gives the same; under flips they are others; weights and the model stay."""
    model, split = small("reactnet_small"), small_split()
    before = {name: value.copy() for name, value in model.arrays().items()}
    clean, again = (bnnsim.reestimate_batch_norm(model, split, rng=0, batch_size=40).arrays() for _ in range(2))
    flipped = bnnsim.reestimate_batch_norm(model, split, bnnsim.faults.BitFlips(0.2), 0, 40).arrays()
    moved = {name for name in clean if not np.array_equal(clean[name], flipped[name])}
    assert moved and all(".running_" in name for name in moved)
    assert all(np.array_equal(clean[name], again[name]) for name in clean)
    assert all(np.array_equal(before[name], value) for name, value in model.arrays().items())
