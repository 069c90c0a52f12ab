"""The benchmark: it runs, refuses to time a wrong result, keeps what is done, and its tables are those of its JSON.

No time is judged here: a busy machine must not fail a test.
"""

import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import random_networks
from hypothesis import given, settings
from own_process import run

import bnnsim
import bnnsim.bench as bench
import bnnsim.benchmarks.kernels as kernels
import bnnsim.benchmarks.networks as networks
import bnnsim.benchmarks.peer as peer
import bnnsim.benchmarks.peer_networks as peer_networks
import bnnsim.benchmarks.reference as reference
import bnnsim.benchmarks.scaling as scaling
import bnnsim.benchmarks.scaling_axes as scaling_axes
import bnnsim.benchmarks.sizes as sizes
import bnnsim.benchmarks.timing as timing
import bnnsim.campaign.cells as cells
import bnnsim.commands.options as command_line_options
import bnnsim.figures.benchmarks as benchmarks
import bnnsim.kernels.limits as limits
import bnnsim.packed.bits as bits
import bnnsim.training.model as model
import bnnsim.training.packing as packing
from bnnsim.kernels import operations, threads
from bnnsim.packed.network import PackedNetwork

ROOT = Path(__file__).resolve().parents[2]
FAKE = str(ROOT / "tests" / "fake_peer.py")
SPEC = importlib.util.spec_from_file_location("make_performance", ROOT / "docs" / "make_performance.py")
make_performance = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_performance)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of everything at the tiny size, beside a peer: bench.json and scaling.png."""
    folder = tmp_path_factory.mktemp("bench")
    assert bench.main(["--tiny", "--networks", "fcnn", "--compare", FAKE, "--out", str(folder / "bench.json"),
                       "--scaling", str(folder / "scaling.png")]) == 0
    return folder


@pytest.fixture
def report(folder):
    return json.loads((folder / "bench.json").read_text())


def tiny(*arguments):
    return bench.main(["--tiny", "--networks", "fcnn", *arguments])


# ---------------------------------------------------------------- what it writes

def test_the_report_says_what_where_and_how(report):
    assert (report["format"], report["format_version"], report["size"], report["complete"]) == \
        ("bnnsim benchmark", 1, "tiny", True)
    assert report["command"] == ("python -m bnnsim.bench --tiny --networks fcnn --scaling scaling.png --compare "
                                 "fake_peer.py --out bench.json"), "and no folder of this machine"
    assert {"created", "commit", "cpu", "threads", "load_average", "memory_byte", "numpy", "numba", "python",
            "library"} <= set(report["circumstances"])
    used = [operation.in_use.needs for operation in operations().values() if operation.in_use]
    assert report["circumstances"]["instructions"] == sorted({need for needs in used for need in needs})
    assert report["data"]["fashion"]["name"].startswith("fashion")


def test_every_section_is_there_with_every_sample(report):
    assert {one["section"] for one in report["measurements"]} == {*bench.SECTIONS, "scaling"}
    names = [(one["section"], one["name"]) for one in report["measurements"]]
    assert len(names) == len(set(names))
    for one in report["measurements"]:
        assert one["seconds"] and min(one["seconds"]) > 0 and 0 < one["share"] <= 1
        assert one["statistics"] == timing.statistics_of(one["seconds"])
        if one["amount"]:
            assert one["throughput"] == one["amount"] / one["statistics"]["median"]
    memory = [one["values"] for one in report["measurements"] if one["section"] == "memory"]
    if sys.platform == "linux":
        assert all(one["peak"] >= one["before"] > 10e6 for one in memory) and len(memory) == 2


def test_a_part_that_stands_for_the_whole_is_marked(report, folder, capsys):
    epoch, = (one for one in report["measurements"] if one["section"] == "training")
    assert epoch["share"] == 2 * 256 / 60_000 and "2 steps timed" in epoch["note"]
    assert "[extrapolated from 0.85 % of it]" in timing.Measurement(**{
        key: value for key, value in epoch.items() if key not in ("statistics", "throughput")}).line()


def test_the_figure_has_a_panel_an_axis(report, folder):
    assert (folder / "scaling.png").read_bytes().startswith(b"\x89PNG")
    points = [one for one in report["measurements"] if one["section"] == "scaling"]
    figure = benchmarks.scaling_curves(points)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["threads", "images in a batch", "units of each hidden layer", "hidden layers",
                      "images in a memory-mapped file", "wrong weight bits", "cells of a campaign"]
    assert {one["values"]["axis"] for one in points} == set(scaling_axes.AXES) == set(benchmarks.SCALING_AXES)
    x, y = figure.axes[1].lines[0].get_data()
    shown = {one["values"]["x"]: one["statistics"]["median"] for one in points
             if one["values"]["axis"] == "batch" and one["values"]["series"] == "Fashion FCNN"}
    assert dict(zip(x.tolist(), y.tolist())) == shown
    grown = next(one["values"] for one in points if one["values"]["axis"] == "batch")["exponent"]
    assert figure.axes[1].get_legend().get_texts()[0].get_text() == f"Fashion FCNN: x^{grown:.2f}"
    with pytest.raises(ValueError, match="--scaling"):
        benchmarks.scaling_curves([])


def test_every_series_says_how_it_grows(report, folder):
    """Over the last decade of x, time, work and memory; the last point's line says it."""
    points = [one for one in report["measurements"] if one["section"] == "scaling"]
    by_series = {}
    for one in points:
        by_series.setdefault((one["values"]["axis"], one["values"]["series"]), []).append(one)
    for some in by_series.values():
        x, seconds = ([one["values"]["x"] for one in some], [one["statistics"]["median"] for one in some])
        assert x == sorted(x) and all(one["values"]["allocated"] > 0 for one in some)
        values = some[-1]["values"]
        assert values["exponent"] == scaling.growth(x, seconds)
        if len(some) > 1:
            words = f"time grows as x^{values['exponent']:.2f}, the work as x^{values['work_exponent']:.2f}, memory"
            assert words in some[-1]["note"] and not any("grows" in one["note"] for one in some[:-1])


