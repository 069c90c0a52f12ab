"""Tables of features: what becomes of them, and what is refused, by line and column."""

import numpy as np
import pytest

import bnnsim.datasets.feature_tables as feature_tables
from bnnsim.datasets import FeatureCode, Split, load_dataset

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(40, 3)), 3)
WORDS = np.array(["setosa", "other"])[np.arange(40) % 2]


def table(path, columns, **more):
    """A CSV, its cells as they are."""
    lines = [columns, *zip(*columns.values())]
    path.write_text("\n".join(",".join(map(str, line)) for line in lines), **more)
    return path


def test_a_table_is_what_from_features_makes_of_its_numbers(tmp_path):
    path = table(tmp_path / "a.csv", {"a": X[:, 0], "Class": WORDS, "b": X[:, 1], "c": X[:, 2]})
    whole = Split(np.zeros((40, 1, 1, 1), np.uint8), (WORDS == "setosa").astype(int), "", 2)
    numbers = Split(np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1), whole.labels, "", 2)
    rest, held = (part.images.ravel() for part in numbers.hold_out(0.2, 0))
    for bins in (None, 3):
        train, test = load_dataset(path, bins=bins)
        code = FeatureCode.fit(X[rest], bins)
        assert train.reading.code == code and train.reading.columns == ("a", "b", "c")
        assert train.reading.class_names == ("other", "setosa")
        assert test.sha256 == Split(code.encode(X[held]), whole.labels[held], "", 2).sha256


def test_a_later_table_has_the_training_s_classes_columns_and_code(tmp_path):
    train, test = load_dataset(table(tmp_path / "a.csv", {"a": X[:, 0], "b": X[:, 1], "label": WORDS}), bins=2)
    like = {"reading": train.reading.text()}
    swapped = table(tmp_path / "b.csv", {"label": WORDS, "b": X[:, 1], "a": X[:, 0]})
    assert load_dataset(swapped, like=like)[1].sha256 == test.sha256, "columns are told by their names"
    one = table(tmp_path / "c.csv", {"b": X[:9, 1], "a": X[:9, 0], "y": ["setosa"] * 9})
    assert set(load_dataset(one, like=like)[0].labels) == {1}
    for columns, message in (({"a": X[:, 0]}, "got without b, and with none more"),
                             ({"a": X[:, 0], "b": X[:, 1], "d": X[:, 2]}, "got without none, and with d more")):
        with pytest.raises(ValueError, match=f"b.csv: wanted the features a, b, {message}"):
            load_dataset(table(tmp_path / "b.csv", {**columns, "y": WORDS}), like=like)


def test_halves_and_integer_labels(tmp_path):
    table(tmp_path / "train.csv", {"a": X[:, 0], "b": X[:, 1], "y": np.arange(40) % 3}, encoding="utf-8-sig")
    table(tmp_path / "test.csv", {"b": X[:4, 1], "a": X[:4, 0], "y": [2, 1, 2, 1]})
    train, test = load_dataset(tmp_path)
    assert (len(train), len(test), train.n_classes) == (40, 4, 3) and test.labels.tolist() == [2, 1, 2, 1]
    np.testing.assert_array_equal(test.images, train.images[:4])


def test_numbers_that_are_names_stay_names(tmp_path):
    """Of a class called 4 the later file has nothing else: it is not class number 4."""
    train, _ = load_dataset(table(tmp_path / "a.csv", {"a": X[:, 0], "y": ["4", "3a"] * 20}))
    later = table(tmp_path / "b.csv", {"a": X[:9, 0], "y": ["4"] * 9})
    assert train.reading.class_names == ("3a", "4")
    assert set(load_dataset(later, like={"reading": train.reading.text()})[0].labels) == {1}


@pytest.mark.parametrize("text, message", [
    ("a,b\n1,2", "wanted a header of names"), ("1,2\n3,4", "wanted a header of names"),
    ("a;y\n1;2", "commas, not by semicolons"), ("y,Label,a\n1,2,3", "wanted a header of names"),
    ("y\n1", "wanted a header of names"), ("a,a,y\n1,2,3", "'a' twice"), ("a,,y\n1,2,3", "characters, got ''"),
    ("a,y\n", "below the header, got none"), ("a,y\n1,0\n1", "line 3: wanted 2 fields, as the header has, got 1"),
    ("a,y\n1,0\n\n,1", "line 4, column 'a': wanted a finite number, got 'an empty field'; leave the line out"),
    ("a,y\nnan,0", "got 'nan'; leave"), ("a,y\ninf,0", "got 'inf'; give words numbers"),
    ("a,y\n1e999,0", "got '1e999'"),
    ("a,y\n1_0,0", "got '1_0'"), ("a,y\n\"1,5\",0", "got '1,5'; write decimal points"),
    ("a,y\nred,0", "column 'a': wanted a finite number, got 'red'; give words numbers"),
    ("a,y\n1,", "column 'y': wanted the label .* got 'an empty field'"),
    ("a,y\n" + "".join(f"1,{i}\n" for i in range(300)), "line 258, column 'y': .* 256 classes"),
    ("a,y\n\"1,0", "wanted CSV in UTF-8"), ("a,y\n1,0\n2,1", "a class of 2 examples or more"),
    ("a,y\n1,0\n2,999", r"labels must be in 0\.\.255, got 0\.\.999"),
    ("a" * 300 + ",y\n1,0", "printable characters"), ("a,y\n1,a\x00b\n", "CSV in UTF-8|the label of one"),
])
def test_bad_tables(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path / "a.csv")


def test_bytes_that_are_no_text_and_files_that_are_too_large(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_bytes(b"a,y\n1,\xff\n")
    with pytest.raises(ValueError, match="a.csv, after line .: wanted CSV in UTF-8"):
        load_dataset(tmp_path / "a.csv")
    monkeypatch.setattr(feature_tables, "MAX_FILE_BYTES", 5)
    with pytest.raises(ValueError, match="wanted a file of 1 to 5 bytes, got 8"):
        load_dataset(tmp_path / "a.csv")
