"""Each format: a file made by a writer that shares nothing with the reader, against naive sums of the same network."""

from pathlib import Path

import foreign_files as foreign
import foreign_onnx
import numpy as np
import pytest

import bnnsim
import bnnsim.interop as interop
from bnnsim.interop.arrays_files import read_c_header, read_memory_text, read_npz, read_safetensors
from bnnsim.interop.hdf5_classic import read_classic
from bnnsim.interop.torch_files import read_legacy, read_zip

SHAPE = (2, 6, 6)
GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "foreign"


@pytest.fixture(params=[3, 4])
def rng(request):
    return np.random.default_rng(request.param)


def check(imported, layers, images, **how):
    """Sums of every layer and scores are the naive ones."""
    network = imported.network
    sums, scores = foreign.sums(layers, images, **how)
    given = {f"layer{i}": h for i, h in enumerate(sums)}
    assert interop.compare_sums(network, images, given) is None
    np.testing.assert_allclose(network.scores(images), scores, rtol=1e-5, atol=1e-5)
    assert len(np.unique(scores)) > 5 and len(imported.rows) == len(layers)
    assert imported.table().count("\n") == len(layers) + 1


STATE_DICTS = {"zip.pt": foreign.torch_zip, "checkpoint.pth": lambda arrays: foreign.torch_zip(arrays, True),
               "legacy.pt": foreign.torch_legacy, "x.safetensors": foreign.safetensors, "x.npz": foreign.npz,
               "packed.npz": lambda arrays: foreign.npz(arrays, True)}


@pytest.mark.parametrize("name", STATE_DICTS)
def test_arrays_and_a_spec(tmp_path, rng, name):
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    (tmp_path / name).write_bytes(STATE_DICTS[name](foreign.state_dict(layers)))
    imported = interop.read_network(tmp_path / name, foreign.spec_of(layers), input_shape=SHAPE, eps=foreign.EPS)
    check(imported, layers, images)
    assert imported.rows[0].sources[0] == "features.0.weight" and "features.1.running_mean" in imported.rows[0].sources


@pytest.mark.parametrize("name, read", [("zip.pt", read_zip), ("legacy.pt", read_legacy),
                                        ("x.safetensors", read_safetensors), ("x.npz", read_npz),
                                        ("packed.npz", read_npz)])
def test_arrays_are_those_that_were_written(tmp_path, rng, name, read):
    arrays = {**foreign.state_dict(foreign.plan(rng)), "none": np.zeros((0, 3), "f4")}
    if "npz" not in name:
        arrays["bytes"] = rng.integers(-128, 127, (3, 2, 1)).astype("i1")
    (tmp_path / name).write_bytes(STATE_DICTS[name](arrays))
    found = read(tmp_path / name)
    assert list(found) == list(arrays) or (name == "x.safetensors" and set(found) == set(arrays))
    for key, value in arrays.items():
        np.testing.assert_array_equal(found[key], value)
        assert found[key].dtype == value.dtype


@pytest.mark.tiny
@pytest.mark.parametrize("how", ["h5", "keras", "windows", "deflated"])
def test_keras_whole_models(tmp_path, rng, how):
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    configs, arrays = foreign.keras_layers(layers, SHAPE)
    content = foreign.keras_h5(configs, arrays) if how == "h5" else \
        foreign.keras_zip(configs, arrays, "\\" if how == "windows" else "/", 8 if how == "deflated" else 0)
    (tmp_path / "x.h5").write_bytes(content)
    imported = interop.read_network(tmp_path / "x.h5")
    check(imported, layers, images)
    assert "left out: softmax (softmax)" in imported.table() and imported.network.input_shape == SHAPE


def test_keras_weights_only(tmp_path, rng):
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(*foreign.keras_layers(layers, SHAPE), topology=False))
    with pytest.raises(ValueError, match="not which layers they make.*\n.*conv0/kernel:0 float32"):
        bnnsim.load_network(tmp_path / "x.h5")
    check(interop.read_network(tmp_path / "x.h5", foreign.spec_of(layers), input_shape=SHAPE, eps=foreign.EPS),
          layers, images)


