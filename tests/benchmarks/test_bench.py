"""The benchmark: it runs, refuses to time a wrong result, keeps what is done, and its tables are those of its JSON.

No time is judged here: a busy machine must not fail a test.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bnnsim.bench as bench
import bnnsim.benchmarks.networks as networks
import bnnsim.benchmarks.peer as peer
import bnnsim.benchmarks.reference as reference
import bnnsim.benchmarks.scaling as scaling
import bnnsim.benchmarks.scaling_axes as scaling_axes
import bnnsim.benchmarks.sizes as sizes
import bnnsim.benchmarks.timing as timing
import bnnsim.figures.benchmarks as benchmarks
import bnnsim.kernels.gradients.byte_tile as byte_tile
from bnnsim.kernels import operations

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


OF_TRAINING = {"gradients", "conv gradients"} if byte_tile.USED else {"gradients"}


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
            OF_TRAINING if row["work"] == "training" else set())
        assert all(f"{name} {tile}" in peer.line(row) for name, tile in row["bnnsim"]["tiles"].items())
    assert "first losses" in rows[0]["peers"]["best"]["checked"] and "40 predictions" in rows[1]["peers"]["best"][
        "checked"]


def test_the_committed_tables_are_those_of_the_committed_json():
    """Run  python docs/make_performance.py  after a new docs/performance.json."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_performance.py", "--check"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def clone(report, tmp_path, monkeypatch):
    """A folder like a clone, with the tiny run's JSON; the figure, which that run has drawn, is a few bytes."""
    monkeypatch.setattr(make_performance, "ROOT", tmp_path)
    monkeypatch.setattr(benchmarks, "scaling_curves", lambda points, path: path.write_bytes(b"%d" % len(points)))
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "docs" / "performance.json").write_text(json.dumps(report))
    (tmp_path / "README.rst").write_text(f"Before.\n\n{make_performance.BEGIN}\n{make_performance.END}\nBehind.\n")
    return tmp_path


def test_tables_are_made_and_found_stale(clone, report):
    with pytest.raises(SystemExit, match="docs/performance.rst: not what"):
        make_performance.main(["--check"])
    make_performance.main([])
    make_performance.main(["--check"])
    page = (clone / "docs" / "performance.rst").read_text()
    short = in_short(page)
    assert page.startswith("Performance\n===========\n")
    n_points = sum(one["section"] == "scaling" for one in report["measurements"])
    assert (clone / "docs" / "figures" / "scaling.png").read_bytes() == b"%d" % n_points and n_points > 20
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
    (clone / "docs" / "performance-generic.json").write_text(json.dumps(made_up(300, "generic", [], report)))
    make_performance.main([])
    with_generic = (clone / "docs" / "performance.rst").read_text()
    assert in_short(with_generic) == short, "a dozen works, on two kinds of CPU"
    assert "\nA generic CPU\n-------------\n" in with_generic and "limited to what every x86-64 has" in with_generic
    assert "300 s" in with_generic.split("\nA generic CPU\n")[1]


def test_readme_has_ten_rows_of_both_instruction_sets(clone, report):
    for name, one in (("performance.json", made_up(1, "all", ["avx2", "avx512bw", "avx512f"], report)),
                      ("performance-avx2.json", made_up(20, "avx2", ["avx2", "ssse3"], report))):
        (clone / "docs" / name).write_text(json.dumps(one))
    make_performance.main([])
    text = (clone / "README.rst").read_text()
    lines = text.split(make_performance.BEGIN)[1].split(make_performance.END)[0].strip().splitlines()
    assert text.startswith("Before.\n") and text.endswith("Behind.\n") and len(lines) == 14
    assert lines[1].split() == ["work", "AVX-512", "default", "best", "ratio", "AVX2", "default", "best", "ratio"]
    of = {re.split("  +", line)[0]: re.split("  +", line)[1:] for line in lines[3:-1]}
    epoch = ["1.00 s", "3.00 s", "2.00 s", "2", "20.0 s", "60.0 s", "40.0 s", "2"]
    assert of["Fashion FCNN: epoch of 60,000 images"] == epoch
    assert of["Fashion FCNN: one image, 1 thread"] == ["1.00 s", "-", "-", "-", "20.0 s", "-", "-", "-"]
    (clone / "README.rst").write_text(text.replace("20.0 s", "19.0 s"))
    with pytest.raises(SystemExit, match="README.rst: not what"):
        make_performance.main(["--check"])


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
