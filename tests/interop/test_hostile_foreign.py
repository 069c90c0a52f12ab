"""Foreign files that somebody changed on purpose: refused with a ValueError or read; nothing runs, little is kept."""

import io
import os
import pickle
import struct
import sys
import time
import tracemalloc
import zipfile

import foreign_files as foreign
import foreign_mutations as mutations
import h5py
import numpy as np
import pytest

import bnnsim.interop as interop
import bnnsim.interop.bounded as bounded
import bnnsim.interop.hdf5_classic as hdf5_classic
import bnnsim.interop.keras as keras
from bnnsim.interop.arrays_files import read_c_header, read_memory_text, read_npz
from bnnsim.interop.hdf5_classic import read_classic
from bnnsim.interop.torch_files import read_legacy, read_zip

MOST_BYTES = 2**26                  # over twice the file's own size
MOST_SECONDS = 10
RUNS = ("os.system", "subprocess.Popen", "pickle.find_class", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
        "ctypes.dlopen", "exec", "compile", "import")
watched: list[list] = []            # of whoever is watching: what happened


def _listen(event, arguments):
    if watched and event in RUNS:
        watched[-1].append((event, str(arguments)[:200]))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Each format once, read: afterwards all modules that readers import are there."""
    sys.addaudithook(_listen)
    folder = tmp_path_factory.mktemp("good")
    files = mutations.good_files()
    for name, (content, how) in files.items():
        (folder / name).write_bytes(content)
        interop.read_network(folder / name, **how)
    return files


def attempt(path, how, size):
    """Read it; what it ends with, or None. Any error but ValueError fails, and whatever runs or is imported."""
    watched.append([])
    tracemalloc.start()
    started = time.process_time()                               # others may load the machine
    said = None
    try:
        interop.read_network(path, **how)
    except ValueError as error:
        assert str(path) in str(error)
        said = str(error)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert watched.pop() == [] and peak < MOST_BYTES + 2 * size and seconds < MOST_SECONDS, path
    return said


def assaulted(good, tmp_path, n_files):
    """Read n changed files; what each format said."""
    rng, said = np.random.default_rng(n_files), {name: [] for name in good}
    for name, (content, how) in good.items():
        for i in range(n_files // len(good)):
            changed = mutations.mutated(content, rng)
            path = tmp_path / f"{i}-{name}"
            path.write_bytes(changed)
            said[name].append(attempt(path, how, len(changed)))
            path.unlink()
    return said


@pytest.mark.tiny
def test_600_changed_files(good, tmp_path):
    """They get past the first checks: each format refuses in several ways, and some files are read."""
    said = assaulted(good, tmp_path, 600)
    for name, errors in said.items():
        assert len({error.split(name)[-1][:60] for error in errors if error}) > 2, name
    assert sum(error is None for errors in said.values() for error in errors) > 20


def test_300_changed_graphs(good, tmp_path):
    files = {name: good[name] for name in mutations.graph_files()}
    said = assaulted(files, tmp_path, 300)
    for name, errors in said.items():
        assert len({error.split(name)[-1][:60] for error in errors if error}) > 20, name
        assert sum(error is None for error in errors) > 5


@pytest.mark.slow
def test_5000_changed_files(good, tmp_path):
    assaulted(good, tmp_path, 5000)


# ---------------------------------------------------------------- pickles

class Payload:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def pickled(tmp_path, body, zipped=True):
    """A PyTorch file with this pickle in it."""
    if zipped:
        with zipfile.ZipFile(tmp_path / "x.pt", "w") as file:
            file.writestr("a/data.pkl", body)
        return tmp_path / "x.pt"
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    (tmp_path / "x.pt").write_bytes(b"".join(pickle.dumps(part, 2) for part in parts) + body)
    return tmp_path / "x.pt"


def nested(n):
    return b"\x80\x02" + b"]" * n + b"a" * (n - 1) + b"."


def doubled(n):
    """t = (t, t), n times: 2^n to whoever prints it."""
    return b")" + b"q\x00h\x00\x86" * n


TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
PICKLES = {
    "os.system": (pickle.dumps(Payload(__import__("os").system, "touch run"), 2), "global name 'posix.system' is not"),
    "eval": (pickle.dumps(Payload(eval, "1/0"), 2), "global name '.*eval' is not allowed"),
    "protocol 4": (pickle.dumps(Payload(eval, "1/0"), 4), "global name 'builtins.eval' is not allowed"),
    "a namespace": (pickle.dumps({"args": __import__("argparse").Namespace(a=1)}, 2), "argparse.Namespace' is not"),
    "text protocol": (pickle.dumps(Payload(eval, "1/0"), 0), "global name '__builtin__.eval' is not allowed"),
    "old opcodes": (b"I1\n.", "plain data does not need this"),
    "instance": (b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao.", "global name 'os.system'"),
    "build": (b"\x80\x02]}b.", "attributes of a list are not allowed"),
    "call": (b"\x80\x02X\x01\x00\x00\x00a)R.", "a call of str is not allowed"),
    "call of a storage": (b"\x80\x02ctorch\nFloatStorage\n)R.", "a call of torch.FloatStorage is not allowed"),
    "extension": (b"\x80\x02\x82\x01.", "plain data does not need this"),
    "module": (b"\x80\x02(X\x06\x00\x00\x00moduleN)NNtQ.", "a whole pickled module"),
    "nested": (nested(50_000), "there is no state dict|instruction unknown"),
    "a shape that none can print": (TENSOR + b"(NK\x00" + doubled(60) + b")tR.", "a tensor must have a storage"),
    "an id that none can print": (b"\x80\x02" + doubled(60) + b"Q.", "a persistent id must be of a storage"),
    "a key that none can hash": (b"\x80\x02}" + doubled(60) + b"Ns.", "a key must be a string or a number"),
    "a huge string": (b"\x80\x02X\xff\xff\xff\x7f.", "a pickle that is damaged|a pickle that is refused"),
    "a huge integer": (b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".", "an integer of more than 128 bits"),
    "empty": (b"", "instruction unknown"), "no end": (b"\x80\x02]", "instruction unknown"),
    "underflow": (b"\x80\x02a.", "nothing on the stack"), "no mark": (b"\x80\x02t.", "no mark"),
    "memo": (b"\x80\x02h\x05.", "memo 5 is empty"),
    "a backslash": (b"\x80\x02cos\\x2e\nsystem\n.", "two plain lines"),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_are_no_state_dicts(tmp_path, monkeypatch, name, zipped):
    body, message = PICKLES[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        (read_zip if zipped else read_legacy)(pickled(tmp_path, body, zipped))
    assert not (tmp_path / "run").exists()


def torch_tensor(tmp_path, n, shape, strides, offset=0, data=bytes(64)):
    made = foreign.Pickled(0)
    made.out.write(b"}")
    made.text("w")
    made.name("torch._utils", "_rebuild_tensor_v2")
    made.out.write(b"((")
    made.text("storage")
    made.name("torch", "FloatStorage")
    made.text("0")
    made.text("cpu")
    made.whole(n)
    made.out.write(b"tQ")
    made.whole(offset)
    made.wholes(shape)
    made.wholes(strides)
    made.out.write(b"\x89NtRs")
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as file:
        file.writestr("a/data.pkl", made.done())
        file.writestr("a/data/0", data)
    return read_zip(tmp_path / "x.pt")["w"]


def test_tensors_of_old_pickles(tmp_path):
    """Before PyTorch 0.4 there was no word on gradients."""
    data = foreign.torch_zip({"w": np.arange(6, dtype="f4").reshape(2, 3)})
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        body = file.read("archive/data.pkl")
    old = body.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor").replace(b"\x89ccollections\nOrderedDict\n)RtR", b"tR")
    assert len(old) < len(body) - 20
    zipped(tmp_path / "x.pt", {"a/data.pkl": old, "a/data/0": np.arange(6, dtype="f4").tobytes()}, zipfile.ZIP_STORED)
    assert read_zip(tmp_path / "x.pt")["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_views_of_storages(tmp_path):
    """Strides and an offset are respected, and lie inside."""
    data = np.arange(16, dtype="f4").tobytes()
    assert torch_tensor(tmp_path, 16, (2, 3), (1, 4), 2, data).tolist() == [[2, 6, 10], [3, 7, 11]]
    for n, shape, strides, offset in ((16, (17,), (1,), 0), (16, (2, 3), (8, 4), 2), (16, (2**31 - 1,), (0,), 0),
                                      (16, (16,), (-1,), 15), (16, (16,), (1,), 1), (16, (1,) * 9, (1,) * 9, 0),
                                      (16, (4,), (1, 1), 0)):
        with pytest.raises(ValueError, match="larger than its storage|a tensor must have"):
            torch_tensor(tmp_path, n, shape, strides, offset, data)
    with pytest.raises(ValueError, match="wanted at most 4 bytes|has 64 bytes"):
        torch_tensor(tmp_path, 1, (1,), (1,))
    with pytest.raises(ValueError, match="has 64 bytes, wanted 8,589,934,588"):
        torch_tensor(tmp_path, 2**31 - 1, (1,), (1,))


# ---------------------------------------------------------------- bombs

def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


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
    "x.onnx": (foreign.field(7, foreign.field(1, b"") * 500_000), "more than 20,000 nodes"),
    "y.onnx": (foreign.field(7, foreign.field(1, foreign.field(5, foreign.field(8, b"\x01" * 10**6)))), "20,000 "
                                                                                                        "numbers"),
    "z.onnx": (foreign.field(7, foreign.field(5, foreign.field(2, 7) + foreign.field(7, b"\x80\x01" * 10**6))),
               "more than 1 numbers"),
    "x.txt": (b"10 " * 1_100_000, "more than 1,048,576 words"),
    "x.h": (b"int a[] = {" + b"-1," * 400_000 + b"};", "spec has 1 layers, the file 0 arrays|is neither weights"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name == "x.pt" else ())
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
        deep = foreign.field(6, deep)[:2**20]
    (tmp_path / "x.onnx").write_bytes(foreign.field(7, foreign.field(1, foreign.field(5, deep))))
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
    tensor = foreign.field(1, 4) + foreign.field(2, 1) + foreign.field(8, "w") + foreign.field(14, 1) + b"".join(
        foreign.field(13, foreign.field(1, key) + foreign.field(2, text)) for key, text in entries.items())
    return foreign.field(7, foreign.field(5, tensor))


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
    (tmp_path / "x.onnx").write_bytes(foreign.field(7, 2 * model[2:]))
    with pytest.raises(ValueError, match="each byte belongs to one tensor"):
        interop.load_network(tmp_path / "x.onnx")
    assert foreign.field(7, model[2:]) == model


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        interop.load_network(tmp_path / "x.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="neither FINN's"):
        interop.load_network(tmp_path / "empty", "FC4", input_shape=(1, 2, 2))