def test_classic_hdf5_is_what_h5py_reads(tmp_path, rng):
    """Attributes, nested groups, enough names for several nodes of a tree, big-endian numbers, empty arrays."""
    import h5py
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for i in range(100):
            file.create_group(f"g{i:03}/inner").create_dataset("v", data=rng.normal(size=(i % 4, 3)).astype(">f4"))
        file.attrs["text"], file.attrs["texts"], file.attrs["numbers"] = "ä" * 3000, ["a", "bc", ""], np.arange(5)
        file.attrs["fixed"] = np.bytes_(b"fixed")
        file["scalar"], file["flag"] = 3.5, True
    root = read_classic((tmp_path / "x.h5").read_bytes())
    with h5py.File(tmp_path / "x.h5") as file:
        assert sorted(root.members) == sorted(file)
        for i in range(100):
            name = f"g{i:03}/inner/v"
            np.testing.assert_array_equal(root.find(name).array.value(), file[name][()])
        assert root.attributes["text"] == file.attrs["text"] and root.attributes["texts"] == ["a", "bc", ""]
        assert root.attributes["fixed"] == "fixed" and root.attributes["numbers"].tolist() == [0, 1, 2, 3, 4]
        assert root.find("scalar").array.value() == 3.5 and root.find("flag").array.value() == 1


@pytest.mark.parametrize("how", [
    {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}, {"chunks": True}, {"shuffle": True},
    {"compression": "gzip", "compression_opts": 9, "chunks": "halves"}, {"chunks": "more", "compression": "gzip"}])
def test_chunked_hdf5_is_what_h5py_reads(tmp_path, rng, how):
    """Chunks that fit, that overhang, that are larger than their array; enough for several nodes of a tree."""
    import h5py
    shapes = [(7,), (3, 3, 2, 5), (64, 40), (1000, 3), (1, 1)]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for i, shape in enumerate(shapes):
            chunks = {"halves": tuple(size // 2 + 1 for size in shape), "more": tuple(size + 2 for size in shape)}
            given = {**how, "chunks": chunks.get(how.get("chunks"), True), "maxshape": (None,) * len(shape)}
            file.create_dataset(f"f{i}", data=rng.normal(size=shape).astype("f4"), **given)
            file.create_dataset(f"g/i{i}", data=rng.integers(-1, 2, shape), **given)
        file.create_dataset("many", data=np.arange(5000), chunks=(3,))
    root = read_classic((tmp_path / "x.h5").read_bytes())
    with h5py.File(tmp_path / "x.h5") as file:
        for name in [*(f"f{i}" for i in range(5)), *(f"g/i{i}" for i in range(5)), "many"]:
            found = root.find(name).array
            np.testing.assert_array_equal(found.value(), file[name][()])
            assert found.shape == file[name].shape and found.value().dtype == file[name].dtype


def test_a_compressed_keras_model(tmp_path, rng):
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    (tmp_path / "x.h5").write_bytes(foreign.keras_h5(*foreign.keras_layers(layers, SHAPE), compression="gzip",
                                                     shuffle=True))
    check(interop.read_network(tmp_path / "x.h5"), layers, images)


@pytest.mark.parametrize("sign, at_zero", [("Sign", 1), ("BipolarQuant", 1), ("MultiThreshold", 1), ("Where", -1),
                                           ("Larq", 1)])
def test_onnx(tmp_path, rng, sign, at_zero):
    """No sum of these networks meets a threshold, so that ONNX's Sign, of which that of 0 is 0, gives signs."""
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(layers, SHAPE, sign))
    imported = interop.read_network(tmp_path / "x.onnx")
    check(imported, layers, images, at_zero=at_zero)
    assert imported.form == ("QONNX" if sign in ("BipolarQuant", "MultiThreshold") else "ONNX")


def test_onnx_with_its_values_in_another_file(tmp_path, rng):
    """As torch.onnx.export of today writes models, unless told otherwise."""
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    values = bytearray()
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(layers, SHAPE, "Where", values))
    (tmp_path / "x.data").write_bytes(values)
    check(interop.read_network(tmp_path / "x.onnx"), layers, images, at_zero=-1)