@pytest.mark.tiny
def test_growth_is_the_slope_of_the_last_decade():
    x = np.array([1.0, 5, 10, 20, 50, 100])
    for power in (-1, 0, 1, 2.5):
        assert scaling.growth(x, np.where(x < 10, 1e9, x**power)) == pytest.approx(power)
    assert scaling.growth([100, 1], [9e4, 9]) == pytest.approx(2), "two points at least, in any order"
    assert scaling.growth([3], [1]) is scaling.growth([1, 2], [0, 1]) is None


def test_what_grows_faster_than_its_work_is_told():
    def told(power):
        points = {x: scaling_axes.Point("", print, x, bool) for x in (10, 100)}
        return scaling.in_words(scaling.exponents(points, {x: 1e-6 * x**power for x in points}, {10: 1, 100: 10}))

    assert told(1.1) == "; time grows as x^1.10, the work as x^1.00, memory as x^1.00"
    assert told(1.5).endswith("FASTER THAN THE WORK")
    assert scaling.in_words({"exponent": None, "work_exponent": None, "memory_exponent": None}) == ""


def test_memory_of_a_call_is_what_it_adds():
    held = np.ones(10**7, np.uint8)
    point = scaling_axes.Point("nothing", lambda: held[:10**6].copy()[::2].copy().sum(), 1, lambda found: found > 0)
    assert 1.5e6 <= scaling.peak_allocated(point) < 1.6e6
    with pytest.raises(timing.WrongResultError, match="nothing gives a wrong result"):
        scaling.peak_allocated(scaling_axes.Point("nothing", lambda: held.sum(), 1, lambda found: found < 0))


def test_mapped_images_are_not_copied(tmp_path):
    """A million fit beside networks whose scores fit: eleven numbers of eight bytes an image, and blocks."""
    made = scaling_axes._images(sizes.SIZES["tiny"], sizes.Images(sizes.SIZES["tiny"]), str(tmp_path))
    file = np.lib.format.open_memmap(tmp_path / "many.npy", "w+", np.uint8, (20_000, 1, 28, 28))
    network = next(iter(made.values())).call.func.__self__
    network.predict(file[:64])                                   # compiles
    peak = scaling.peak_allocated(scaling_axes.Point("", lambda: network.predict(file), 1, lambda found: True))
    assert peak < 0.15 * file.nbytes


def test_a_random_network_is_of_any_width_and_depth():
    for widths in ((64, 64), (10, 100, 3), (1,) * 50):
        network = scaling_axes.random_network(784, widths)
        images = np.random.default_rng(1).integers(0, 256, (7, 1, 1, 784), np.uint8)
        np.testing.assert_array_equal(network.scores(images), reference.reference_scores(network, images))
        assert [layer.units for layer in network.layers] == [*widths, 10]


