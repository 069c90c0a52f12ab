"""Data of one's own, by path: what is taken, what classes and codes it gets, and what is refused, by name."""

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from small_files import idx_bytes

import bnnsim
import bnnsim.datasets.features as features
import bnnsim.datasets.npz_files as npz_files
from bnnsim.datasets import FeatureCode, Reading, Split, load_dataset
from bnnsim.datasets.catalogue import dataset_of
from bnnsim.datasets.split import hold_out
from bnnsim.seeding import generator

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 6, 7), np.uint8)
LABELS = np.arange(20) % 2


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


# ---------------------------------------------------------------- arrays

def test_images_of_any_order_become_n_c_h_w():
    grey = Split.from_arrays(IMAGES, LABELS)
    assert grey.images.shape == (20, 1, 6, 7) and grey.n_classes == 2 and grey.reading is None
    colour = RNG.integers(0, 256, (4, 6, 7, 3), np.uint8)
    split = Split.from_arrays(colour, ["b", "a", "c", "a"], order="NHWC")
    np.testing.assert_array_equal(split.images, colour.transpose(0, 3, 1, 2))
    assert split.labels.tolist() == [1, 0, 2, 0] and split.reading.class_names == ("a", "b", "c")
    later = Split.from_arrays(colour[:1], ["c"], order="NHWC", class_names=split.reading.class_names)
    assert later.labels.tolist() == [2], "a later part has the classes of the training half"
    assert Split.from_arrays(split.images, [0, 1, 1, 0]).images is split.images
    assert Split.from_arrays(colour, [0, 1, 1, 0], order="NHWC", n_classes=5).n_classes == 5


def test_strings_of_dtype_object_are_names_too():
    """As a column of pandas gives them."""
    words = ["b", "a"] * 10
    split, wanted = Split.from_arrays(IMAGES, np.array(words, object)), Split.from_arrays(IMAGES, words)
    assert split.labels.tolist() == wanted.labels.tolist() and split.reading == wanted.reading
    table = Split.from_features(np.eye(20), np.array(words, object))
    assert table.labels.tolist() == wanted.labels.tolist() and table.reading.class_names == ("a", "b")