@pytest.mark.parametrize("code, values", [("unit", lambda u: u / 255), ("centred", lambda u: u / 127.5 - 1),
                                          ((0.25, 0.5), lambda u: (u / 255 - 0.25) / 0.5)])
def test_what_pixels_mean_folds_into_thresholds(tmp_path, rng, code, values):
    """Dense layers, whose norms are about sums of scaled pixels: the same classes, the offset where the input is 0."""
    layers, images = foreign.plan(rng, conv=False), foreign.images_of(rng)
    for fields in layers[:1]:
        fields["norm"]["mean"] /= 255
        fields["norm"]["var"] /= np.float32(255 ** 2)
    (tmp_path / "x.npz").write_bytes(foreign.npz(foreign.state_dict(layers)))
    network = bnnsim.load_network(tmp_path / "x.npz", foreign.spec_of(layers), input_shape=SHAPE, eps=foreign.EPS,
                                  input=code)
    scores = foreign.sums(layers, values(images.astype("f8")))[1]
    np.testing.assert_allclose(network.scores(images), scores, rtol=1e-5, atol=1e-5)
    assert network.input_offset == {"unit": 0, "centred": 128}.get(code, 64)


def integer_network(rng):
    """Weights +-1 of two dense layers and popcount thresholds of the first, for input of +-1."""
    return rng.choice([-1, 1], (12, 72)), rng.integers(30, 42, 12), rng.choice([-1, 1], (4, 12))


def integer_scores(first, t, last, x, strict=False):
    popcounts = ((x.reshape(len(x), -1) @ first.T) + first.shape[1]) // 2
    return np.where(popcounts > t if strict else popcounts >= t, 1, -1) @ last.T


@pytest.mark.parametrize("digits", "bh")
@pytest.mark.parametrize("sign", [">=", ">"])
def test_memory_texts(tmp_path, rng, digits, sign):
    first, t, last = integer_network(rng)
    images = interop.binary_images(foreign.images_of(rng))
    texts = {"1_weights.txt": first > 0, "1_thresholds.txt": t[:, None] >> np.arange(7, -1, -1) & 1,
             "2_weights.txt": last > 0}
    for name, bits in texts.items():
        (tmp_path / name).write_bytes(foreign.memory_text(bits.astype(int), digits))
    how = {"input_shape": SHAPE, "input": "binary", "weights": "bits", "popcount": True, "sign": sign, "flatten": "CHW"}
    if digits == "h":
        with pytest.raises(ValueError, match="1_weights has packed words: say bit_order='lsb' where"):
            interop.read_network(tmp_path, "FC12 FC4", **how)
        how["bit_order"] = "msb"
    imported = interop.read_network(tmp_path, "FC12 FC4", **how)
    np.testing.assert_array_equal(imported.network.scores(images),
                                  integer_scores(first, t, last, images.astype(int) - 1, sign == ">"))
    assert imported.network.reads_bits and imported.network.summary().splitlines()[-1].endswith(f"{12 * 72 + 48}      "
                                                                                                "       0")


def test_a_memory_text_may_have_an_address_and_comments(tmp_path):
    (tmp_path / "x.mem").write_text("// a\n@0000\n1_0 /* 11 */ 01\n")
    assert read_memory_text(tmp_path / "x.mem")[0].tolist() == [[1, 0], [0, 1]]
    for text, message in (("@4 10", "from address @4 on"), ("10 1", "all of one length"), ("1x", "other letters"),
                          ("", "all of one length"), ("/* 10", "comment has no end")):
        (tmp_path / "x.mem").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_memory_text(tmp_path / "x.mem")


