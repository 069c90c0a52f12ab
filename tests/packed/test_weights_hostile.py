"""Files that are damaged, foreign or malicious: each gives one clear ValueError before memory is taken."""

import hashlib
import os
import struct
from functools import partial

import h5py
import mutations
import numpy as np
import pytest
from weight_files import CONTENT, assert_same, low_level_dataset, replace_dataset

import bnnsim.files.hdf5 as hdf5
import bnnsim.packed.network_file as network_file
import bnnsim.training.checkpoint_file as checkpoint_file
from bnnsim.files.hdf5_structure import read_structure


def _attribute(where, name, value):
    def change(file):
        if name in file[where].attrs:
            del file[where].attrs[name]
        if value is not None:
            file[where].attrs.create(name, value)
    return change


def _dataset(name, **arguments):
    return lambda file: replace_dataset(file, name, **arguments)


def _link(name, link):
    def change(file):
        del file[name]
        file[name] = link
    return change


def _value(name, index, value):
    def change(file):
        file[name][index] = value
    return change


def _type(name, dtype, layout=h5py.h5d.CONTIGUOUS):
    return lambda file: low_level_dataset(file, name, h5py.h5t.py_create(np.dtype(dtype)),
                                          file[name][...].astype(dtype), layout)


def _external_storage(file):
    raw = os.path.join(os.path.dirname(file.filename), "raw")
    with open(raw, "wb") as stream:
        stream.write(bytes(130 * 2 * 8))
    replace_dataset(file, "layer0/words", shape=(130, 2), dtype="u8", external=[(raw, 0, 130 * 2 * 8)])


def _two_names(file):
    file["arrays/first"] = np.zeros(9)
    file["arrays/second"] = file["arrays/first"]


def _virtual(file):
    layout = h5py.VirtualLayout((130, 2), "u8")
    layout[...] = h5py.VirtualSource(file.filename, "layer0/words", (130, 2))
    del file["layer0/words"]
    file.create_virtual_dataset("layer0/words", layout)


def _committed_type(file):
    file["kind"] = np.dtype("u8")
    replace_dataset(file, "layer0/words", shape=(130, 2), dtype=file["kind"])[...] = 0
    del file["kind"]


def _odd_boolean(file):
    data = np.full(130, 2, np.uint8).view(bool)
    low_level_dataset(file, "layer0/inverted", h5py.h5t.py_create(np.dtype(bool)), data)


def _other_enum(file):
    kind = h5py.h5t.enum_create(h5py.h5t.STD_I8LE)
    kind.enum_insert(b"FALSE", 0)
    kind.enum_insert(b"MAYBE", 1)
    del file["layer0/inverted"]
    h5py.h5d.create(file.id, b"layer0/inverted", kind, h5py.h5s.create_simple((130,)))


def _metadata(text):
    """Metadata with the right checksum: damage is not what must be noticed."""
    def change(file):
        replace_dataset(file, "metadata", data=np.bytes_(text))
        file.attrs["metadata_checksum"] = np.bytes_(hashlib.sha256(text.encode()).hexdigest())
    return change


def _add(name, count=1):
    def change(file):
        for i in range(count):
            file.create_group(f"{name}{i}")
    return change


def _one_layer_many_times(file):
    file.move("layer1", "layer200")
    for i in range(1, 200):
        file[f"layer{i}"] = file["layer0"]
    file.attrs["n_layers"] = np.int64(201)


def _padding_bit(file):
    file["layer0/words"][5, 1] |= np.uint64(2)


