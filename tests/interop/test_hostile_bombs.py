"""Foreign files that are small and would become large, or that are odd in their smallest parts."""

import io
import os
import struct
import time
import tracemalloc
import zipfile

import foreign_files as foreign
import foreign_mutations as mutations
import h5py
import numpy as np
import pytest
from foreign_onnx import field, model, node
from watched_reading import MOST_SECONDS, attempt, read_all, zipped

import bnnsim.interop as interop
import bnnsim.interop.bounded as bounded
import bnnsim.interop.hdf5_classic as hdf5_classic
import bnnsim.interop.keras as keras
import bnnsim.interop.onnx_constants as onnx_constants
from bnnsim.interop.arrays_files import read_c_header, read_memory_text, read_npz
from bnnsim.interop.hdf5_classic import read_classic


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Each format once, read: afterwards all modules that readers import are there."""
    return read_all(tmp_path_factory.mktemp("good"))


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    """10 MB of zeros in 10 kB, where 1 MB is let pass: no network shrinks a thousandfold."""
    monkeypatch.setattr(bounded, "SLACK", 2**20)
    monkeypatch.setattr(keras, "SLACK", 2**20)
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(10_000_000, "i1"))
    path = zipped(tmp_path / "x.npz", {"w.npy": zeros.getvalue()})
    del zeros
    with pytest.raises(ValueError, match="no network shrinks like this"):
        attempted(lambda: read_npz(path))
    layers, arrays = foreign.keras_layers(foreign.plan(np.random.default_rng(0)), mutations.SHAPE)
    (tmp_path / "x.keras").write_bytes(foreign.keras_zip(layers, arrays))
    with zipfile.ZipFile(tmp_path / "x.keras", "a", zipfile.ZIP_DEFLATED) as file, \
            zipfile.ZipFile(tmp_path / "y.keras", "w", zipfile.ZIP_DEFLATED) as other:
        other.writestr("config.json", file.read("config.json"))
        other.writestr("model.weights.h5", file.read("model.weights.h5") + bytes(2**20 + 2**18))
        other.writestr("noise", np.random.default_rng(0).bytes(2**20))      # so that the file as a whole passes
    with pytest.raises(ValueError, match="model.weights.h5: wanted at most 1,0.* bytes, got 1,3"):
        attempted(lambda: interop.load_network(tmp_path / "y.keras"))
    many = zipped(tmp_path / "z.npz", {f"{i}.npy": b"" for i in range(20_001)})
    with pytest.raises(ValueError, match="a zip file of more than 20,000 members"):
        read_npz(many)


def attempted(call):
    """A call, in less than 4 MB: signatures are counted a megabyte at a time."""
    tracemalloc.start()
    try:
        call()
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**22


def chunked(tmp_path, data, **stored):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("w", data=data, **stored)
    return (tmp_path / "x.h5").read_bytes()


@pytest.mark.parametrize("stored, message", [
    ({"compression": "lzf"}, "HDF5: w is packed by the filter 32000.*LZF, .*write it anew with compression='gzip'"),
    ({"fletcher32": True}, "filter 3, .*h5repack -f NONE -l CONTI"), ({"scaleoffset": 0}, "by the filter 6, ")])
def test_filters_of_hdf5_that_are_not_read(tmp_path, stored, message):
    with pytest.raises(ValueError, match=message):
        read_classic(chunked(tmp_path, np.arange(100), **stored)).find("w").array.value()


def test_hdf5_of_the_newest_form(tmp_path):
    """bnnsim's own files have it, Keras's not."""
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = "{}", "3.0"
    with pytest.raises(ValueError, match="x.h5: an HDF5 file of Keras in the newest form.*h5repack -f NONE"):
        interop.load_network(tmp_path / "x.h5")


def test_chunks_of_hdf5_that_are_not_there(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("w", (100,), "i4", chunks=(10,))[:50] = 1
    with pytest.raises(ValueError, match="w of shape .100,. has 5 chunks of .10,., wanted 10"):
        read_classic((tmp_path / "x.h5").read_bytes()).find("w").array.value()


def test_bombs_of_hdf5(tmp_path, monkeypatch):
    """10 MB of zeros in 10 kB; the same, by a size that lies; each array counts."""
    monkeypatch.setattr(hdf5_classic, "SLACK", 2**20)
    zeros = chunked(tmp_path, np.zeros(10_000_000, "i1"), compression="gzip", chunks=(10_000_000,))
    root = read_classic(zeros)
    with pytest.raises(ValueError, match="w unpacks to 10,000,000 bytes, in a file of .*no network shrinks like this"):
        attempted(root.find("w").array.value)
    small = chunked(tmp_path, np.zeros(300_000, "i1"), compression="gzip", chunks=(300_000,))
    assert small.count((300_000).to_bytes(8, "little")) >= 1
    array = read_classic(small).find("w").array
    with pytest.raises(ValueError, match="w unpacks to 300,000 bytes"):
        for _ in range(10):
            array.value()
    lying = small.replace((300_000).to_bytes(8, "little"), (1000).to_bytes(8, "little")).replace(
        (300_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    with pytest.raises(ValueError, match="a chunk of w unpacks to 1,001 bytes or more, wanted 1,000"):
        read_classic(lying).find("w").array.value()


HEADER = b"[" + b"[]," * 690_000 + b"0]"
SMALL_PARTS = {
    "x.safetensors": (struct.pack("<Q", len(HEADER)) + HEADER, "no object of at most"),
    "x.pt": (b"\x80\x02" + b"]" * 1_500_000, "more than 400,000 instructions"),
    "x.onnx": (field(7, field(1, b"") * 500_000), "more than 20,000 nodes"),
    "y.onnx": (field(7, field(1, field(5, field(8, b"\x01" * 10**6)))), "20,000 numbers"),
    "z.onnx": (field(7, field(5, field(2, 7) + field(7, b"\x80\x01" * 10**6))),
               "more than 1 numbers"),
    "x.txt": (b"10 " * 1_100_000, "more than 1,048,576 words"),
    "x.h": (b"int a[] = {" + b"-1," * 400_000 + b"};", "spec has 1 layers, the file 0 arrays|is neither weights"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in ("x.pt", "x.h") else ())
                                  for name in SMALL_PARTS])
def test_many_small_parts(good, tmp_path, name):
    """What takes little in a file, and much in Python."""
    content, message = SMALL_PARTS[name]
    (tmp_path / name).write_bytes(content)
    said = attempt(tmp_path / name, {"spec": "FC4", "input_shape": (1, 2, 2)}, len(content))
    assert any(part in said for part in message.split("|")), said


def npy(header):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(16)


@pytest.mark.parametrize("header, message", [
    ("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "Python objects, which only a pickle could restore"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }", "need 399,999,999,996, got 16"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9, " * 12 + "), }", "a shape of at most 8 sizes"),
    ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "cannot be read"),
    ("(" * 5000, "cannot be read"), ("__import__('os')", "cannot be read"),
    ("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", "'<U4' values")])
def test_headers_of_arrays(tmp_path, header, message):
    with pytest.raises(ValueError, match=message):
        read_npz(zipped(tmp_path / "x.npz", {"w.npy": npy(header)}))


@pytest.mark.parametrize("text, message", [
    ("int a[2][", "no array of numbers"), ("int a[3] = {1, 2};", "has 2 values, its sizes are"),
    ("int a[N] = {1};", "'N' is neither"), ("int a[2] = {x, system(1)};", "must hold numbers alone"),
    ("/*" * 200_000, "a comment has no end"), ("a " * 200_000, "no array of numbers"),
    ("a[1]" * 100_000, "no array of numbers"), ("int a[999999999][999999999] = {1};", "has 1 values"),
    ("unsigned long a[1] = {0xffffffffffffffff};", "over 63 bits"), ("int a[1] = {1e999999};", "inf")])
def test_c_headers_that_are_none(tmp_path, text, message):
    (tmp_path / "x.h").write_text(text)
    started = time.monotonic()
    if message == "inf":
        assert np.isinf(read_c_header(tmp_path / "x.h")["a"]).all()      # refused with the weights
        return
    with pytest.raises(ValueError, match=message):
        read_c_header(tmp_path / "x.h")
    assert time.monotonic() - started < MOST_SECONDS


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"01\xff")
    with pytest.raises(ValueError, match="no ASCII"):
        read_memory_text(tmp_path / "x.txt")


@pytest.mark.parametrize("content", [b"", b"\x08", b"\x08\x08", b"PK\3\4", b"\x89HDF\r\n\x1a\n", b"\x80\x02", b"{}",
                                     b"\xff" * 99])
def test_the_shortest_files(tmp_path, content):
    for name in ("x", "x.onnx", "x.pt", "x.h5", "x.npz", "x.safetensors", "x.h", "x.txt", "x.keras"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="x"):
            interop.load_network(tmp_path / name, "FC4", input_shape=(1, 2, 2))


def test_onnx_messages_that_nest(tmp_path):
    """Only what a network needs is entered; a length past the end, and 10-byte integers, are refused."""
    deep = b""
    for _ in range(3000):
        deep = field(6, deep)[:2**20]
    (tmp_path / "x.onnx").write_bytes(field(7, field(1, field(5, deep))))
    with pytest.raises(ValueError, match="has 0 inputs|reads nothing"):
        interop.load_network(tmp_path / "x.onnx")
    for content, message in ((b"\x3a\xff\xff\xff\xff\x0f", "bytes, where 0 are left"), (b"\xff" * 11, "more than 64 "
                                                                                                      "bits"),
                             (b"\x3b", "of wire type 3"), (b"\x08\x80", "ends within a number")):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            interop.load_network(tmp_path / "x.onnx")


def beside(**more):
    """A model of one array of 16 bytes, whose values lie where this says."""
    entries = {"location": "x.data", "offset": "0", "length": "16", **more}
    tensor = field(1, 4) + field(2, 1) + field(8, "w") + field(14, 1) + b"".join(
        field(13, field(1, key) + field(2, text)) for key, text in entries.items())
    return field(7, field(5, tensor))


@pytest.mark.parametrize("entries, message", [
    ({"location": "../x.data"}, "'../x.data', which is no plain name in the model's own folder"),
    ({"location": "sub/x.data"}, "no plain name"), ({"location": "/etc/passwd"}, "no plain name"),
    ({"location": "..\\x.data"}, "no plain name"), ({"location": "C:x.data"}, "no plain name"),
    ({"location": ".."}, "no plain name"), ({"location": "."}, "no plain name"), ({"location": ""}, "no plain name"),
    ({"location": "link"}, "link, which is a link or no file.*onnx.save"), ({"location": "pipe"}, "no file at all"),
    ({"location": "folder"}, "no file at all"), ({"location": "none"}, "cannot be read .*belongs beside the model"),
    ({"offset": "1"}, "x.data has 16 bytes, of which 16 from 1 on"), ({"offset": "-1"}, "at offset '-1'"),
    ({"length": "12"}, "it needs 16"), ({"length": "9" * 15, "offset": "0"}, "it needs 16"),
    ({"length": "9" * 16}, "with length"), ({"offset": "0x0"}, "at offset")])
def test_onnx_values_in_other_files_than_those_beside_it(tmp_path, entries, message):
    """A model names them; no path, no link, no pipe, which waits forever, and no byte twice."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "x.data").write_bytes(bytes(16))
    (folder / "x.data").write_bytes(bytes(16))
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(folder / "x.data")
    os.mkfifo(folder / "pipe")
    (folder / "x.onnx").write_bytes(beside(**entries))
    with pytest.raises(ValueError, match=message):
        interop.load_network(folder / "x.onnx")