def test_c_headers(tmp_path, rng):
    first, t, last = integer_network(rng)
    images = interop.binary_images(foreign.images_of(rng))
    (tmp_path / "x.h").write_bytes(foreign.c_header({"w1": first, "thr1": t, "w2": last}))
    network = bnnsim.load_network(tmp_path / "x.h", "FC12 FC4", input_shape=SHAPE, input="binary", popcount=True)
    np.testing.assert_array_equal(network.scores(images), integer_scores(first, t, last, images.astype(int) - 1))
    (tmp_path / "y.c").write_text("int a[] = {1, -0x2, 3u, 010};\nfloat b[2][1] = {{1.5f}, {1e2}};")
    found = read_c_header(tmp_path / "y.c")
    assert found["a"].tolist() == [1, -2, 3, 8] and found["b"].tolist() == [[1.5], [100]]
    (tmp_path / "y.c").write_text("int a[] = {1, 1_000};\n")
    with pytest.raises(ValueError, match="1_000"):
        read_c_header(tmp_path / "y.c")


def test_finn(tmp_path, rng):
    """A convolution of pixels, pooled, and two dense layers on several elements, the last with rows of filling."""
    conv, dense = rng.choice([-1, 1], (8, 3, 3, 2)), rng.choice([-1, 1], (16, 8 * 2 * 2))
    last = rng.choice([-1, 1], (8, 16))
    thresholds = [rng.integers(-800, 800, 8), rng.integers(12, 20, 16), None]
    foreign.put_finn(tmp_path, [conv.reshape(8, -1), dense, last], thresholds, [4, 2, 4], [3, 8, 1])
    images = foreign.images_of(rng)
    h = foreign.convolved(images.astype("f8") - 128, conv.transpose(0, 3, 1, 2), 0)
    x = foreign.pooled(np.where(h > thresholds[0][:, None, None] / 2, 1, -1), 2).transpose(0, 2, 3, 1)
    x = x.reshape(len(x), -1) @ dense.T
    scores = np.where((x + 32) / 2 > thresholds[1], 1, -1) @ last.T
    imported = interop.read_network(tmp_path, "C8p0 MP2 FC16 FC5", input_shape=SHAPE)
    np.testing.assert_array_equal(imported.network.scores(images), scores[:, :5])
    assert "3 rows of filling left out" in imported.table() and imported.network.input_offset == 128


def test_thresholds_of_a_last_layer_make_signs(tmp_path, rng):
    """Of FINN's files and of texts: scores are +1 and -1, not margins, whose largest may be another class's."""
    weight, t = rng.choice([-1, 1], (4, 72)), rng.integers(30, 42, 4)
    images = interop.binary_images(foreign.images_of(rng))
    foreign.put_finn(tmp_path / "finn", [weight], [256 * (2 * t - 72)], [2], [8])
    (tmp_path / "texts").mkdir()
    for name, bits in {"w": weight > 0, "w_thr": t[:, None] >> np.arange(7, -1, -1) & 1}.items():
        (tmp_path / "texts" / f"{name}.memb").write_bytes(foreign.memory_text(bits.astype(int)))
    network = bnnsim.load_network(tmp_path / "texts", "FC4", input_shape=SHAPE, input="binary", weights="bits",
                                  popcount=True, flatten="CHW", sign=">")
    sums = (images.reshape(len(images), -1).astype(int) - 1) @ weight.T
    np.testing.assert_array_equal(network.scores(images), np.where(sums > 2 * t - 72, 1, -1))
    network = bnnsim.load_network(tmp_path / "finn", "FC4", input_shape=SHAPE)
    sums = (images.astype(int) - 128).transpose(0, 2, 3, 1).reshape(len(images), -1) @ weight.T
    np.testing.assert_array_equal(network.scores(images), np.where(sums > 128 * (2 * t - 72), 1, -1))


def test_texts_of_a_folder_stand_by_their_numbers(tmp_path, rng):
    """fc10 is behind fc2; the same as a list of files in this order."""
    weights = [rng.choice([-1, 1], (72, 72)) for _ in range(10)]
    for i, weight in enumerate(weights, 1):
        (tmp_path / f"fc{i}_w.txt").write_bytes(foreign.memory_text((weight > 0).astype(int)))
        (tmp_path / f"fc{i}_w_thr.txt").write_bytes(foreign.memory_text(np.full((72, 8), [0, 0, 1, 0, 0, 1, 0, 0])))
    (tmp_path / "fc10_w_thr.txt").unlink()
    network = bnnsim.load_network(tmp_path, " ".join(["FC72"] * 10), input_shape=SHAPE, input="binary", weights="bits",
                                  popcount=True, flatten="HWC")
    for layer, weight in zip(network.layers, weights, strict=True):
        np.testing.assert_array_equal(layer.signs(), weight)