WORDS, HUGE = "layer0/words", (2**45, 2)
HOSTILE_NETWORKS = {
    "later version": (_attribute("/", "format_version", np.int64(4)), "format_version must be .*upgrade"),
    "unknown format": (_attribute("/", "format", np.bytes_("bnnsim-poem")), "a file of format 'bnnsim-poem'"),
    "no format": (_attribute("/", "format", None), "another program"),
    "no version": (_attribute("/", "format_version", None), "attribute format_version of / is missing"),
    "bit convention": (_attribute("/", "bit_convention", np.bytes_("bit 0 = +1")), "bit_convention must be"),
    "checksum of another": (_attribute("/", "checksum", np.bytes_("0" * 64)), "does not have the checksum"),
    "extra attribute": (_attribute("/", "note", np.bytes_("x")), "exactly the attributes .* unknown: 'note'"),
    "missing attribute": (_attribute("layer1", "stride", None), "missing: stride"),
    "string bomb": (_attribute("/", "created", np.bytes_("x" * 1000)), "wanted at most 200 bytes, got"),
    "string bomb in a heap": (_attribute("/", "created", np.bytes_("x" * 10_000)), "an object outside of its blocks"),
    "string variable": (_attribute("/", "created", "2026"), "wanted a string of fixed length"),
    "string array": (_attribute("/", "created", np.array([b"a", b"b"])), r"created of /: wanted shape \(\)"),
    "string not ASCII": (_attribute("/", "created", np.bytes_(b"\xff\xfe")), "wanted ASCII text"),
    "string for int": (_attribute("/", "n_layers", np.bytes_("2")), "n_layers of /: wanted int64"),
    "float for int": (_attribute("layer0", "n_in", np.float64(65)), "n_in of /layer0: wanted int64"),
    "array for int": (_attribute("layer0", "n_in", np.array([65])), "n_in of /layer0: wanted shape"),
    "nothing for int": (_attribute("layer0", "n_in", h5py.Empty("i8")), "n_in of /layer0: wanted shape"),
    "negative": (_attribute("layer0", "n_in", np.int64(-65)), r"layers\[0\] n_in must be in"),
    "four for three": (_attribute("/", "input_shape", np.ones(4, np.int64)), r"shape \(3,\), got \(4,\)"),
    "one layer 200 times": (_one_layer_many_times, "got several names for one thing"),
    "no layers": (_attribute("/", "n_layers", np.int64(0)), "n_layers must be in"),
    "too many layers": (_attribute("/", "n_layers", np.int64(2**62)), "n_layers must be in"),
    "fewer layers": (_attribute("/", "n_layers", np.int64(1)), "unknown: 'layer1'"),
    "more layers": (_attribute("/", "n_layers", np.int64(3)), "missing: layer2"),
    "kind": (_attribute("layer0", "kind", np.bytes_("lstm")), r"layers\[0\] kind must be one of"),
    "huge input": (_attribute("/", "input_shape", np.array([2**40] * 3)), r"input_shape\[0\] must be in"),
    "huge, not stored": (_dataset(WORDS, shape=HUGE, dtype="u8"), "announces .* but 0 are stored"),
    "huge scores, not stored": (_dataset("layer1/mean", shape=(2**50,), dtype="f8"), "announces .* but 0 "),
    "chunked": (_dataset(WORDS, shape=HUGE, dtype="u8", chunks=(8, 2)), "contiguous and uncompressed"),
    "compressed": (_dataset(WORDS, shape=(9**7, 2), dtype="u8", compression="gzip"), "contiguous and unc"),
    "compact": (_type(WORDS, "u8", h5py.h5d.COMPACT), "contiguous and uncompressed"),
    "external storage": (_external_storage, "stored in this file"),
    "virtual": (_virtual, "stored in this file"),
    "soft link": (_link(WORDS, h5py.SoftLink("/layer1/words")), "wanted words itself, got a soft"),
    "soft link to nothing": (_link(WORDS, h5py.SoftLink("/nowhere")), "wanted words itself, got a soft"),
    "external link": (_link(WORDS, h5py.ExternalLink("/etc/passwd", "/x")), "wanted words itself, got"),
    "soft layer": (_link("layer0", h5py.SoftLink("/layer1")), "wanted layer0 itself, got a soft"),
    "external layer": (_link("layer0", h5py.ExternalLink("other.h5", "/layer0")), "wanted layer0 itself"),
    "extra group": (_add("more"), "unknown: 'more0'"),
    "extra dataset": (lambda file: file.create_dataset("layer0/bias", data=[1]), "unknown: 'bias'"),
    "a thousand groups": (_add("g", 1100), "unknown: 'g0', 'g1', 'g10'"),
    "missing words": (lambda file: file.pop(WORDS), "missing: words"),
    "missing layer": (lambda file: file.pop("layer1"), "missing: layer1"),
    "dataset for group": (_link("layer0", np.zeros(3)), "wanted layer0 to be a group"),
    "group for dataset": (lambda file: (file.pop(WORDS), file.create_group(WORDS)), "words to be an array"),
    "type for dataset": (_link(WORDS, np.dtype("u8")), "neither a group nor an array"),
    "committed type": (_committed_type, "got a datatype of a kind"),
    "float words": (_type(WORDS, "f4"), r"layers\[0\] words must have dtype uint64, got float32"),
    "big-endian words": (_type(WORDS, ">u8"), "/layer0/words: wanted numbers, little-endian.*, got another type"),
    "compound words": (_dataset(WORDS, shape=(130, 2), dtype=[("a", "u4"), ("b", "u4")]), "got another type"),
    "variable words": (_dataset(WORDS, shape=(130, 2), dtype=h5py.vlen_dtype("u8")), "got another type"),
    "references": (_dataset(WORDS, shape=(130, 2), dtype=h5py.ref_dtype), "got another type"),
    "no array": (_dataset(WORDS, data=h5py.Empty("u8")), r"words: wanted shape \(\) or"),
    "attribute of dataset": (_attribute(WORDS, "note", np.int64(1)), "without attributes"),
    "int64 threshold": (_type("layer0/threshold", "i8"), "threshold must have dtype int32, got int64"),
    "byte inverted": (_type("layer0/inverted", "u1"), "inverted must have dtype bool, got uint8"),
    "byte 2 inverted": (_odd_boolean, r"inverted must hold False and True, got byte 2"),
    "other enum": (_other_enum, "inverted: wanted a boolean's name"),
    "too few words": (_dataset(WORDS, data=np.zeros((130, 1), "u8")), r"words must have shape \(any, 2\)"),
    "too many units": (_dataset(WORDS, data=np.zeros((131, 2), "u8")), r"threshold must have shape \(131"),
    "three dimensions": (_dataset(WORDS, data=np.zeros((130, 1, 2), "u8")), "words must have shape"),
    "padding bit": (_padding_bit, r"layers\[0\] words must have 0 in every padding bit.*\(5,\)"),
    "weight": (_value(WORDS, (5, 0), 12345), "network does not have the checksum"),
    "NaN": (_value("layer1/scale", 1, np.nan), r"layers\[1\] scale must be finite, got nan"),
    "infinite": (_value("layer1/shift", 2, -np.inf), r"layers\[1\] shift must be finite, got -inf"),
    "metadata": (_dataset("metadata", data=np.bytes_('{"a":"b"}')), "metadata does not have the checksum"),
    "metadata bomb": (_metadata('{"a":"' + "x" * 2**20 + '"}'), "wanted at most 1048576 bytes"),
    "metadata variable": (_dataset("metadata", data="{}"), "wanted a string of fixed length"),
    "metadata array": (_dataset("metadata", data=np.array([b"{}", b"{}"])), "wanted one string"),
    "metadata huge": (_dataset("metadata", shape=HUGE, dtype="S2"), "announces"),
    "metadata number": (_metadata('{"a":1}'), "metadata must be a dict of str to str"),
    "metadata list": (_metadata("[]"), "metadata must be a JSON object"),
    "metadata deep": (_metadata("[" * 10**6), "metadata must be a JSON object"),
    "metadata twice": (_metadata('{"a":"b","a":"c"}'), "in canonical form"),
    "metadata long number": (_metadata('{"a":' + "9" * 5000 + "}"), "must be a JSON object"),
}


