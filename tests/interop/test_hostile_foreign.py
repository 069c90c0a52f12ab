"""Foreign files that somebody changed on purpose: refused with a ValueError or read; nothing runs, little is kept."""

import io
import pickle
import zipfile

import foreign_files as foreign
import foreign_mutations as mutations
import numpy as np
import pytest
from watched_reading import attempt, read_all, zipped

from bnnsim.interop.torch_files import read_legacy, read_zip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Each format once, read: afterwards all modules that readers import are there."""
    return read_all(tmp_path_factory.mktemp("good"))


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


def test_200_changed_graphs(good, tmp_path):
    files = {name: good[name] for name in mutations.graph_files()}
    said = assaulted(files, tmp_path, 200)
    for name, errors in said.items():
        assert len({error.split(name)[-1][:60] for error in errors if error}) > 15, name
        assert sum(error is None for error in errors) > 3


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