def test_thresholds_that_may_be_binary_or_hexadecimal(tmp_path, rng):
    """0x10 is 16, 0b10 is 2: a name tells which, as does a number that is no threshold in one of them."""
    weight, last = rng.choice([-1, 1], (4, 72)), rng.choice([-1, 1], (3, 4))
    how = {"spec": "FC4 FC3", "input_shape": SHAPE, "input": "binary", "weights": "bits", "popcount": True}
    for name, bits in {"1": weight > 0, "2": last > 0}.items():
        (tmp_path / f"{name}.txt").write_bytes(foreign.memory_text(bits.astype(int)))
    for words, ending, t in (("10 11 01 00", "memh", [16, 17, 1, 0]), ("10 11 01 00", "memb", [2, 3, 1, 0]),
                             ("00100 00111 00011 00001", "txt", [4, 7, 3, 1]), ("0a 11 10 00", "txt", [10, 17, 16, 0])):
        path = tmp_path / f"1_thr.{ending}"
        path.write_text(words.replace(" ", "\n"))
        network = bnnsim.load_network([tmp_path / "1.txt", path, tmp_path / "2.txt"], **how)
        assert ((network.layers[0].threshold + 72) // 2).tolist() == t
        path.unlink()
    (tmp_path / "1_thr.txt").write_text("10\n11\n01\n00\n")
    with pytest.raises(ValueError, match="1_thr has no digits but 0 and 1, .*: call the file NAME.memb or NAME.memh"):
        bnnsim.load_network(tmp_path, **how)
    (tmp_path / "1.memb").write_text("f" * 18)
    with pytest.raises(ValueError, match="two of the files are called 1|digits other than 0 and 1"):
        bnnsim.load_network(tmp_path, **how)


def test_what_is_said_for_all_layers_of_a_list(tmp_path, rng):
    """eps, flatten and popcount hold for those that say nothing else; norm_first cannot."""
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    (tmp_path / "x.pt").write_bytes(foreign.torch_zip(foreign.state_dict(layers)))
    listed = [{"weight": f"features.{2 * i}.weight", "gamma": f"features.{2 * i + 1}.weight",
               "beta": f"features.{2 * i + 1}.bias", "mean": f"features.{2 * i + 1}.running_mean",
               "var": f"features.{2 * i + 1}.running_var"} for i in range(4)]
    listed[0] |= {"order": "CHW", "padding": 1, "pool": 2}
    listed[1] |= {"order": "CHW"}
    check(interop.read_network(tmp_path / "x.pt", listed, input_shape=SHAPE, eps=foreign.EPS), layers, images)
    with pytest.raises(ValueError, match="a layer list has its poolings before its norms"):
        bnnsim.load_network(tmp_path / "x.pt", listed, input_shape=SHAPE, norm_first=True)
    first, t, last = integer_network(rng)
    (tmp_path / "x.h").write_bytes(foreign.c_header({"w1": first, "thr1": t, "w2": last}))
    images = interop.binary_images(images)
    network = bnnsim.load_network(tmp_path / "x.h", [{"weight": "w1", "threshold": "thr1"}, {"weight": "w2"}],
                                  input_shape=SHAPE, input="binary", popcount=True)
    np.testing.assert_array_equal(network.scores(images), integer_scores(first, t, last, images.astype(int) - 1))


def test_popcounts_of_a_list_between_two_integers(tmp_path, rng):
    """They were cut to integers below, and what is no number to a unit that is always +1."""
    first, t, last = integer_network(rng)
    images = interop.binary_images(foreign.images_of(rng))
    how = {"spec": [{"weight": "w", "threshold": "t", "flatten": "CHW"}, {"weight": "last"}], "input_shape": SHAPE,
           "input": "binary", "popcount": True}
    np.savez(tmp_path / "x.npz", w=first, t=t + 0.5, last=last)
    np.testing.assert_array_equal(bnnsim.load_network(tmp_path / "x.npz", **how).scores(images),
                                  integer_scores(first, t + 0.5, last, images.astype(int) - 1))
    for bad in (np.nan, np.inf, -np.inf):
        np.savez(tmp_path / "x.npz", w=first, t=np.where(t == t[3], bad, t), last=last)
        with pytest.raises(ValueError, match="threshold must be finite"):
            bnnsim.load_network(tmp_path / "x.npz", **how)


def test_tables_of_structs_in_c(tmp_path, rng):
    """They are no numbers: a layer list leaves them out, a spec cannot; neither breaks the arrays beside."""
    first, t, last = integer_network(rng)
    table = b"static const layer_t layers[2] = {{72, 12, w1, thr1}, {12, 4, w2, 0}};\n"
    (tmp_path / "x.h").write_bytes(foreign.c_header({"w1": first, "thr1": t, "w2": last}) + b"\n" + table)
    how = {"input_shape": SHAPE, "input": "binary"}
    with pytest.raises(ValueError, match="layers float64 .0,. is neither weights"):
        bnnsim.load_network(tmp_path / "x.h", "FC12 FC4", popcount=True, **how)
    listed = [{"weight": "w1", "threshold": "thr1", "flatten": "CHW"}, {"weight": "w2"}]
    images = interop.binary_images(foreign.images_of(rng))
    network = bnnsim.load_network(tmp_path / "x.h", listed, **how)
    np.testing.assert_array_equal(network.scores(images),
                                  integer_scores(first, (t + 72) / 2, last, images.astype(int) - 1))


def test_a_layer_list(tmp_path, rng):
    """Names instead of arrays; what it does not name is left out."""
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    (tmp_path / "x.pt").write_bytes(foreign.torch_zip({**foreign.state_dict(layers), "other": np.ones((2, 2), "f4")}))
    listed = [{"weight": f"features.{2 * i}.weight", "gamma": f"features.{2 * i + 1}.weight",
               "beta": f"features.{2 * i + 1}.bias", "mean": f"features.{2 * i + 1}.running_mean",
               "var": f"features.{2 * i + 1}.running_var", "eps": foreign.EPS} for i in range(4)]
    listed[0] |= {"order": "CHW", "padding": 1, "pool": 2}
    listed[1] |= {"order": "CHW"}
    listed[2] |= {"flatten": "CHW"}
    check(interop.read_network(tmp_path / "x.pt", listed, input_shape=SHAPE), layers, images)
    listed[2]["weight"] = "nothing"
    with pytest.raises(ValueError, match=r"layers\[2\] names nothing; the file has features.0.weight"):
        bnnsim.load_network(tmp_path / "x.pt", listed, input_shape=SHAPE)


def test_a_file_of_bnnsim(tmp_path, rng):
    """What `save` wrote is read too, whatever it is called."""
    network = bnnsim.pack(bnnsim.architectures.build("FC8 FC4", SHAPE, rng=0))
    network.save(tmp_path / "x.h5")
    assert bnnsim.load_network(tmp_path / "x.h5").checksum == network.checksum


LAYERS = {"spec": "FC9", "popcount": True, "norm_first": False, "eps": 0.5, "flatten": "HWC", "bit_order": "lsb"}
OWN = {**LAYERS, "input": "binary", "weights": "bits", "sign": ">", "bias": "stored"}


@pytest.mark.parametrize("name, how", [*[("x.onnx", key) for key in LAYERS], *[("x.keras", key) for key in LAYERS],
                                       *[(name, key) for name in ("own.h5", "own.npz") for key in OWN]])
def test_what_is_said_and_would_not_be_read_is_refused(tmp_path, name, how):
    """It was as if it had not been said."""
    layers = foreign.plan(np.random.default_rng(3))
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(layers, SHAPE))
    (tmp_path / "x.keras").write_bytes(foreign.keras_zip(*foreign.keras_layers(layers, SHAPE)))
    network = bnnsim.load_network(tmp_path / "x.onnx", sign=">=", input="pixels", input_shape=SHAPE)
    network.save(tmp_path / "own.h5")
    bnnsim.export_network(network, tmp_path / "own.npz")
    with pytest.raises(ValueError, match=f"{name}: {how}='?{OWN[how]}'? would not be read, as the file .*: leave it"):
        bnnsim.load_network(tmp_path / name, **{how: OWN[how]})
    assert bnnsim.load_network(tmp_path / name, input_shape=SHAPE).input_shape == SHAPE
    with pytest.raises(ValueError, match=r"input_shape is \(2, 6, 6\) in the file, got \(2, 4, 9\)"):
        bnnsim.load_network(tmp_path / name, input_shape=(2, 4, 9))


