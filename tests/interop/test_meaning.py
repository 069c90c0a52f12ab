"""What files leave open, or mean otherwise: taken exactly, or refused by name; never dropped or guessed."""

import foreign_files as foreign
import foreign_geometry as geometry
import foreign_onnx
import numpy as np
import pytest

import bnnsim
import bnnsim.interop as interop

SHAPE = (2, 6, 6)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def saved(tmp_path, layers, name="x.npz"):
    (tmp_path / name).write_bytes(foreign.npz(foreign.state_dict(layers)))
    return tmp_path / name


def read(tmp_path, layers, **how):
    how = {"input_shape": SHAPE, "eps": foreign.EPS, **how}
    return interop.read_network(saved(tmp_path, layers), foreign.spec_of(layers), **how)


# ---------------------------------------------------------------- weights

def with_weights(rng, change):
    layers = foreign.plan(rng, conv=False)
    layers[0]["weight"] = change(layers[0]["weight"])
    return layers


def test_scaled_signs_fold(tmp_path, rng):
    """+-s of each unit: the scale goes into the norm."""
    layers = with_weights(rng, lambda w: w * rng.uniform(0.5, 2, (len(w), 1)).astype("f4"))
    images = foreign.images_of(rng)
    imported = read(tmp_path, layers)
    np.testing.assert_allclose(imported.network.scores(images), foreign.sums(layers, images)[1], rtol=1e-5, atol=1e-5)
    assert "the scale of each unit's weights" in imported.table()


def test_latent_weights_are_asked_for(tmp_path, rng):
    layers = with_weights(rng, lambda w: np.where(rng.random(w.shape) < 0.1, 0, w * rng.uniform(0.01, 1, w.shape)))
    with pytest.raises(ValueError, match="features.0.weight: weights must hold only .*say weights='latent'"):
        read(tmp_path, layers)
    images = foreign.images_of(rng)
    network = read(tmp_path, layers, weights="latent").network
    layers[0]["weight"] = np.where(layers[0]["weight"] >= 0, 1, -1)
    np.testing.assert_allclose(network.scores(images), foreign.sums(layers, images)[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change, message", [
    (lambda w: w > 0, "weights are 0 and 1: if 0 stands for -1 .* say weights='bits'"),
    (lambda w: np.where(np.arange(w.size).reshape(w.shape) % 3, w, 0), "0 has no bit, and ternary weights"),
    (lambda w: w * np.array([[0.5] * 71 + [0.0]], "f4"), "0 has no bit, and ternary weights"),
    (lambda w: np.arange(w.size).reshape(w.shape) - 9, "weights of several bits"),
    (lambda w: w * np.nan, "weights must be finite"),
    (lambda w: w * 0, "all are 0")])
def test_weights_that_are_no_signs_are_told_apart(tmp_path, rng, change, message):
    with pytest.raises(ValueError, match=f"x.npz: features.0.weight.*{message}"):
        read(tmp_path, with_weights(rng, change))


# ---------------------------------------------------------------- signs of 0

def tied(rng):
    """Norms that are 0 at sums that occur: mean an integer of the sums' parity, beta 0."""
    layers = foreign.plan(rng, conv=False)
    layers[0]["norm"]["mean"] = rng.integers(-2, 3, 9).astype("f4") * 2
    layers[0]["norm"]["beta"] *= 0
    layers[0]["norm"]["gamma"] *= rng.choice([-1, 1], 9)
    return layers


@pytest.mark.parametrize("sign, at_zero", [(">=", 1), (">", -1)])
def test_the_sign_of_0(tmp_path, rng, sign, at_zero):
    """Of both signs of gamma; the two differ on these images."""
    layers = tied(rng)
    images = interop.binary_images(foreign.images_of(rng, 200))
    naive = foreign.sums(layers, images.astype(int) - 1, at_zero)[1]
    imported = read(tmp_path, layers, input="binary", sign=sign)
    np.testing.assert_allclose(imported.network.scores(images), naive, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(naive, foreign.sums(layers, images.astype(int) - 1, -at_zero)[1])
    assert f"0 gives {at_zero:+d} (9 units can get there)" in imported.table()


def test_a_sign_of_0_that_is_0_is_refused_where_it_can_occur(tmp_path, rng):
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(tied(rng), SHAPE, "Sign"))
    with pytest.raises(ValueError, match="the sign of 0 is 0 in this network, no bit, and unit 0 can get there .9 of "
                                         "9"):
        bnnsim.load_network(tmp_path / "x.onnx", input="binary")
    bnnsim.load_network(tmp_path / "x.onnx", input="binary", sign=">")