@pytest.mark.parametrize("call, error, message", [
    (lambda: Split.from_arrays(np.zeros((4, 6, 7, 3), np.uint8), [0] * 4), ValueError, "say order='NHWC'"),
    (lambda: Split.from_arrays(np.zeros((4, 3, 7, 3), np.uint8), [0] * 4), ValueError, "may be N, C, H, W or"),
    (lambda: Split.from_arrays(np.zeros((4, 6, 7, 5), np.uint8), [0] * 4), ValueError, "may be N, C, H, W or"),
    (lambda: Split.from_arrays(np.zeros((4, 6), np.uint8), [0] * 4), ValueError, "images must have axes"),
    (lambda: Split.from_arrays(IMAGES, LABELS, order="NHWC"), ValueError, "axes NHWC, got shape"),
    (lambda: Split.from_arrays(IMAGES, LABELS, order="HWC"), ValueError, "order must be one of"),
    (lambda: Split.from_arrays(IMAGES / 255, LABELS), TypeError, "uint8"),
    (lambda: Split.from_arrays(IMAGES, LABELS + 300), ValueError, r"labels must be in 0\.\.255"),
    (lambda: Split.from_arrays(IMAGES, LABELS - 1), ValueError, "labels must be in 0"),
    (lambda: Split.from_arrays(IMAGES, LABELS / 2), TypeError, "labels must be integers"),
    (lambda: Split.from_arrays(IMAGES, np.ma.array(LABELS, mask=LABELS == 1)), ValueError, "no masked values, got 10"),
    (lambda: Split.from_features(np.eye(20), np.ma.array(LABELS, mask=LABELS == 1)), ValueError, "no masked values"),
    (lambda: Split.from_arrays(IMAGES, np.array(["a", np.nan] * 10, object)), TypeError,
     r"labels must be integers or strings, got nan at 1 of an array of dtype object: leave out"),
    (lambda: Split.from_features(np.eye(20), LABELS.astype(object)), TypeError, r"got 0 at 0 .* labels.astype\(int"),
    (lambda: Split.from_arrays(IMAGES, LABELS, class_names=("a", "a")), ValueError, "names that differ"),
    (lambda: Split.from_arrays(IMAGES, LABELS, class_names="ab"), TypeError, "class_names must be strings"),
    (lambda: Split.from_arrays(IMAGES, LABELS, class_names={"a", "b"}), TypeError, "whose order numbers the classes"),
    (lambda: Split.from_arrays(IMAGES, ["a"] * 20, class_names={"a", "b"}), TypeError, "class_names must be strings"),
    (lambda: Split.from_arrays(IMAGES, LABELS, class_names=None), TypeError, "in a list, a tuple or an array.* None"),
    (lambda: Split.from_arrays(IMAGES, LABELS, class_names=(c for c in "ab")), TypeError, "class_names must be str"),
    (lambda: Reading(columns={"a", "b"}), TypeError, "names of columns must be in a list, a tuple or an array"),
    (lambda: Split.from_arrays(IMAGES, LABELS, class_names=("a", "b"), n_classes=3), ValueError, "n_classes must be 2"),
    (lambda: Split.from_arrays(IMAGES, ["x"] * 20, class_names=("a", "b")), ValueError, "of the classes a, b, got x"),
    (lambda: Split(IMAGES[:, None], LABELS, "a", reading="x"), TypeError, "reading must be a Reading"),
    (lambda: Split.from_arrays(IMAGES, LABELS).hold_out(1.0), ValueError, "below 1"),
    (lambda: Split.from_arrays(IMAGES, LABELS).hold_out(0), ValueError, "share must be > 0"),
    (lambda: Split.from_arrays(IMAGES[:2], [0, 1]).hold_out(0.5), ValueError, "a class of 2 examples"),
    (lambda: Split.from_features([[0.0], [np.nan]], [0, 1]), ValueError, "finite, got nan at index"),
    (lambda: Split.from_features([["a"]], [0]), TypeError, "features must be numbers"),
    (lambda: Split.from_features([1.0, 2.0], [0, 1]), ValueError, "shape"),
    (lambda: Split.from_features(np.zeros((3, 5000)), [0] * 3, bins=8), ValueError, "one code a channel"),
    (lambda: Split.from_features([[1.0]], [0], bins=2, code=FeatureCode.fit([[1.0]])), ValueError, "not both"),
    (lambda: Split.from_features([[1.0, 2.0]], [0], code=FeatureCode.fit([[1.0]])), ValueError, "code was fitted on"),
    (lambda: Split.from_features([[1.0]], [0], code="x"), TypeError, "code must be a FeatureCode"),
    (lambda: Reading(size=(0, 3)), ValueError, "size"), (lambda: Reading(size="32"), TypeError, "size must be"),
])
def test_bad_arrays(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_held_out_images_are_a_share_of_each_class_and_none_is_lost():
    labels = np.repeat([0, 1, 2, 3], [50, 10, 3, 1])
    split = Split(np.arange(64, dtype=np.uint8).reshape(64, 1, 1, 1), labels, "mine", 4)
    rest, held = split.hold_out(0.2, 1)
    assert np.bincount(held.labels, minlength=4).tolist() == [10, 2, 1, 0]
    assert sorted([*rest.images.ravel(), *held.images.ravel()]) == list(range(64))
    assert held.sha256 == split.hold_out(0.2, 1)[1].sha256 != split.hold_out(0.2, 2)[1].sha256
    draw = generator(1, "hold out")                              # by hand: of another stream, what was trained on
    wanted = [draw.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate((10, 2, 1, 0))]
    assert held.images.ravel().tolist() == sorted(np.concatenate(wanted).tolist())


def test_a_number_of_held_out_images_is_trained_on_by_nobody():
    """What `--holdout N` evaluates, and picks the best epoch by; by hand, in the order of the images."""
    split = Split(np.arange(30, dtype=np.uint8).reshape(30, 1, 1, 1), np.arange(30) % 3, "mine", 3)
    rest, held = hold_out(split, 7, 5)
    order = generator(5, "holdout").permutation(30)
    assert held.images.ravel().tolist() == sorted(order[:7].tolist()) == [3 * (i // 3) + c for i, c in zip(
        held.images.ravel().tolist(), held.labels.tolist())]
    assert rest.images.ravel().tolist() == sorted(order[7:].tolist())
    assert hold_out(split, 0, 5) == (split, None)
    with pytest.raises(ValueError, match=r"holdout must be in \[0, 29\], got 30"):
        hold_out(split, 30, 5)


# ---------------------------------------------------------------- features

def test_a_code_is_the_training_data_s_and_survives_as_text():
    x = RNG.normal(size=(200, 3)) * [1, 1e6, 1e-6]
    for bins in (None, 1, 5):
        train = Split.from_features(x[:150], LABELS[:150 % 20].tolist() * 15, bins=bins)
        later = Split.from_features(x[150:], [0] * 50, code=train.reading.code, n_classes=2)
        assert train.images.shape[1:] == later.images.shape[1:] == (bins or 1, 1, 3)
        again = Reading.of_metadata({"reading": train.reading.text()})
        assert again == train.reading and again.code.encode(x[150:]).tobytes() == later.images.tobytes()
    other = Split.from_features(x[150:], [0] * 50, bins=5)
    assert other.images.tobytes() != later.images.tobytes(), "a code fitted on test data is another one"


def test_a_thermometer_is_full_below_and_empty_above():
    """Held against the definition, one value at a time."""
    x = RNG.normal(size=(300, 2))
    code = FeatureCode.fit(x, bins=4)
    coded = code.encode(x)
    for n in range(300):
        for f in range(2):
            assert coded[n, :, 0, f].tolist() == [255 * (x[n, f] > t) for t in np.quantile(x[:, f], [.2, .4, .6, .8])]
    assert abs((coded > 0).mean((0, 2, 3)) - [.8, .6, .4, .2]).max() < 0.01
    few = FeatureCode.fit([[0.0], [1.0], [1.0], [1.0]], bins=3).encode([[0.0], [1.0]])
    assert few.ravel().tolist() == [0, 0, 0, 255, 0, 0], "a yes or no is seen, whatever its share"


def test_levels_are_clipped_and_constants_are_black():
    code = FeatureCode.fit([[0.0, 3.0, -1e308], [10.0, 3.0, 1e308]])
    assert code.encode([[-5.0, 3.0, 0.0], [5.0, 9.0, 1e308], [99.0, 3.0, -1e308]])[:, 0, 0].tolist() == [
        [0, 0, 128], [128, 0, 255], [255, 0, 0]]


def test_signals_have_one_code_a_channel():
    x = RNG.normal(size=(30, 2, 50)) * [[1], [100]]
    split = Split.from_features(x, [0, 1] * 15, bins=3)
    assert split.images.shape == (30, 6, 1, 50) and split.reading.code.table.shape == (2, 1, 3)
    np.testing.assert_array_equal(split.images[:, 4, 0], 255 * (x[:, 1] > np.quantile(x[:, 1], 0.5)))
    with pytest.raises(ValueError, match=r"must have shape \(N, 2, L\)"):
        split.reading.code.encode(x[:, 0])


SAID = {"class_names": [], "size": None, "order": None, "code": None, "columns": []}
BAD_CODE = {"kind": "levels", "shape": [1, 1, 3], "table": [1, 2]}


@pytest.mark.parametrize("text", ["[]", "{}", "x", *(json.dumps(SAID | {key: value}) for key, value in [
    ("class_names", "ab"), ("class_names", [1]), ("columns", "ab"), ("columns", ["a", "a"]), ("size", [1]),
    ("order", "HWC"), ("code", BAD_CODE), ("code", 3)])])
def test_a_network_s_word_on_its_data_is_checked(text):
    with pytest.raises(ValueError, match="metadata 'reading' must tell how its data were read"):
        Reading.of_metadata({"reading": text})


# ---------------------------------------------------------------- npz

def test_halves_and_parts_of_npz(tmp_path):
    for kind in ("x_{}", "{}_images"):
        names = [kind.format(half) for half in ("train", "test")]
        labels = [name.replace("x_", "y_").replace("images", "labels") for name in names]
        path = npz(tmp_path / "a.npz", **{names[0]: IMAGES, labels[0]: LABELS, names[1]: IMAGES[:5],
                                          labels[1]: LABELS[:5]})
        train, test = load_dataset(path)
        assert train.images.tobytes() == IMAGES.tobytes() and len(test) == 5
        assert (train.name, test.name, train.n_classes) == ("a.npz-train", "a.npz-test", 2)
    train, test = load_dataset(str(npz(tmp_path / "b.npz", X=IMAGES, y=np.where(LABELS, "up", "down"))))
    assert (len(train), len(test)) == (16, 4) and test.reading.class_names == ("down", "up")
    whole = Split.from_arrays(IMAGES, LABELS)
    assert test.sha256 == whole.hold_out(0.2, 0)[1].sha256, "a fifth of each class, always the same"
    assert load_dataset(tmp_path / "b.npz")[1].sha256 == test.sha256
    fortran = npz(tmp_path / "c.npz", images=np.asfortranarray(IMAGES), labels=LABELS.astype(">i2"))
    assert load_dataset(fortran)[1].sha256 == test.sha256


def test_classes_of_a_later_file_are_the_network_s(tmp_path):
    npz(tmp_path / "a.npz", images=IMAGES, labels=np.arange(20) % 3, class_names=["dog", "ant", "cat"])
    train, _ = load_dataset(tmp_path / "a.npz")
    assert train.reading.class_names == ("dog", "ant", "cat")
    like = {"reading": train.reading.text()}
    npz(tmp_path / "b.npz", images=IMAGES, labels=["cat", "ant"] * 10)
    assert set(load_dataset(tmp_path / "b.npz", like=like)[0].labels) == {1, 2}
    npz(tmp_path / "c.npz", images=IMAGES, labels=LABELS, class_names=["cat", "ant"])
    np.testing.assert_array_equal(load_dataset(tmp_path / "c.npz", like=like)[0].labels,
                                  load_dataset(tmp_path / "b.npz", like=like)[0].labels)
    npz(tmp_path / "d.npz", images=IMAGES, labels=["cow", "ant"] * 10)
    with pytest.raises(ValueError, match="d.npz: labels must be of the classes dog, ant, cat, got cow"):
        load_dataset(tmp_path / "d.npz", like=like)


def test_features_in_npz_are_coded_by_the_training_half(tmp_path):
    x, y = RNG.normal(size=(40, 3)), np.arange(40) % 2
    path = npz(tmp_path / "x.npz", x=x, y=y)
    train, test = load_dataset(path, bins=4)
    numbers = Split(np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1), y, "", 2)
    places = numbers.hold_out(0.2, 0)[0].images.ravel()
    assert train.reading.code == FeatureCode.fit(x[places], 4) and test.images.shape == (8, 4, 1, 3)
    npz(tmp_path / "later.npz", x=x * 100, y=y)
    assert load_dataset(tmp_path / "later.npz", like={"reading": train.reading.text()})[0].reading.code == \
        train.reading.code
    with pytest.raises(ValueError, match="tells no code of features"):
        load_dataset(path, like={})
    with pytest.raises(ValueError, match="trained on features, but these are images"):
        load_dataset(npz(tmp_path / "i.npz", images=IMAGES, labels=LABELS), like={"reading": train.reading.text()})