def test_rows_are_images_of_one_channel(tmp_path):
    """A dense layer reads them row by row; of more channels it would read them in another order."""
    rng = np.random.default_rng(3)
    weight = rng.choice([-1, 1], (16, 5)).astype("f4")
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.model([foreign_onnx.node("MatMul", ["x", "w"], "y")], {"w": weight},
                                                         (16,), "y"))
    images = rng.integers(0, 256, (9, 1, 4, 4), np.uint8)
    network = bnnsim.load_network(tmp_path / "x.onnx", input_shape=(1, 4, 4))
    np.testing.assert_array_equal(network.scores(images), images.reshape(9, 16) @ weight.astype("f8"))
    with pytest.raises(ValueError, match=r"input_shape is \(1, 1, 16\) in the file, got \(4, 2, 2\)"):
        bnnsim.load_network(tmp_path / "x.onnx", input_shape=(4, 2, 2))


@pytest.mark.parametrize("settings, message", [
    ({"input_shape": (0, 4, 4)}, r"^input_shape\[0\] must be in"), ({"input_shape": (4, 4)}, "^input_shape must be"),
    ({"input_shape": (1, 4, 4.0)}, r"^input_shape\[2\] must be an integer"),
    ({"popcount": "no"}, "popcount must be True or False, got 'no'"),
    ({"norm_first": "no"}, "norm_first must be True or False, got 'no'")])