def test_one_image_at_a_time_is_a_row_of_inference(report):
    row, = (one for one in report["measurements"] if one["name"] == "Fashion FCNN: one image, 1 thread")
    assert (row["section"], row["threads"], row["share"]) == ("inference", 1, 1)
    assert row["note"].endswith("mean of 40 calls")


def test_ctrl_c_keeps_what_is_done(tmp_path, monkeypatch, capsys):
    def stopped(section, *_):
        yield timing.Measurement(section, "first", [1.0, 2.0], 1)
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "measure", stopped)
    with pytest.raises(SystemExit) as stop:
        tiny("--only", "inference", "--out", str(tmp_path / "x.json"))
    stored = json.loads((tmp_path / "x.json").read_text())
    assert stop.value.code == 130 and "1 results; they are in" in capsys.readouterr().err
    assert not stored["complete"] and [one["name"] for one in stored["measurements"]] == ["first"]


BAD = [
    (["--only", "kernel"], "did you mean 'kernels'"),
    (["--networks", "fcnn,cifar10"], "did you mean 'cifar'"),
    (["--only", "none"], "--scaling or --compare"),
    (["--out", "x.h5"], "must end in .json"),
    (["--scaling", "x.jpg"], "must end in .png"),
    (["--out", "no/such/folder/x.json"], "does not exist"),
    (["--full", "--tiny"], "not allowed with"),
    (["--isa", "avx3"], "isa must be one of 'avx2', 'generic'"),
    (["--only", "none", "--compare", "no_such.py"], "no peer no_such.py"),
    (["--only", "none", "--compare", FAKE, "--peer-python", "/no/python"], "--peer-python"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: str(value)[:30])
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--tiny", *arguments] if "--full" not in arguments else arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and error.count("\n") == 1


def test_interpreted_kernels_are_not_measured():
    done = subprocess.run([sys.executable, "-m", "bnnsim.bench", "--tiny"], capture_output=True, text=True,
                          env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and "NUMBA_DISABLE_JIT" in done.stderr


# ---------------------------------------------------------------- a wrong result is not timed

def spoilt(function):
    """The function with its first number wrong by one step."""
    def wrong(*args):
        out = function(*args)
        out.reshape(-1)[0] += 1 if out.dtype != np.float32 else np.float32(0.02 * np.abs(out).max())
        return out
    return wrong


def spoilt_rows(function):
    """A gradient whose first row, when it is handed out, has its first number wrong."""
    def wrong(*args):
        def consume(first, rows):
            if first == 0:
                rows[0, 0] += np.float32(0.02 * np.abs(rows).max())
            args[-1](first, rows)
        return function(*args[:-1], consume)
    return wrong


def without_last_bits(function):
    return lambda *args: function(*args) & np.uint64(2**63 - 1)


def wrong_cell(function):
    def wrong(*args):
        found = function(*args)
        return found._replace(right=found.right + (np.arange(len(found.right)) == 0))
    return wrong


WRONG = [
    (kernels, "dense_forward", spoilt, kernels.binary_gemm, "the binary GEMM"),
    (kernels, "dense_dx", spoilt, kernels.gradient_dx, "the product dX"),
    (kernels, "dense_dweight", spoilt_rows, kernels.gradient_dweight, "the product dW"),
    (kernels, "pixels_dense_forward", spoilt, kernels.first_layer, "the first layer"),
    (kernels, "flip_masks", without_last_bits, kernels.bit_errors, "drawing bit errors"),
]


@pytest.mark.tiny
@pytest.mark.parametrize(("module", "name", "how", "product", "message"), WRONG, ids=[row[1] for row in WRONG])
def test_a_wrong_kernel_is_found(module, name, how, product, message, monkeypatch):
    product(512, np.random.default_rng(1))
    monkeypatch.setattr(module, name, how(getattr(module, name)))
    with pytest.raises(timing.WrongResultError, match=f"{message} gives a wrong result"):
        product(512, np.random.default_rng(1))


@pytest.mark.parametrize(("section", "owner", "name", "how"), [
    ("training", model.Sequential, "predict", spoilt), ("inference", PackedNetwork, "scores", spoilt),
    ("sweep", cells, "run_cell", wrong_cell)])
def test_a_wrong_network_is_found(section, owner, name, how, monkeypatch, capsys):
    monkeypatch.setattr(owner, name, how(getattr(owner, name)))
    with pytest.raises(SystemExit) as stop:
        tiny("--only", section)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and "gives a wrong result, so it is not timed" in captured.err
    assert section not in captured.out


@pytest.mark.parametrize(("axis", "owner", "name", "how"), [
    ("batch", PackedNetwork, "predict", spoilt), ("width", PackedNetwork, "predict", spoilt),
    ("depth", PackedNetwork, "predict", spoilt), ("flips", cells, "run_cell", wrong_cell)])
def test_a_wrong_point_of_an_axis_is_found(axis, owner, name, how, monkeypatch, tmp_path):
    monkeypatch.setattr(owner, name, how(getattr(owner, name)))
    tiny_size = sizes.SIZES["tiny"]
    points = scaling_axes.AXES[axis].points(tiny_size, sizes.Images(tiny_size), str(tmp_path))
    for point in points.values():
        with pytest.raises(timing.WrongResultError):
            scaling.peak_allocated(point)


def test_a_lost_cell_is_found(monkeypatch, tmp_path):
    points = scaling_axes._cells(sizes.SIZES["tiny"], None, str(tmp_path))
    found = points["many rates", 100].call()
    assert points["many rates", 100].is_right(found) and not points["many rates", 1000].is_right(found)
    found.right[0, 3, 5] = -1
    assert not points["many rates", 100].is_right(found)


def test_a_wrong_limit_is_found(monkeypatch):
    has_tile = operations()["limits.madd_chains"].in_use is not None
    assert set(kernels.make_limits(3)) == ({"binary", "16-bit"} if has_tile else {"binary"})
    monkeypatch.setattr(limits, "xnor_limit", lambda seeds, n, out, first, last: out.fill(1))
    with pytest.raises(timing.WrongResultError, match="the limit's loop"):
        kernels.make_limits(3)


@pytest.mark.jit_off
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_limit_chains_are_what_their_twins_say(steps):
    rng = np.random.default_rng(0)
    cases = [(limits.xnor_limit, rng.integers(0, 2**64, (17, 8), np.uint64), lambda s, w: s + np.bitwise_count(s ^ w)),
             (limits.madd_limit, rng.integers(-2**31, 2**31, (17, 16)).astype(np.int32), products_added)]
    for kernel, seeds, step in cases:
        out = np.zeros((3, 16, seeds.shape[1]), seeds.dtype)
        kernel(seeds, steps, out, 1, 3)
        expected = seeds[:16]
        for _ in range(steps):
            expected = step(expected, seeds[16]).astype(seeds.dtype)
        assert (out[0] == 0).all() and (out[1:] == expected).all()


def products_added(totals, operand):
    """int32 totals + their pairs of int16 times the operand's, wrapping."""
    pairs, others = (np.ascontiguousarray(values).view(np.int16).astype(np.int64) for values in (totals, operand))
    return totals + (pairs * others).reshape(len(totals), -1, 2).sum(axis=2)


@settings(max_examples=30)
@given(random_networks.plans())
def test_the_reference_is_right_for_every_kind_of_layer(plan):
    """Not for the networks of the benchmark alone: strides, padding of all kinds, several pools, odd widths."""
    made, images = random_networks.build(plan, 3)
    network = packing.pack(made)
    np.testing.assert_array_equal(reference.reference_scores(network, images), network.scores(images))


def test_the_reference_is_right_for_every_geometry():
    for spec in ("C6k3x2s2x1p1x0x2x3d1x2 MP3x2s2x1p1 FC5", "C6rep MP3s2same C8g2plus C8g8minus FC5", "C6 C4g2k2 SUM"):
        network = packing.pack(bnnsim.architectures.build(spec, (2, 9, 8), rng=0))
        images = np.random.default_rng(1).integers(0, 256, (5, 2, 9, 8), np.uint8)
        np.testing.assert_array_equal(reference.reference_scores(network, images), network.scores(images))


@pytest.mark.tiny
def test_unpacked_weights_are_the_stored_bits():
    network = packing.pack(bnnsim.architectures.build("C3 MP2 FC10", (1, 8, 8), rng=0))
    for layer, found in zip(network.layers, reference.unpacked(network)):
        np.testing.assert_array_equal(bits.PackedBits.pack(found["weight"]).words, layer.words)


# ---------------------------------------------------------------- how it measures

def test_rivals_take_turns():
    order = []
    found = timing.alternated({name: lambda name=name: order.append(name) or 1.0 for name in "AB"}, 3)
    assert "".join(order) == "ABABAB" and found == {"A": [1.0] * 3, "B": [1.0] * 3}


@pytest.mark.parametrize(("n_steps", "unheeded"), [(1, 1), (5, 1), (7, 0), (12, 3)])
def test_so_many_whole_steps_are_timed(n_steps, unheeded, monkeypatch):
    """Also past the end of an epoch, which asks for a learning rate too: 700 images are 3 steps."""
    made = []
    monkeypatch.setattr(model.Sequential, "backward_update", lambda self, *_: made.append(1))
    net = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    train = sizes.synthetic("fcnn", 700)
    found = networks.step_seconds(net, train, n_steps, unheeded)
    assert len(found) == n_steps and len(made) == n_steps + unheeded and min(found) > 0


def test_whole_epochs_take_small_sets_several_times(monkeypatch):
    """Two samples of an epoch of 60,000 images from 20,000: three passes of 79 steps each."""
    counted = []

    def counting(made, train, n_steps, n_unheeded=1):
        counted.append(n_steps)
        return [2.0] * n_steps

    monkeypatch.setattr(networks, "step_seconds", counting)
    size = sizes.Sizes("x", 1, 64, {"fcnn": 0}, {"fcnn": 2}, {"fcnn": 64}, {"fcnn": 1}, 1, narrow=True)
    images = sizes.Images(size)
    images._loaded["fashion"] = (sizes.synthetic("fcnn", 20_000), sizes.synthetic("fcnn", 64))
    found = networks.training_epoch("fcnn", size, images)
    assert counted == [1, 2 * 3 * 79] and found.seconds == [2.0 * 3 * 79] * 2 and found.share == 1


def test_the_papers_networks_are_measured():
    for name, made in (("fcnn", "fashion_fcnn"), ("cnn", "fashion_cnn"), ("cifar", "cifar10_cnn"),
                       ("residual", "bireal_resnet18")):
        expected = getattr(bnnsim.architectures, made)(rng=0)
        found = sizes.make_model(name, sizes.SIZES["quick"])
        work = sizes.WORKS[name]
        assert found.describe() == expected.describe()
        assert (found.input_shape, found.input_offset) == (work.input_shape, work.input_offset)


def test_a_set_that_is_too_small_is_repeated():
    split = sizes.synthetic("fcnn", 7)
    assert sizes.repeated(split, 7) is split and len(sizes.repeated(split, 3)) == 3
    np.testing.assert_array_equal(sizes.repeated(split, 16).labels, [*split.labels, *split.labels, *split.labels[:2]])


def test_the_commit_is_told_where_there_is_one(tmp_path, monkeypatch):
    """A sign for changed files behind it; an installed library has none."""
    root, found = Path(bnnsim.__file__).resolve().parent.parent, timing.commit_of_clone()
    asked = subprocess.run(["git", "-C", root, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    expected = asked.stdout.strip() if asked.returncode == 0 and (root / ".git").exists() else None
    assert (found and found.rstrip("+")) == expected
    monkeypatch.setattr(timing, "__file__", str(tmp_path / "site-packages" / "bnnsim" / "benchmarks" / "timing.py"))
    assert timing.commit_of_clone() is None


# ---------------------------------------------------------------- beside a peer

def test_a_peer_is_compared_pair_by_pair(report):
    rows = report["comparison"]
    assert [row["work"] for row in rows] == ["training", "inference", "sweep"]
    for row in rows:
        assert row["peer"] == "Fake 1" and set(row["peers"]) == {"default", "best"}
        for setup, seconds in (("default", 0.25), ("best", 0.125)):
            found = row["peers"][setup]
            assert np.allclose(found["seconds"], seconds / row["share"])
            assert np.allclose(found["ratios"], np.array(found["seconds"]) / row["bnnsim"]["seconds"])
            assert len(found["ratios"]) == sizes.SIZES["tiny"].rounds and found["gflops"] == 12.3
        assert peer.line(row).count("float32 matrix product 12 GFLOP/s") == 2
        assert set(row["bnnsim"]["tiles"]) == {"binary layers", "dense first layer", "conv first layer"} | (
            {"gradients"} if row["work"] == "training" else set())
        assert all(f"{name} {tile}" in peer.line(row) for name, tile in row["bnnsim"]["tiles"].items())
    assert "first losses" in rows[0]["peers"]["best"]["checked"] and "40 predictions" in rows[1]["peers"]["best"][
        "checked"]


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


# ---------------------------------------------------------------- the tables

def test_the_committed_tables_are_those_of_the_committed_json():
    """Run  python docs/make_performance.py  after a new docs/performance.json."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_performance.py", "--check"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def clone(report, tmp_path, monkeypatch):
    """A folder like a clone, with the tiny run's JSON."""
    monkeypatch.setattr(make_performance, "ROOT", tmp_path)
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "docs" / "performance.json").write_text(json.dumps(report))
    return tmp_path


def test_tables_are_made_and_found_stale(clone, report):
    with pytest.raises(SystemExit, match="docs/performance.rst: not what"):
        make_performance.main(["--check"])
    make_performance.main([])
    make_performance.main(["--check"])
    page = (clone / "docs" / "performance.rst").read_text()
    short = in_short(page)
    assert page.startswith("Performance\n===========\n")
    assert (clone / "docs" / "figures" / "scaling.png").stat().st_size > 1000
    for row in report["comparison"]:
        for found in (row["bnnsim"], *row["peers"].values()):
            words = timing.in_words(found["statistics"]["median"])
            assert words in page.replace(short, "") and words in short
    for one in report["measurements"]:
        assert one["name"] in page and timing.in_words(one["statistics"]["median"]) in page
        shown = re.search(rf"^   \* - {re.escape(one['name'])}\n     - (.*)\n", short, re.MULTILINE)
        assert (shown and shown[1] != "not measured") == (one["name"] in make_performance.SHORT or None)
    (clone / "docs" / "performance.rst").write_text(page.replace("Fake 1", "Fake 2"))
    with pytest.raises(SystemExit, match="^docs/performance.rst: not what"):
        make_performance.main(["--check"])


def in_short(page):
    """The page's first section."""
    return re.search(r"^In short\n-+\n\n(.*?)(?=^[^\n]+\n---)", page, re.MULTILINE | re.DOTALL)[1]


def table_of(text):
    """Rows of the first list-table of a text."""
    lines = text.split(".. list-table::")[1].split("\n\n")[1].splitlines()
    rows = []
    for line in lines:
        if line.startswith("   * - "):
            rows.append([])
        rows[-1].append(line[7:])
    return rows


def made_up(scale, isa, instructions, report):
    """A report like the tiny run's whose every time is `scale` seconds, and the peer's 3 and 2 times that."""
    def statistics(factor):
        return timing.statistics_of([factor * scale])

    comparison = []
    for row in report["comparison"]:
        peers = {setup: {**row["peers"][setup], "statistics": statistics(factor),
                         "ratio": timing.statistics_of([factor])} for setup, factor in (("default", 3), ("best", 2))}
        comparison.append({**row, "share": 1.0, "bnnsim": {**row["bnnsim"], "statistics": statistics(1)},
                           "peers": peers})
    measurements = [{**one, "share": 1.0, "statistics": statistics(1)} for one in report["measurements"]]
    where = {**report["circumstances"], "instructions": instructions, "load_average": 0.0}
    return {**report, "isa": isa, "circumstances": where, "comparison": comparison, "measurements": measurements}


def test_both_instruction_sets_stand_side_by_side(clone, report):
    both = {"performance.json": made_up(1, "all", ["avx2", "avx512bw", "avx512f"], report),
            "performance-avx2.json": made_up(20, "avx2", ["avx2", "ssse3"], report)}
    for name, one in both.items():
        (clone / "docs" / name).write_text(json.dumps(one))
    make_performance.main([])
    make_performance.main(["--check"])
    page = (clone / "docs" / "performance.rst").read_text()
    short = in_short(page)
    header, *rows = table_of(short)
    side = ("bnnsim", "Fake 1, default", "Fake 1, best", "ratio")
    assert header == ["work", *(f"AVX-512: {name}" for name in side), *(f"AVX2: {name}" for name in side)]
    of = {row[0]: row[1:] for row in rows}
    assert of["Fashion FCNN: epoch of 60,000 images"] == ["1.00 s", "3.00 s", "2.00 s", "2", "20.0 s", "60.0 s",
                                                          "40.0 s", "2"]
    missing = ["not measured"] * 3
    assert of["Fashion FCNN: one image, 1 thread"] == ["1.00 s", *missing, "20.0 s", *missing], "no peer has it"
    assert list(of) == list(make_performance.SHORT)
    assert {cell for name in of if not name.startswith("Fashion FCNN") for cell in of[name]} == {"not measured"}
    assert short.count("(its float32 matrix product: 12 to 12 GFLOP/s)") == 2 == page.count("12 to 12 GFLOP/s") - 2
    assert page.count("; float32 matrix product 12 GFLOP/s") == 2 * 2 * 3 and "tiles: binary layers " in page
    assert "limited to AVX2" in short and "\nAVX-512\n-------\n" in page and "\nAVX2\n----\n" in page
    assert r"\*" not in short and page.count("figures/scaling.png") == 1


def test_in_short_are_a_dozen_rows_at_most():
    assert len(set(make_performance.SHORT)) <= 12


def test_without_the_second_file_its_columns_are_left_out(clone, report):
    (clone / "docs" / "performance.json").write_text(json.dumps(made_up(1, "all", [], report)))
    make_performance.main([])
    page = (clone / "docs" / "performance.rst").read_text()
    side = ("bnnsim", "Fake 1, default", "Fake 1, best", "ratio")
    assert table_of(in_short(page))[0] == ["work", *(f"all instructions: {name}" for name in side)]
    assert "AVX2" not in page and "performance-avx2" not in page


def test_growth_is_a_table_of_the_page(clone, report):
    make_performance.main([])
    page = (clone / "docs" / "performance.rst").read_text()
    for one in report["measurements"]:
        if one["section"] == "scaling" and one["values"]["exponent"] is not None:
            assert f"     - {one['values']['series']}\n     - {one['values']['exponent']:.2f}\n" in page


@pytest.mark.parametrize("name", ["performance.json", "performance-avx2.json"])
def test_a_report_of_other_instructions_is_refused(clone, report, name):
    (clone / "docs" / name).write_text(json.dumps({**report, "isa": "generic"}))
    with pytest.raises(SystemExit, match=f"docs/{name} is of --isa generic"):
        make_performance.main([])


def test_without_a_peer_the_table_is_of_bnnsim_alone(clone, report):
    (clone / "docs" / "performance.json").write_text(json.dumps({**report, "comparison": []}))
    make_performance.main([])
    page = (clone / "docs" / "performance.rst").read_text()
    short = in_short(page)
    assert "Fake" not in page and "Fashion FCNN: epoch of 60,000 images" in short and r"\*" in short
    assert len(table_of(short)[0]) == 2 and "ratio" not in short.lower()


def test_other_files_are_refused(clone):
    (clone / "docs" / "performance.json").write_text('{"format": "other"}')
    with pytest.raises(SystemExit, match="bnnsim.bench --out"):
        make_performance.main([])


def test_a_thread_count_is_put_back():
    with threads(1):
        nothing = kernels.Product("x", lambda: None, 1, "MAC", None)
        assert [measured.threads for measured in kernels._beside(nothing, None, 1, 1)] == [1]


# ---------------------------------------------------------------- fewer instructions

def test_limited_instructions_reach_kernels_and_the_peer():
    """In a process of its own, as Numba reads its target once; the plain twins are those of no CPU in particular."""
    program = ("from bnnsim.benchmarks.instruction_sets import limit; limit({isa!r}); import os; "
               "from bnnsim.kernels._twins import target_has; "
               "print(target_has('avx2'), target_has('avx512f'), os.environ['ATEN_CPU_CAPABILITY'])")
    package = Path(bnnsim.__file__).parents[1]
    assert run(program.format(isa="avx2"), package) == ["True", "False", "avx2"]
    assert run(program.format(isa="generic"), package) == ["False", "False", "default"]


def test_instructions_cannot_be_limited_once_numba_is_loaded(capsys):
    assert set_by_command("--isa", "avx2") == ["--isa", "avx2"]
    with pytest.raises(SystemExit):
        bench.main(["--isa", "avx2", "--tiny", "--only", "kernels"])
    assert "isa 'avx2' must be set before Numba is loaded: start python -m bnnsim.bench by itself" in \
        capsys.readouterr().err


def set_by_command(*words):
    options = bench.arguments().parse_args(["--only", "kernels", *words])
    command_line_options.settle(options, bench.OPTIONS, {})
    bench.resolve(options)
    return [word for word in bench.command_of(options).split() if word in words]