def test_a_sign_of_0_that_the_file_itself_says_is_not_overruled(tmp_path, rng):
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(tied(rng), SHAPE, "BipolarQuant"))
    with pytest.raises(ValueError, match="the sign of 0 is .1 in the file itself, got sign='>'"):
        bnnsim.load_network(tmp_path / "x.onnx", input="binary", sign=">")


@pytest.mark.parametrize("given, level", [("unit", 128), ("pixels", 1), ("binary", None), ("centred", None)])
def test_signs_of_the_input_make_it_binary(tmp_path, given, level):
    """2 x - 1, then a sign: which pixels are +1 is told; what x is must be said."""
    nodes = [foreign_onnx.node("Mul", ["x", "two"], "a"), foreign_onnx.node("Sub", ["a", "one"], "b"),
             foreign_onnx.node("BipolarQuant", ["b", "one"], "s", "onnx.brevitas"),
             foreign_onnx.node("Flatten", ["s"], "f"), foreign_onnx.node("MatMul", ["f", "w"], "y")]
    constants = {"two": np.full(1, 2, "f4"), "one": np.ones(1, "f4"), "w": np.ones((72, 3), "f4")}
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model(nodes, constants, SHAPE, "y"))
    if given == "centred":                                      # 2 (u / 127.5 - 1) - 1 >= 0
        level = 192
    imported = interop.read_network(tmp_path / "x.onnx", input=given)
    assert imported.network.reads_bits and imported.code.level == level
    with pytest.raises(ValueError, match="takes signs of its input, and what it reads is not known: say input='unit'"):
        bnnsim.load_network(tmp_path / "x.onnx")


@pytest.mark.parametrize("name", ["by axis", "groups", "mean", "mean alone", "replicate", "dense"])
def test_shifts_of_each_channel_of_the_input(tmp_path, rng, name):
    """u - 20 c of channel c: folded where nothing but the border is padded; the offset is the mean of theirs."""
    layers, images = (geometry.made(name)[:2] if name != "dense" else
                      ([{**fields, "units": len(fields["weight"])} for fields in foreign.plan(rng, conv=False)],
                       foreign.images_of(rng)))
    shape = images.shape[1:]
    shifts = 20 * np.arange(1, shape[0] + 1).reshape(-1, 1, 1)
    (tmp_path / "x.onnx").write_bytes(geometry.onnx_of(layers, shape, shifts=shifts.astype("f4")))
    if name in ("by axis", "groups"):
        with pytest.raises(ValueError, match=f"pads an input that is shifted by {shape[0]} values"):
            bnnsim.load_network(tmp_path / "x.onnx")
        return
    network, x = bnnsim.load_network(tmp_path / "x.onnx"), images.astype(int) - shifts
    for fields in layers:
        h = geometry.convolved(x, fields["weight"], fields) if fields["weight"].ndim == 4 else \
            x.reshape(len(x), -1) @ fields["weight"].T
        scores = geometry.behind(h, fields)
        x = np.where(scores > 0, 1, -1)
    np.testing.assert_allclose(network.scores(images), scores, rtol=1e-5, atol=1e-5 * np.abs(scores).max())
    assert network.input_offset == 10 * (1 + shape[0]) and len(np.unique(scores)) > 5


def test_scales_that_vanish_are_refused(tmp_path):
    nodes = [foreign_onnx.node("Mul", ["x" if i == 0 else f"m{i - 1}", "tiny"], f"m{i}") for i in range(10)]
    nodes += [foreign_onnx.node("Flatten", ["m9"], "f"), foreign_onnx.node("MatMul", ["f", "w"], "y")]
    constants = {"tiny": np.full(1, 1e-37, "f4"), "w": np.ones((72, 3), "f4")}
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model(nodes, constants, SHAPE, "y"))
    with pytest.raises(ValueError, match="Mul_m2 .Mul. scales the input to 1e-111 .* out of range"):
        bnnsim.load_network(tmp_path / "x.onnx")


