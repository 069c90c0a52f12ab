"""A benchmark beside a peer: what it is asked, what it answers, and what becomes of a peer that fails."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_bench import FAKE, ROOT, tiny

import bnnsim
import bnnsim.bench as bench
import bnnsim.benchmarks.peer as peer
import bnnsim.benchmarks.peer_networks as peer_networks
import bnnsim.benchmarks.reference as reference
import bnnsim.benchmarks.sizes as sizes
import bnnsim.commands.options as command_line_options
import bnnsim.training.packing as packing


@pytest.mark.parametrize(("mood", "message"), [
    ("wrong", "do not compute the same training"), ("error", "the peer cannot prepare: it has no such layer"),
    ("dies", "the peer ended with exit code 7 at 'prepare'"), ("garbage", "one JSON object a line")])
def test_a_peer_that_fails_is_one_clear_line(mood, message, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_PEER", mood)                       # and images that need no data set on this machine
    monkeypatch.setattr(sizes.find, "load_dataset", lambda *_, **__: (sizes.synthetic("fcnn", 600),) * 2)
    with pytest.raises(SystemExit) as stop:
        tiny("--only", "none", "--compare", FAKE)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(("only", "expected"), [("none", peer.KINDS), ("kernels", peer.KINDS),
                                                ("startup,inference", ["inference"])])
def test_a_peer_is_compared_in_the_works_that_are_named(only, expected, monkeypatch):
    options = bench.arguments().parse_args(["--only", only, "--compare", FAKE])
    command_line_options.settle(options, bench.OPTIONS, {})
    monkeypatch.setattr(peer, "compare", lambda *arguments: arguments[-1])
    assert dict(bench.sections(options, sizes.SIZES["tiny"], None))["compare"] == expected


def test_a_peer_classifies_fewer_large_images():
    images = sizes.Images(sizes.SIZES["tiny"])
    few = dataclasses.replace(sizes.SIZES["tiny"], compared=7)
    job = peer.classifying_job("inference", "cifar", few, images)
    assert len(job.split) == 7 and job.share == 7 / sizes.TEST_IMAGES


STUB = """
import os, types
__version__ = ""
class Function: pass
autograd = types.SimpleNamespace(Function=Function)
def set_num_threads(n): global __version__; __version__ = os.environ["TORCHINDUCTOR_CACHE_DIR"]
"""


def test_the_torch_peer_shares_no_compiled_code(tmp_path, monkeypatch):
    """PyTorch's cache has no instruction set in its key: code of 512-bit vectors was run with 256-bit ones."""
    (tmp_path / "torch" / "nn").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text(STUB)
    (tmp_path / "torch" / "nn" / "__init__.py").write_text("class Module: pass\nLinear = Conv2d = Module\n")
    (tmp_path / "torch" / "nn" / "functional.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    folders: set[str] = set()
    for _ in range(2):
        with peer.Peer(ROOT / "examples" / "peers" / "torch_peer.py") as running:
            folder = running.ask(do="hello", threads=1)["version"]
            assert Path(folder).is_dir()
        folders.add(folder)
        assert not Path(folder).exists()
    assert len(folders) == 2 and str(tmp_path) not in folders


def test_classes_must_agree_but_for_ties():
    network = packing.pack(bnnsim.architectures.build("FC64 FC10", (1, 28, 28), rng=0))
    images = sizes.synthetic("fcnn", 50).images
    classes = network.predict(images)
    assert reference.agree(network, classes, images).all()
    classes[7] = network.scores(images)[7].argmin()
    assert np.flatnonzero(~reference.agree(network, classes, images)).tolist() == [7]


def test_shifts_keep_preactivations_off_their_mean():
    made = peer_networks.with_shifts(sizes.make_model("fcnn", sizes.SIZES["tiny"]))
    assert all((layer.parameters["beta"] != 0).all() for layer in made.layers if "beta" in layer.parameters)


@pytest.mark.parametrize("training", [True, False])
def test_a_peer_is_given_a_graph_as_it_is(tmp_path, training):
    """Its nodes in JSON and its arrays, from which NumPy works out the scores that bnnsim gives."""
    model = peer_networks.with_shifts(sizes.make_model("residual", sizes.SIZES["tiny"]))
    network, split = packing.pack(model), sizes.synthetic("residual", 3)
    given = peer_networks.in_training(model) if training else peer_networks.in_use(network)
    peer_networks.write(tmp_path / "work.npz", split, 0, given)
    with np.load(tmp_path / "work.npz") as file:
        arrays = {key: file[key] for key in file.files}
    nodes = json.loads(str(arrays["network"]))["nodes"]
    values: dict[int, np.ndarray] = {-1: arrays["images"].transpose(0, 2, 3, 1)}
    for i, node in enumerate(nodes):
        values[i] = node_value(node, *(values[at] for at in node["inputs"]), **{
            name: arrays[f"{i}.{name}"] for name in
            ("weight", "bias", "scale", "shift", "threshold", "gamma", "beta") if f"{i}.{name}" in arrays})
    wanted = model.forward_train(split.images)[0] if training else network.scores(split.images)
    np.testing.assert_allclose(values[len(nodes) - 1], wanted, rtol=1e-4, atol=1e-4)
    assert ("ste" in nodes[3]) == training


def node_value(node, x, *others, **arrays):
    """What a node of a peer's graph gives, in float64."""
    if node["operation"] in ("conv", "real-conv"):
        weight = arrays["weight"].astype(float)
        weight = np.where(weight >= 0, 1, -1) if node["operation"] == "conv" else weight
        (_, kh, kw, _), pads = weight.shape, node["padding"]
        top, left, bottom, right = pads if isinstance(pads, list) else (pads,) * 4
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(1, 2))
        step = node["stride"]
        return np.einsum("nijcab,kabc->nijk", windows[:, ::step, ::step], weight) + arrays.get("bias", 0)
    if node["operation"] == "norm":
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        return (x - mean) / np.sqrt(variance + node["eps"]) * arrays["gamma"] + arrays["beta"]
    if node["operation"] == "average-pool":
        padded = np.pad(x, ((0, 0), *[(0, size % 2) for size in x.shape[1:3]], (0, 0)), constant_values=np.nan)
        n, height, width, c = padded.shape
        return np.nanmean(padded.reshape(n, height // 2, 2, width // 2, 2, c), axis=(2, 4))
    return {"pixels": lambda: x * arrays["scale"] + arrays["shift"],
            "affine": lambda: x * arrays["scale"] + arrays["shift"],
            "sign": lambda: np.where(x >= arrays["threshold"], 1, -1),
            "add": lambda: sum(others, x),
            "global-average": lambda: x.mean((1, 2)),
            "real-dense": lambda: x @ arrays["weight"].T + arrays["bias"]}[node["operation"]]()


def test_the_torch_peer_says_what_it_needs():
    """PyTorch is no dependency: that its absence is said in a line is what can be tested everywhere."""
    script = ROOT / "examples" / "peers" / "torch_peer.py"
    code = f"import sys, runpy; sys.modules['torch'] = None; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "needs PyTorch" in done.stderr
    assert not re.search(r"^ *(?:import|from) bnnsim", script.read_text(), re.MULTILINE), "it runs without bnnsim"
