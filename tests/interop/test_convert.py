"""``python -m bnnsim.convert``: what it prints and writes, and the first layer whose sums differ."""

import os

import foreign_files as foreign
import foreign_onnx
import numpy as np
import pytest
import small_graphs

import bnnsim
import bnnsim.convert as convert

SHAPE = (2, 6, 6)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """x.pt, x.onnx, images.npz, sums.npz and wrong.npz (of layer 2), as the working directory."""
    rng = np.random.default_rng(1)
    layers, images = foreign.plan(rng), foreign.images_of(rng)
    sums = {f"layer{i}": h for i, h in enumerate(foreign.sums(layers, images)[0])}
    (tmp_path / "x.pt").write_bytes(foreign.torch_zip(foreign.state_dict(layers)))
    (tmp_path / "x.onnx").write_bytes(foreign_onnx.chain(layers, SHAPE))
    np.savez(tmp_path / "images.npz", images=images)
    np.savez(tmp_path / "sums.npz", **sums)
    np.savez(tmp_path / "wrong.npz", **{**sums, "layer2": -sums["layer2"], "layer3": sums["layer3"] * 0})
    monkeypatch.chdir(tmp_path)
    return tmp_path


SPEC = ["--spec", "C5k3x3p1 MP2 C7k1x2p0 FC9 FC4", "--input-shape", "2,6,6", "--eps", str(foreign.EPS)]


def refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        convert.main(words)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1
    return error