def test_an_odd_mean_is_no_tie_of_an_even_number_of_bits(tmp_path, rng):
    """72 bits of +-1 sum up to even numbers: ONNX's Sign gives no 0."""
    layers = tied(rng)
    layers[0]["norm"]["mean"] += 1
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(layers, SHAPE, "Sign"))
    images = interop.binary_images(foreign.images_of(rng))
    network = bnnsim.load_network(tmp_path / "x.onnx", input="binary")
    np.testing.assert_allclose(network.scores(images), foreign.sums(layers, images.astype(int) - 1)[1], rtol=1e-5,
                               atol=1e-5)
    with pytest.raises(ValueError, match="no bit, and unit 0 can get there"):
        bnnsim.load_network(tmp_path / "x.onnx")                        # pixels sum up to any number


# ---------------------------------------------------------------- order, negative gamma, parts of norms

@pytest.mark.parametrize("norm_first", [True, False])
def test_norm_before_or_behind_the_pooling(tmp_path, rng, norm_first):
    """With negative gamma they differ; nothing is guessed."""
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    layers[0]["norm"]["gamma"] *= np.array([1, -1, 1, -1, -1], "f4")
    with pytest.raises(ValueError, match="negative gamma, .*say norm_first=True .conv, norm, pool, sign"):
        read(tmp_path, layers)
    imported = read(tmp_path, layers, norm_first=norm_first)
    naive = foreign.sums(layers, images, norm_first=norm_first)[1]
    np.testing.assert_allclose(imported.network.scores(images), naive, rtol=1e-5, atol=1e-5)
    assert not np.allclose(naive, foreign.sums(layers, images, norm_first=not norm_first)[1])
    assert imported.compare(images, {str(i): h for i, h in enumerate(foreign.sums(layers, images)[0][:1])}) is None
    assert ("3 channels of negative gamma turned over" in imported.table()) == norm_first


def test_gamma_and_beta_may_be_absent(tmp_path, rng):
    layers, images = foreign.plan(rng, conv=False), foreign.images_of(rng)
    arrays = foreign.state_dict(layers)
    for name in ("features.1.weight", "features.1.bias", "features.3.weight"):
        del arrays[name]
    layers[0]["norm"] |= {"gamma": np.ones(9), "beta": np.zeros(9)}
    layers[1]["norm"]["gamma"] = np.ones(4)
    (tmp_path / "x.npz").write_bytes(foreign.npz(arrays))
    network = bnnsim.load_network(tmp_path / "x.npz", "FC9 FC4", input_shape=SHAPE, eps=foreign.EPS)
    np.testing.assert_allclose(network.scores(images), foreign.sums(layers, images)[1], rtol=1e-5, atol=1e-5)


def test_a_bias_folds(tmp_path, rng):
    layers, images = foreign.plan(rng, conv=False), foreign.images_of(rng)
    bias = rng.normal(0, 200, 9)
    (tmp_path / "x.npz").write_bytes(foreign.npz({**foreign.state_dict(layers), "features.0.bias": bias}))
    network = bnnsim.load_network(tmp_path / "x.npz", "FC9 FC4", input_shape=SHAPE, eps=foreign.EPS)
    layers[0]["norm"]["mean"] = layers[0]["norm"]["mean"].astype("f8") - bias
    np.testing.assert_allclose(network.scores(images), foreign.sums(layers, images)[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change, message", [
    ({"features.1.inv_std": np.ones(9)}, "is 1 / sqrt.var . eps., not a variance"),
    ({"other": np.ones((3, 3))}, "spec has 2 layers, the file 3 arrays of weights"),
    ({"scale": np.ones(9)}, "scale float64 .9,. is neither weights"),
    ({"features.1.running_mean": np.ones(8)}, "features.1 mean must have 9 values"),
    ({"features.1.running_var": -np.ones(9)}, "var must be >= 0"),
    ({"features.0.weight": np.ones((8, 72))}, "spec wants FC9, but features.0.weight, which is next, has 8 units"),
    ({"features.0.weight": np.ones((9, 2, 6, 6))}, "spec wants FC9, but features.0.weight, which is next, has the "
                                                   "shape"),
    ({"features.0.weight": np.ones((9, 70))}, "n_in must be 72|must have 72 columns")])