def test_signals_in_npz_have_one_code_a_channel(tmp_path):
    x, y = RNG.normal(size=(40, 3, 12)) * [[1], [100], [0.01]], np.arange(40) % 2
    train, test = load_dataset(npz(tmp_path / "x.npz", x=x, y=y))
    assert train.images.shape == (32, 3, 1, 12) and test.images.shape == (8, 3, 1, 12)
    assert train.reading.code.table.shape == (3, 1, 2) and len(np.unique(train.images[:, 2])) > 50
    again = load_dataset(npz(tmp_path / "z.npz", x=x * 10, y=y), like={"reading": train.reading.text()})
    assert again[0].reading.code == train.reading.code
    assert load_dataset(npz(tmp_path / "u.npz", x=(x > 0).astype(np.uint8), y=y))[0].images.shape == (32, 1, 3, 12)
    with pytest.raises(TypeError, match="images must be a uint8 array .* pass np.round"):
        load_dataset(npz(tmp_path / "f.npz", x=RNG.random((40, 12, 12)), y=y))        # images, from 0 to 1


@pytest.mark.parametrize("arrays, message", [
    ({"images": IMAGES}, "wanted images and labels .*got images"), ({"pictures": IMAGES}, "got 'pictures'"),
    ({"images": IMAGES, "labels": np.array([None] * 20)}, "labels.npy: wanted numbers or strings, got objects"),
    ({"images": IMAGES, "labels": LABELS, "X": IMAGES}, "two such arrays"),
    ({"images": IMAGES, "labels": LABELS[:5]}, "one for each image"),
    ({"images": IMAGES, "labels": LABELS, "class_names": [1, 2]}, "class_names must be strings"),
    ({"images": IMAGES, "labels": LABELS, "class_names": ["a"]}, r"labels must be in 0\.\.0"),
    ({"images": IMAGES, "labels": LABELS, "class_names": ["a", "b", "c"]}, "got none of c"),
    ({"images": IMAGES, "labels": LABELS - 1}, "labels must be in 0"),
    ({"images": IMAGES, "labels": LABELS == 1}, "labels must be integers or strings"),
    ({"images": IMAGES / 255, "labels": LABELS}, "a.npz: images must be a uint8 array .*255"),
    ({"images": IMAGES.reshape(20, -1), "labels": LABELS}, "got rows"),
    ({"images": np.zeros((20, 8, 8, 3), np.uint8), "labels": LABELS}, "order='NHWC'"),
    ({"images": IMAGES[:0], "labels": LABELS[:0]}, "images.npy: wanted at least one example, got .* shape .0,"),
    ({"train_images": IMAGES, "train_labels": LABELS}, "wanted images and labels"),
    ({"train_images": IMAGES, "train_labels": LABELS, "test_images": np.ones((2, 3)), "test_labels": [0, 1]},
     "both halves must be images"),
    ({"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES[:, :5], "test_labels": LABELS},
     r"both halves must be of one size, got \(20, 6, 7\) to train on and \(20, 5, 7\)"),
    ({"x": IMAGES * 1.0j, "y": LABELS}, "wanted numbers or strings"),
])
def test_bad_npz(tmp_path, arrays, message):
    with pytest.raises((ValueError, TypeError), match=message):
        load_dataset(npz(tmp_path / "a.npz", **arrays))


def test_what_is_asked_of_data_of_another_kind(tmp_path):
    path = npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    for options, message in (({"size": (3, 3)}, "size is for folders"), ({"bins": 3}, "bins is for features"),
                             ({"folder": tmp_path}, "folder must be left out"), ({"order": "NHWC"}, "axes NHWC")):
        with pytest.raises(ValueError, match=message):
            load_dataset(path, **options)
    with pytest.raises(ValueError, match="leave them out for 'fashion'"):
        load_dataset("fashion", size=(3, 3))
    with pytest.raises(FileNotFoundError, match="which is not there"):
        load_dataset(tmp_path / "no.npz")


def npy(shape, dtype="|u1", content=b""):
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head + b"\n" + content


@pytest.mark.parametrize("content, message", [
    (npy((20, 6, 7), content=b"x"), "wanted the bytes"), (npy((1 << 40, 6, 7)), "wanted the bytes"),
    (npy((-1, 6, 7)), "wanted the bytes"), (npy((20,), "|O", b"x"), "got objects"),
    (b"x" * 40, "as numpy.savez writes it"),
    (b"\x93NUMPY\x07\x00", "as numpy.savez"), (npy("((((" * 200), "as numpy.savez"), (b"", "as numpy.savez"),
    (npy((1,), "<U1", b"\xff" * 4), "characters that are none"),
])
def test_members_that_are_no_arrays(tmp_path, content, message):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path / "a.npz")