@pytest.mark.parametrize("words", [["x.onnx"], ["x.pt", *SPEC]])
def test_a_network_is_printed_compared_and_written(here, capsys, words):
    assert convert.main([*words, "--check", "images.npz", "sums.npz", "--out", "net.h5"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["layer", "kind", "weights", "from", "folded"] and len(printed) == 7
    assert printed[2].split()[:9] == "0 conv 5 x 3 x 3 x 2".split()
    assert printed[-1] == "the sums of 4 layers are the same on 12 images"
    network = bnnsim.PackedNetwork.load("net.h5")
    assert network.input_shape == SHAPE and network.metadata["imported from"] in ("ONNX", "PyTorch state dict")


def test_what_bnnsim_has_stored_has_a_line_a_layer_or_node(here, capsys):
    """Once it was a head without lines."""
    small_graphs.packed().save("graph.h5")
    convert.main(["x.onnx", "net.h5"])
    capsys.readouterr()
    tables = {}
    for name in ("x.onnx", "net.h5", "graph.h5"):
        assert convert.main([name]) == 0
        tables[name] = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [words[:9] for words in tables["net.h5"][:2]] == [words[:9] for words in tables["x.onnx"][:2]]
    assert [words[-1] for words in tables["net.h5"]] == [f"layer{i}" for i in range(4)]
    assert [words[-1] for words in tables["graph.h5"]] == [f"node{i}" for i in
                                                           range(len(small_graphs.packed().nodes))]
    assert any("conv of bits 8 x 3 x 3 x 8".split() == words[1:-1] for words in tables["graph.h5"])


def test_the_first_layer_that_differs_is_an_error(here, capsys):
    said = refused(["x.onnx", "--check", "images.npz", "wrong.npz", "--out", "net.h5"], capsys)
    assert "layer 2 (layer2): 100 of 108 sums differ, first of image 0, unit 0: " in said
    assert "all have the other sign" in said and not (here / "net.h5").exists()


@pytest.mark.parametrize("words, message", [
    (["x.pt"], "x.pt: PyTorch state dict has arrays, but not which layers they make: give a spec such as"),
    (["x.pt", "--spec", "FC4"], "spec has 1 layers, the file 4 arrays of weights: features.0.weight"),
    (["x.onnx", "--check", "images.npz"], "--check takes two files, images.npz and sums.npz, got 1"),
    (["x.onnx", "--check", "sums.npz", "sums.npz"], "sums.npz must hold one array, the images, got 4"),
    (["x.onnx", "--check", "x.pt", "sums.npz"], "x.pt: archive/data.pkl is no .npy array"),
    (["x.onnx", "--check", "x.onnx", "sums.npz"], "x.onnx: no zip file"),
    (["x.onnx", "--input-shape", "2,6"], "--input-shape must be channels,height,width such as 1,28,28, got '2,6'"),
    (["x.onnx", "--input", "rgb"], "input must be one of 'pixels'"), (["none.pt"], "none.pt"),
    (["images.npz", "--spec", "FC4", "--input-shape", "2,6,6"],
     "images.npz: images uint8 (12, 2, 6, 6)|spec wants FC4, but images")])
def test_bad_input_is_one_line(here, capsys, words, message):
    said = refused(words, capsys)
    assert any(part in said for part in message.split("|")), said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("words", [["pipe"], ["texts"], ["x.onnx", "--check", "pipe", "sums.npz"],
                                   ["x.onnx", "--cells", "pipe"]])
def test_a_pipe_is_not_waited_for(here, capsys, words):
    (here / "texts").mkdir()
    for path in ("pipe", "texts/layer0.mem"):
        os.mkfifo(here / path)
    assert "pipe: wanted a plain file, got a device or a pipe" in refused(words, capsys).replace("texts:", "pipe:")


# ---------------------------------------------------------------- out

def test_the_endings_are_those_of_the_exports():
    from bnnsim.interop.export import ENDINGS

    assert sorted(convert.ENDINGS) == sorted((".h5", *ENDINGS))


@pytest.mark.parametrize("name", ["a.npz", "a.onnx", "a.qonnx", "a.h5"])
def test_there_and_back(here, capsys, name):
    """The last word is what is written."""
    assert convert.main(["x.onnx", name]) == 0
    assert name.endswith("h5") or f"written: {name}" in capsys.readouterr().out
    assert convert.main([name, "b.h5"]) == 0
    assert bnnsim.PackedNetwork.load("b.h5").checksum == bnnsim.load_network("x.onnx").checksum


def test_texts_and_tables(here, capsys):
    assert convert.main(["x.onnx", "a.mem"]) == convert.main(["x.onnx", "--out", "a.H"]) == 0
    assert (here / "a.layer0.weight.mem").exists() and "a_predict" in (here / "a.H").read_text()
    network = bnnsim.load_network("x.onnx")
    chip = bnnsim.faults.FaultMap.record(bnnsim.faults.BitFlips(0.1), network, 0,
                                         mapping=bnnsim.faults.ArrayMapping(8, 16, "columns"))
    chip.save("chip.h5")
    for i, more in enumerate(([], ["--arrays", "8x16", "--units-on", "columns"])):
        assert convert.main(["x.onnx", f"{i}.csv", "--fault-map", "chip.h5", *more]) == 0
        assert bnnsim.interop.read_cells(f"{i}.csv", network).faults == chip


@pytest.mark.parametrize("words, message", [
    (["x.onnx", "x.pt"], "OUT must end in .h5 or .npz or .qonnx"),
    (["x.onnx", "a.h5", "--arrays", "2x2"], "belong to a .csv"), (["x.onnx", "--units-on", "rows"], "belong to a .csv"),
    (["x.onnx", "--fault-map", "none.h5"], "belong to a .csv"),
    (["x.onnx", "a.csv", "--arrays", "64"], "arrays must be ROWSxCOLUMNS of 1 to 65536 each, such as 64x64, got '64'"),
    (["x.onnx", "a.csv", "--arrays", "64x0"], "arrays must be ROWSxCOLUMNS"),
    (["x.onnx", "images.npz"], "images.npz exists: --force replaces it; if it is to be read"),
    (["x.onnx", "--out", "images.npz"], "--out: images.npz exists: --force replaces it"),
    (["x.onnx", "there.mem"], "there.layer9.weight.mem exists"),
    (["x.onnx", "--out", "there.mem"], "there.layer9.weight.mem exists")])
def test_what_is_not_written(here, capsys, words, message):
    (here / "there.layer9.weight.mem").write_text("0")
    before = sorted(path.name for path in here.iterdir())
    assert message in refused(words, capsys)
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_network_as_a_tester_has_read_it(here, capsys):
    network = bnnsim.load_network("x.onnx")
    chip = bnnsim.faults.FaultMap.record(bnnsim.faults.BitFlips(0.1), network, 0)
    broken = chip.apply(network)
    mapping = bnnsim.faults.ArrayMapping(8, 16)
    bnnsim.export_network(broken, "bits.csv", mapping=mapping)
    bnnsim.export_network(network, "faults.csv", mapping=mapping, faults=chip)
    for name in ("bits", "faults"):
        assert convert.main(["x.onnx", f"{name}.h5", "--cells", f"{name}.csv", "--arrays", "8x16"]) == 0
        assert f"{name}.csv: {chip.counts().sum()} of {network.n_bits} bits are read wrong" in capsys.readouterr().out
        assert bnnsim.PackedNetwork.load(f"{name}.h5").checksum == broken.checksum