def test_arrays_that_do_not_fit_are_named(tmp_path, rng, change, message):
    arrays = foreign.state_dict(foreign.plan(rng, conv=False)) | change
    (tmp_path / "x.npz").write_bytes(foreign.npz(arrays))
    with pytest.raises(ValueError, match=message):
        bnnsim.load_network(tmp_path / "x.npz", "FC9 FC4", input_shape=SHAPE)


def reference(rng, tmp_path):
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    return layers, images, foreign.sums(layers, images)[0], read(tmp_path, layers).network


def test_the_first_layer_that_differs_is_named(tmp_path, rng):
    layers, images, sums, network = reference(rng, tmp_path)
    wrong = [h.copy() for h in sums]
    wrong[1][3, 2, 1, 0] += 2
    wrong[2][:] = 0
    found = interop.compare_sums(network, images, dict(zip("abcd", wrong)))
    assert found.layer == 1 and found.n_wrong == 1 and "first of image 3, row 1, column 0, unit 2" in str(found)
    assert interop.compare_sums(network, images, {"layer_2": sums[2]}) is None


@pytest.mark.parametrize("change, hint", [
    (lambda h: -h, "the other sign"), (lambda h: h / 255, "0.00392157 times ours"), (lambda h: h[:, ::-1], "another "
                                                                                                           "order"),
    (lambda h: h + np.arange(9), "a constant a unit"), (lambda h: h + np.arange(108).reshape(12, 9) % 5, "order of "
                                                                                                         "features"),
    (lambda h: (h + 28) / 2, "popcounts")])
def test_what_a_difference_looks_like(tmp_path, rng, change, hint):
    layers, images, sums, network = reference(rng, tmp_path)
    assert network.layers[2].n_in == 42
    given = change(sums[2]) if hint != "popcounts" else (sums[2] + 42) / 2
    assert hint in interop.compare_sums(network, images, {"2": given}).hint


def test_sums_that_are_none(tmp_path, rng):
    layers, images, sums, network = reference(rng, tmp_path)
    for given, message in (({}, "must have an array"), ({"layer9": sums[0]}, "of 0..3"),
                           ({"0": sums[0][:, :2]}, r"must have the sums of layer 0, \(12, 6, 6, 5\)")):
        with pytest.raises(ValueError, match=message):
            interop.compare_sums(network, images, given)


# ---------------------------------------------------------------- inputs

def test_a_binary_input_counts_as_binary_macs(rng):
    layers = [{"weight": rng.choice([-1, 1], (5, 16)), "threshold": np.zeros(5)},
              {"weight": rng.choice([-1, 1], (2, 5))}]
    binary = bnnsim.PackedNetwork.from_arrays(layers, (1, 4, 4), input="binary")
    pixels = bnnsim.PackedNetwork.from_arrays(layers, (1, 4, 4), 1)
    assert binary.reads_bits and binary.input_offset == 1 and not pixels.reads_bits
    assert binary.summary().split()[-2:] == ["90", "0"] and pixels.summary().split()[-2:] == ["10", "80"]
    with pytest.raises(ValueError, match="input_offset of a binary input is 1, got 7"):
        bnnsim.PackedNetwork.from_arrays(layers, (1, 4, 4), 7, input="binary")


@pytest.mark.parametrize("given, message", [
    ({"input": "rgb"}, "input must be one of 'pixels'"), ({"input": (0.5,)}, "input must be one of pixels"),
    ({"input": (0.5, 0)}, r"input\[1\] must be >= 1e-06"), ({"weights": "ternary"}, "weights must be one of"),
    ({"sign": "<"}, "sign must be one of"), ({"flatten": "WHC"}, "flatten must be one of"),
    ({"input_shape": None}, "does not tell the shape of an image"), ({"eps": -1}, "eps must be >= 0")])
def test_bad_arguments(tmp_path, rng, given, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, foreign.plan(rng), **given)