def test_onnx_arrays_that_share_values(tmp_path):
    """Thousands of arrays of a large file beside a small model would be as many times as large."""
    (tmp_path / "x.data").write_bytes(bytes(16))
    model = beside()
    (tmp_path / "x.onnx").write_bytes(model)
    with pytest.raises(ValueError, match="the graph reads nothing"):
        interop.load_network(tmp_path / "x.onnx")
    (tmp_path / "x.onnx").write_bytes(field(7, 2 * model[2:]))
    with pytest.raises(ValueError, match="each byte belongs to one tensor"):
        interop.load_network(tmp_path / "x.onnx")
    assert field(7, model[2:]) == model


@pytest.mark.parametrize("is_row", [True, False])
def test_onnx_constants_that_nodes_make_of_others(tmp_path, monkeypatch, is_row):
    """All were kept: a file of 1 MB took 300. Of a row of nodes each is let go when it has been read."""
    monkeypatch.setattr(onnx_constants, "SLACK", 0)
    nodes = [node("Mul", [f"m{i - 1}" if is_row and i else "w", "one"], f"m{i}") for i in range(30)]
    nodes += [node("Max", ["m29"] if is_row else [f"m{i}" for i in range(30)], "made"),
              node("MatMul", ["x", "made"], "y")]
    given = {"w": np.ones((16, 4), "f4"), "one": np.ones(1, "f4")}
    (tmp_path / "x.onnx").write_bytes(model(nodes, given, (16,), "y"))
    if is_row:
        assert interop.load_network(tmp_path / "x.onnx").n_bits == 64
    else:
        with pytest.raises(ValueError, match="Mul_m4 .Mul.: its constants would be more than four times as many"):
            interop.load_network(tmp_path / "x.onnx")


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        interop.load_network(tmp_path / "x.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="neither FINN's"):
        interop.load_network(tmp_path / "empty", "FC4", input_shape=(1, 2, 2))