def test_archives_that_inflate_are_refused_before_anything_is_allocated(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((40000, 40, 40), np.uint8), labels=np.zeros(40000, int))
    monkeypatch.setattr(npz_files, "_array", None)
    with pytest.raises(ValueError, match="announces .*numpy.savez"):
        load_dataset(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        for i in range(2000):
            archive.writestr(f"{i}.npy", b"")
    with pytest.raises(ValueError, match="wanted a list of members"):
        load_dataset(tmp_path / "b.npz")


def test_damaged_archives_end_in_a_value_error(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=IMAGES, labels=LABELS)
    good, path = buffer.getvalue(), tmp_path / "a.npz"
    for i in range(0, len(good), 7):
        for bad in (good[:i], good[:i] + bytes([good[i] ^ 255]) + good[i + 1:]):
            path.write_bytes(bad)
            try:
                load_dataset(path)
            except ValueError:
                pass


def test_a_file_s_name_is_no_known_data_set_s():
    """`mnist-of-mine.npz` was MNIST for evaluate, where names were told by their beginning."""
    assert [dataset_of(name) for name in ("mnist-of-mine.npz-test", "fashion.npz", "fashion-subset-test[:3]",
                                          "mnist-train[3 of 9]")] == [None, None, "fashion-subset", "mnist"]
    assert features.MAX_TABLE * 26 < 2**20, "the code must fit into a network's metadata"


def test_a_network_keeps_how_its_data_were_read(tmp_path):
    train = Split.from_features(RNG.normal(size=(40, 3)), ["no", "yes"] * 20, bins=4)
    model = bnnsim.architectures.build("FC8 FC2", (4, 1, 3), rng=0)
    bnnsim.fit(model, train, 1, rng=0, progress=False)
    bnnsim.pack(model).save(tmp_path / "a.h5")
    assert Reading.of_metadata(bnnsim.PackedNetwork.load(tmp_path / "a.h5").metadata) == train.reading


def test_the_longest_code_fits_into_a_network_s_file(tmp_path):
    """It is refused when data are read, not when a trained network is saved."""
    reading = Reading(code=FeatureCode("thermometer", -np.sort(-RNG.random((1, 20, 1000)))[..., ::-1]))
    network = bnnsim.pack(bnnsim.architectures.build("FC2", (1, 1, 1), rng=0), {"reading": reading.text()})
    network.save(tmp_path / "a.h5")
    assert Reading.of_metadata(bnnsim.PackedNetwork.load(tmp_path / "a.h5").metadata) == reading
    with pytest.raises(ValueError, match="keep of its data must have at most 900000 bytes"):
        Reading(columns=tuple("\N{SNOWMAN}" * 150 + str(i) for i in range(850)), code=reading.code)


# ---------------------------------------------------------------- IDX

@pytest.fixture
def letters(tmp_path):
    """IDX files as EMNIST has them: of 26 classes, from 1 on, 6 x 7 pixels."""
    labels = np.arange(52, dtype=np.uint8) % 26 + 1
    images = RNG.integers(0, 256, (52, 6, 7), np.uint8)
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images), mtime=0))
    (tmp_path / "emnist-letters-train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return tmp_path / "emnist-letters-train-images-idx3-ubyte.gz", images, labels


@pytest.mark.parametrize("other", ["test", "t10k"])
def test_idx_files_of_any_size_and_number_of_classes(letters, other):
    path, images, labels = letters
    train, test = load_dataset(path)
    assert (len(train), len(test), train.n_classes) == (26, 26, 27)
    assert train.name == "emnist-letters-train-images-idx3-ubyte.gz-train"
    for kind, content in (("images-idx3-ubyte", images[:3]), ("labels-idx1-ubyte", labels[:3])):
        (path.parent / f"emnist-letters-{other}-{kind}").write_bytes(idx_bytes(content))
    train, test = load_dataset(str(path))
    np.testing.assert_array_equal(train.images[:, 0], images)
    np.testing.assert_array_equal(test.images[:, 0], images[:3])
    assert test.labels.tolist() == [1, 2, 3] and train.labels.tolist() == labels.tolist()


def test_bad_idx(letters):
    path, _, labels = letters
    place = path.parent / "emnist-letters-train-labels-idx1-ubyte"
    place.write_bytes(idx_bytes(labels[:5]))
    with pytest.raises(ValueError, match="one for each image"):
        load_dataset(path)
    place.write_bytes(idx_bytes(labels)[:-3])
    with pytest.raises(ValueError, match="cut off"):
        load_dataset(path)
    for half in ("test", "t10k"):
        for kind, content in (("images-idx3", np.zeros((3, 6, 7), np.uint8)), ("labels-idx1", labels[:3])):
            (path.parent / f"emnist-letters-{half}-{kind}-ubyte").write_bytes(idx_bytes(content))
    place.write_bytes(idx_bytes(labels))
    with pytest.raises(ValueError, match="got test- and t10k-: move one away"):
        load_dataset(path)
    place.unlink()
    with pytest.raises(FileNotFoundError, match="wanted its labels beside it, emnist-letters-train-labels-idx1-ubyte"):
        load_dataset(path)