def test_settings_of_a_wrong_kind(tmp_path, settings, message):
    """With packed words and a spec a size of 0 was "cannot reshape array"; "no" was taken for True."""
    np.savez(tmp_path / "x.npz", w=np.ones((3, 2), np.uint8))
    with pytest.raises((ValueError, TypeError), match=message):
        bnnsim.load_network(tmp_path / "x.npz", "FC3", weights="bits", bit_order="lsb",
                            **{"input_shape": (1, 4, 4), **settings})


@pytest.mark.parametrize("name, how", [
    ("keras.keras", {}), ("keras.h5", {}), ("model.onnx", {}),
    ("model.safetensors", {"spec": "FC12 FC3", "input_shape": (1, 4, 4)})])
def test_files_that_other_programs_wrote(name, how):
    """Keras 3, onnx and safetensors themselves: see tests/golden/foreign/make_foreign.py."""
    kind = name.replace("model.", "").split(".")[0]
    with np.load(GOLDEN / "expected.npz") as expected:
        images = expected["keras_images" if kind == "keras" else "images"]
        scores = expected[f"{kind}_scores"]
    found = bnnsim.load_network(GOLDEN / name, **how).scores(images)
    np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-5)
    assert len(np.unique(found, axis=0)) > 2


@pytest.mark.parametrize("path", [None, {"w": np.ones((3, 2))}, b"x.npz", [np.ones(3)]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match="path must be a file, .*; arrays at hand are taken by PackedNetwork.from_arr"):
        bnnsim.load_network(path)


def test_an_error_names_its_file_once(tmp_path):
    """Readers of our own files say the name themselves."""
    path = tmp_path / "cut.h5"
    path.write_bytes(bnnsim.datasets.data_file("fashion_fcnn.h5").read_bytes()[:5000])
    with pytest.raises(ValueError, match="is damaged or cut off") as caught:
        bnnsim.load_network(path)
    assert str(caught.value).count("cut.h5") == 1