@pytest.mark.parametrize("name", HOSTILE_NETWORKS)
def test_a_hostile_network_is_refused(copies, name):
    change, message = HOSTILE_NETWORKS[name]
    path = copies / "network.h5"
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        network_file.load_network(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("move, grow", [(0, 0), (0, -8), (0, 8), (2**14, 0), (2**40, 0)])
def test_words_that_lie_elsewhere_than_in_the_file_are_refused(copies, move, grow):
    """Bytes past the end must not be read as 0."""
    path = copies / "network.h5"
    content, structures = path.read_bytes(), mutations.structures(path)
    with path.open("rb") as file:
        words = read_structure(file)["layer0"]["words"]
    place = struct.pack("<QQ", words.address, words.n_bytes)
    assert content.count(place) == 1
    moved = content.replace(place, struct.pack("<QQ", words.address + move, words.n_bytes + grow))
    path.write_bytes(mutations.sealed(moved, structures))
    if move or grow:
        with pytest.raises(ValueError, match="/layer0/words: shape .* announces 2080"):
            network_file.load_network(path)
    else:
        assert_same(network_file.load_network(path), CONTENT["network"])


def test_the_older_format_is_refused_by_name(copies):
    """h5py writes it by default: its structures have no checksums."""
    with h5py.File(copies / "old.h5", "w") as file:
        file.attrs["format"] = np.bytes_("bnnsim-network")
    with pytest.raises(ValueError, match="superblock of version 2 or 3, got one of another program, with version 0"):
        network_file.load_network(copies / "old.h5")


def _many_hard_links(file):
    for i in range(200):
        file[f"arrays/w{i}"] = file["arrays/0.weight.first"]


def _json(name, text):
    return _dataset(name, data=np.bytes_(text))


HOSTILE_CHECKPOINTS = {
    "later version": (_attribute("/", "format_version", np.int64(99)), "got 99; upgrade bnnsim"),
    "one array 200 times": (_many_hard_links, "got several names for one thing"),
    "group of arrays": (lambda file: file["arrays"].create_group("g"), "wanted g to be an array"),
    "group in itself": (lambda file: file.__setitem__("arrays/loop", file["/"]), "got several names for one thing"),
    "soft link": (_link("arrays/order", h5py.SoftLink("key")), "wanted order itself"),
    "external link": (_link("arrays/order", h5py.ExternalLink("a.h5", "key")), "wanted order itself"),
    "name": (lambda file: file.create_dataset("arrays/b\x1b[31m", data=[1]), r"got 'b\\x1b\[31m'"),
    "bool array": (lambda file: file.create_dataset("arrays/b", data=[True]), "array b must be of .* bool"),
    "half array": (_type("arrays/0.weight", "f2"), "got another type"),
    "huge, not stored": (_dataset("arrays/order", shape=(2**60,), dtype="i8"), "announces"),
    "no arrays": (lambda file: file.pop("arrays"), "missing: arrays"),
    "extra root": (_add("more"), "unknown: 'more0'"),
    "attribute of arrays": (_attribute("arrays", "a", np.int64(1)), "exactly the attributes"),
    "value": (_value("arrays/order", 0, 8), "checkpoint does not have the checksum"),
    "missing array": (lambda file: file.pop("arrays/order"), "checkpoint does not have the checksum"),
    "renamed array": (lambda file: file.move("arrays/order", "arrays/other"), "does not have the checksum"),
    "shape": (_dataset("arrays/order", data=np.arange(9).reshape(3, 3)), "does not have the checksum"),
    "settings": (_json("settings", '{"epochs":4}'), "does not have the checksum"),
    "settings bomb": (_json("settings", "x" * (2**20 + 1)), "wanted at most 1048576 bytes"),
    "one array of two names": (_two_names, "got several names for one thing that bnnsim does not write"),
}


@pytest.mark.parametrize("name", HOSTILE_CHECKPOINTS)
def test_a_hostile_checkpoint_is_refused(copies, name):
    change, message = HOSTILE_CHECKPOINTS[name]
    path = copies / "checkpoint.h5"
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint_file.load_checkpoint(path)
    assert str(path) in str(caught.value) and "damaged or cut off" not in str(caught.value)


def test_arrays_that_overlap_are_refused_by_their_sum(copies):
    """Each fits the file; 10,000 of them, which stand at one place, would fill the memory."""
    with hdf5.open_file(copies / "checkpoint.h5") as file:
        one = max(file["arrays"].members.values(), key=lambda array: array.n_bytes)
        n = file.size // one.n_bytes
        hdf5.check_total(file, [one] * n, 2**36)
        with pytest.raises(hdf5.Refused, match=f"wanted at most {file.size} bytes of data, got"):
            hdf5.check_total(file, [one] * (n + 1), 2**36)


@pytest.mark.parametrize("text", [
    '{"loss":NaN}', '{"loss":1e999}', '{"a":1,"a":2}', '{"b":1,"a":2}', "[]", "7", ""])
def test_json_that_only_python_accepts_is_refused(copies, monkeypatch, text):
    """Even with the right checksum."""
    path = copies / "checkpoint.h5"
    with h5py.File(path, "r+", libver="v110") as file:
        _json("progress", text or " ")(file)
    monkeypatch.setattr(network_file.file_format, "check_checksum", lambda *_: None)
    with pytest.raises(ValueError, match="progress must be a JSON object"):
        checkpoint_file.load_checkpoint(path)


def _expected(**changes):
    expected = {name: (array.dtype, array.shape) for name, array in CONTENT["checkpoint"][1].items()}
    for name, value in changes.items():
        expected[name] = value
    return {name: value for name, value in expected.items() if value is not None}


@pytest.mark.parametrize("expected, message", [
    (_expected(more=("f4", (3,))), "missing arrays: more, unknown: none"),
    (_expected(order=None), "missing arrays: none, unknown: order"),
    (_expected(order=("i8", (10,))), r"array order must be int64 \(10,\), got int64 \(9,\)"),
    (_expected(order=("f8", (9,))), r"array order must be float64 \(9,\), got int64 \(9,\)"),
    (_expected(scalar=("i4", (1,))), r"array scalar must be int32 \(1,\), got int32 \(\)"),
])
def test_a_checkpoint_of_another_model_is_refused_before_it_is_read(copies, monkeypatch, expected, message):
    monkeypatch.setattr(hdf5, "read_array", partial(pytest.fail, "something was read"))
    with pytest.raises(ValueError, match=message):
        checkpoint_file.load_checkpoint(copies / "checkpoint.h5", expected)


HOSTILE_GEOMETRY = {
    "version 1": (_attribute("/", "format_version", np.int64(1)), "unknown: 'dilation', 'groups'"),
    "one stride": (_attribute("layer0", "stride", np.int64(2)), r"stride of /layer0: wanted shape \(2,\)"),
    "two sides": (_attribute("layer0", "padding", np.ones(2, np.int64)), r"padding of /layer0: wanted shape \(4,\)"),
    "float stride": (_attribute("layer0", "stride", np.ones(2)), "stride of /layer0: wanted int64"),
    "no dilation": (_attribute("layer0", "dilation", None), "missing: dilation"),
    "padding": (_attribute("layer1", "padding", np.full(4, 65_536)), "values of its input with a padding of 65536"),
    "negative padding": (_attribute("layer0", "padding", np.array([1, 0, -1, 3])), r"padding\[2\] must be in"),
    "dilation": (_attribute("layer0", "dilation", np.full(2, 65_535)), "dilation 65535 .*must fit its input"),
    "no dilation at all": (_attribute("layer0", "dilation", np.zeros(2, np.int64)), "dilation must be in"),
    "groups": (_attribute("layer0", "groups", np.int64(10**6)), "groups must be in"),
    "other groups": (_attribute("layer0", "groups", np.int64(4)), "4 groups must part the 4 channels"),
    "pool": (_attribute("layer2", "pool", np.array([3, 2**62])), r"pool\[1\] must be in"),
    "pool's stride": (_attribute("layer2", "pool_stride", np.array([10**9] * 2)), "pool_stride must be in"),
    "pool's padding": (_attribute("layer2", "pool_padding", np.array([3, 0, 2, 1])), "pool_padding must be smaller"),
    "replicate": (_attribute("layer1", "replicate", np.int64(2)), "replicate must be in"),
    "both paddings": (_attribute("layer1", "pad_value", np.int64(-1)), "pad_value must be 0 where"),
    "another stride": (_attribute("layer0", "stride", np.array([2, 2])), r"layers\[1\]|checksum"),
    "pool of scores": (_attribute("layer3", "pool", np.array([2, 2])), "must not have a pool"),
    "wide kernel": (_dataset("layer0/words", data=np.zeros((6, 1, 60_000, 1), "u8")), "must fit its input"),
    "both endings": (lambda file: file.copy("layer0/threshold", "layer3/threshold"), "exactly the|unknown|missing"),
}


@pytest.mark.parametrize("name", HOSTILE_GEOMETRY)
def test_a_hostile_geometry_is_refused(copies, name):
    change, message = HOSTILE_GEOMETRY[name]
    path = copies / "geometry.h5"
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        network_file.load_network(path)
    assert str(path) in str(caught.value)
