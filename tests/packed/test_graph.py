"""Packed graphs against an evaluation of every node of every image; their copies, files and sweeps."""

import pickle
from dataclasses import replace

import naive
import naive_graph
import numpy as np
import pytest
import slow_cases
import random_graphs
from kernel_calls import in_threads
from test_operations import same, signs_of

import bnnsim.ber_sweep as ber_sweep
import bnnsim.packed.clean_pass as clean_pass
import bnnsim.packed.graph as graph_module
import bnnsim.packed.graph_pass as graph_pass
from bnnsim.campaign import sweep
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets import Split
from bnnsim.faults import AsymmetricFlips, BitFlips, StuckAt
from bnnsim.kernels import threads
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_pass import GraphPass, clean_pass_of
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import load_network
from bnnsim.packed.operations import Affine, Operation, RealDense

SEEDS = range(30)


def made(seed, **settings):
    """(graph, images, naive scores); every third with constants that are not finite."""
    graph = random_graphs.graph(seed, extreme=seed % 3 == 0, **settings)
    images = random_graphs.images(graph)
    return graph, images, naive_graph.evaluate(graph.nodes, images, graph.input_offset)[0]


def flipped(graph, layers, seed, share=0.2):
    """A copy of which these layers of bits have other words."""
    return BitFlips(share, tuple(layers)).apply(graph, seed) if layers else graph.with_words({})


# ---------------------------------------------------------------- scores, and every node

@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_those_of_the_nodes_one_by_one(seed):
    graph, images, wanted = made(seed)
    np.testing.assert_array_equal(in_threads(graph.scores, images), wanted)
    np.testing.assert_array_equal(graph.predict(images), wanted.argmax(axis=1))


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_every_node_gives_what_the_naive_one_does(seed):
    graph, images, _ = made(seed)
    _, wanted = naive_graph.evaluate(graph.nodes, images, graph.input_offset)
    for i, want in enumerate(wanted):
        came = graph.values({-1: images}, i + 1)[i]
        place = graph.places[i]
        assert came.shape[1:] == place.value_shape and came.dtype == place.dtype and want.shape[1:] == place.shape
        if place.kind == "bits":
            came, want = signs_of(came, place.shape[-1]), want.astype(np.int64)
        same(came, want.astype(came.dtype))


def passes(graph):
    """Those of several operations at once that the graph has made plans of."""
    return [step.taken for plan in graph._plans.values() for step in plan if step.taken is not None]


@pytest.mark.parametrize("seed", slow_cases.first(8, range(20)))
def test_operations_in_one_pass_give_what_each_alone_does(seed):
    """On channels by 16: as scores, from any cut to any other, and where a value is wanted on the way."""
    for graph in (random_graphs.wide(seed, extreme=seed % 3 == 0), random_graphs.row(seed)):
        check_cuts(graph, random_graphs.images(graph, 5))


def check_cuts(graph, images):
    n = len(graph.nodes)
    wanted, values = naive_graph.evaluate(graph.nodes, images, graph.input_offset)
    np.testing.assert_array_equal(in_threads(graph.scores, images), wanted)
    for cut in range(n):
        known = graph.values({-1: images}, cut)
        assert tuple(sorted(known)) == graph.crossing(cut)
        for at, came in known.items():
            if at >= 0 and graph.places[at].kind == "reals":
                same(came, values[at].astype(np.float32))
        np.testing.assert_array_equal(graph.scores_of(graph.values(known)), wanted)


@pytest.mark.parametrize("seed", range(20))
def test_other_numbers_in_one_pass_are_not_those_of_the_plan_of_the_first(seed):
    graph, rng = random_graphs.row(seed), np.random.default_rng(seed)
    images = random_graphs.images(graph)
    clean = graph.scores(images)
    others = {i: replace(node.what, **{name: getattr(node.what, name) + rng.normal() for name in node.what.arrays})
              for i, node in enumerate(graph.nodes) if isinstance(node.what, Operation)}
    other = graph.with_operations(others)
    wanted, _ = naive_graph.evaluate(other.nodes, images, graph.input_offset)
    np.testing.assert_array_equal(other.scores(images), wanted)
    np.testing.assert_array_equal(graph.scores(images), clean)
    assert (clean != wanted).any()


def test_graphs_on_channels_by_16_have_passes_of_every_kind():
    """What the test above is about: with the map and the signs as results, or one of both; sums of two maps too."""
    found = []
    for graph in (*map(random_graphs.wide, range(40)), *map(random_graphs.row, range(40))):
        graph.scores(random_graphs.images(graph, 1))
        found += passes(graph)
    assert {(taken.stores, taken.signs) for taken in found} == {(True, False), (False, True), (True, True)}
    assert {int(code) for taken in found for code in taken.steps} == set(range(4))
    assert max(len(taken.steps) for taken in found) > 3 and len(found) > 80


@pytest.mark.tiny
@pytest.mark.jit_off
@pytest.mark.parametrize("seed", [3, 11])
def test_a_graph_interpreted(seed):
    graph = random_graphs.graph(seed, n_steps=2)
    images = random_graphs.images(graph, 2)
    np.testing.assert_array_equal(graph.scores(images), naive_graph.evaluate(graph.nodes, images,
                                                                             graph.input_offset)[0])


@pytest.mark.parametrize("most_images, value_bytes", [(1, 2**20), (2, 2**20), (64, 1), (64, 3000), (10**6, 2**40)])
def test_blocks_of_any_size(monkeypatch, most_images, value_bytes):
    for seed in SEEDS[:8]:
        graph, images, wanted = made(seed)
        monkeypatch.setattr(graph_module, "MOST_IMAGES", most_images)
        monkeypatch.setattr(graph_module, "VALUE_BYTES", value_bytes)
        copy = graph.with_words({})
        assert copy.most_images == max(1, min(most_images, value_bytes // max(p.image_bytes for p in copy.places)))
        np.testing.assert_array_equal(in_threads(copy.scores, images), wanted)
        if seed < 4:
            broken = flipped(copy, range(len(copy.layers)), seed)
            np.testing.assert_array_equal(GraphPass(copy, images).predict(broken), broken.predict(images))


def test_an_offset_of_numpy_is_a_plain_integer():
    """-np.uint8(100) is 156, and the graph another one than that out of its file."""
    wanted, comp = of_layers_alone(3, 100), of_layers_alone(3, np.uint8(100))
    images = random_graphs.images(wanted)
    same(comp.scores(images), wanted.scores(images))
    assert type(comp.input_offset) is int


def test_no_images():
    graph = random_graphs.graph(1)
    assert graph.scores(random_graphs.images(graph, 0)).shape == (0, random_graphs.CLASSES)


def test_an_image_alone_has_the_scores_that_it_has_among_others():
    graph, images, wanted = made(5)
    np.testing.assert_array_equal(np.concatenate([graph.scores(images[n:n + 1]) for n in range(len(images))]), wanted)


def test_a_score_that_is_no_finite_number_is_the_lowest():
    """A class of nan or inf is never predicted; where all are so, it is the first."""
    for score in (np.nan, np.inf, -np.inf):
        weight = np.array([[score], [-2.0], [-1.0]], np.float32)
        graph = ending_in(weight)
        assert graph.scores(np.full((1, 1, 2, 2), 9, np.uint8)).tolist() == [[-np.inf, -72, -36]]
        assert graph.predict(np.full((1, 1, 2, 2), 9, np.uint8)).tolist() == [2]
    nothing = ending_in(np.full((3, 1), np.nan, np.float32))
    assert nothing.predict(np.full((1, 1, 2, 2), 9, np.uint8)).tolist() == [0]


def ending_in(weight):
    """h of one unit of bits, 4 pixels of weight +1, times these."""
    layer = PackedLayer("dense", 4, np.array([[15]], np.uint64))
    return PackedGraph([Node(layer, (-1,)), Node(affine(1), (0,)),
                        Node(RealDense(weight, np.zeros(len(weight), np.float32)), (1,))], (1, 2, 2))


def affine(n):
    return Affine(np.ones(n, np.float32), np.zeros(n, np.float32))


# ---------------------------------------------------------------- where a pass may be cut

@pytest.mark.parametrize("seed", SEEDS[:12])
def test_a_pass_goes_on_from_any_cut_to_any_other(seed):
    graph, images, wanted = made(seed)
    n = len(graph.nodes)
    for cut in range(n):
        known = graph.values({-1: images}, cut)
        assert tuple(sorted(known)) == graph.crossing(cut)
        for stop in (cut, cut + 1, n):
            behind = graph.values(dict(known), stop)
            assert tuple(sorted(behind)) == (graph.crossing(stop) if stop < n else (n - 1,))
        np.testing.assert_array_equal(graph.scores_of(graph.values(dict(known))), wanted)


# ---------------------------------------------------------------- copies

@pytest.mark.parametrize("seed", SEEDS[:10])
def test_other_words_are_another_graph_and_share_the_rest(seed):
    graph, images, wanted = made(seed)
    rng = np.random.default_rng(seed)
    chosen = [i for i in range(len(graph.layers)) if rng.random() < 0.5] or [0]
    copy = flipped(graph, chosen, seed, 0.5)
    nodes = [node if isinstance(node.what, Operation) else node._replace(what=replace(
        node.what, words=copy.layers[graph.at_layer.index(i)].words)) for i, node in enumerate(graph.nodes)]
    built = PackedGraph(nodes, graph.input_shape, graph.input_offset)
    np.testing.assert_array_equal(copy.scores(images), built.scores(images))
    np.testing.assert_array_equal(copy.scores(images),
                                  naive_graph.evaluate(nodes, images, graph.input_offset)[0])
    assert copy.checksum == built.checksum != graph.checksum
    np.testing.assert_array_equal(graph.scores(images), wanted)
    for i, (layer, other) in enumerate(zip(graph.layers, copy.layers)):
        assert (layer is other) == (i not in chosen)
    assert copy.operations == graph.operations


def test_words_that_do_not_fit_are_refused():
    graph = next(g for g in map(random_graphs.graph, SEEDS) if g.layers[0].n_in % 64)
    words = graph.layers[0].words
    for bad, message in [(words[:-1] if len(words) > 1 else words[:0], "shape"), (words.astype(np.int64), "dtype"),
                         (np.full_like(words, 2**64 - 1), "padding bit")]:
        with pytest.raises((ValueError, TypeError), match=r"layers\[0\] words.*" + message):
            graph.with_words({0: bad})


@pytest.mark.parametrize("seed", SEEDS[:6])
def test_pickled_and_back(seed):
    graph, images, wanted = made(seed)
    cold = len(pickle.dumps(graph))
    graph.scores(images), graph.checksum
    assert len(pickle.dumps(graph)) == cold, "what is laid out for kernels is sent along"
    again = pickle.loads(pickle.dumps(graph))
    assert again.checksum == graph.checksum and type(again) is PackedGraph
    np.testing.assert_array_equal(again.scores(images), wanted)
    for operation in again.operations:
        assert not any(getattr(operation, name).flags.writeable for name in operation.arrays)


def test_the_checksum_is_equal_iff_the_content_is():
    """Each array, each setting, each wire; not the metadata."""
    kinds = {}
    for seed in SEEDS:                                          # a graph with each kind of operation
        graph = random_graphs.graph(seed)
        kinds |= {operation.word: graph for operation in graph.operations if operation.word not in kinds}
    for graph in set(kinds.values()):
        seen = {graph.checksum}
        assert PackedGraph(graph.nodes, graph.input_shape, graph.input_offset, {"who": "me"}).checksum == graph.checksum
        others = [PackedGraph(graph.nodes, graph.input_shape, graph.input_offset ^ 1)]
        for i, node in enumerate(graph.nodes):
            for name in getattr(node.what, "arrays", ("words",)):
                value = getattr(node.what, name).copy()
                value.view(np.uint8).reshape(-1)[0] ^= 1        # the last bit of the first number
                what = replace(node.what, **{name: value})
                others.append(changed(graph, i, node._replace(what=what)))
        for other in others:
            assert other.checksum not in seen
            seen.add(other.checksum)


def changed(graph, i, node):
    return PackedGraph([*graph.nodes[:i], node, *graph.nodes[i + 1:]], graph.input_shape, graph.input_offset)


# ---------------------------------------------------------------- files

@pytest.mark.parametrize("seed", SEEDS[1:12])
def test_a_file_gives_back_the_graph(seed, tmp_path):
    graph = random_graphs.graph(seed)
    graph = PackedGraph(graph.nodes, graph.input_shape, graph.input_offset, {"who": "Jürgen \0"})
    images = random_graphs.images(graph)
    graph.save(tmp_path / "g.h5")
    again = PackedNetwork.load(tmp_path / "g.h5")
    assert type(again) is PackedGraph and again.checksum == graph.checksum and again.metadata == graph.metadata
    assert [node.inputs for node in again.nodes] == [node.inputs for node in graph.nodes]
    np.testing.assert_array_equal(again.scores(images), graph.scores(images))
    again.save(tmp_path / "h.h5")
    assert load_network(tmp_path / "h.h5")["nodes"][0].keys() == load_network(tmp_path / "g.h5")["nodes"][0].keys()


# ---------------------------------------------------------------- sweeps

@pytest.mark.parametrize("seed", slow_cases.first(12, SEEDS))
def test_every_shortcut_equals_the_whole_evaluation(seed, monkeypatch):
    """Any layers changed, a little or much; values kept at any cut, or at none."""
    rng = np.random.default_rng(seed)
    graph = random_graphs.graph(seed, extreme=seed % 3 == 0)
    images = random_graphs.images(graph, 70)
    per_image = [place.value_bytes for place in graph.places]
    for most in (2**29, 70 * int(rng.choice(per_image)), 0):
        for module in (clean_pass, graph_pass):
            monkeypatch.setattr(module, "MOST_BYTES", most)
        clean = clean_pass_of(graph, images)
        assert type(clean) is GraphPass
        clean.prepare()
        for share in (0.01, 0.5):
            layers = [i for i in range(len(graph.layers)) if rng.random() < 0.4]
            broken = flipped(graph, layers, seed, share)
            np.testing.assert_array_equal(in_threads(clean.predict, broken), broken.predict(images))
        for i in range(len(graph.layers)):
            broken = flipped(graph, [i], seed, 0.05)
            np.testing.assert_array_equal(clean.predict(broken), broken.predict(images))


def test_processes_share_what_the_first_one_made(tmp_path):
    graph = random_graphs.graph(2)
    images = random_graphs.images(graph, 70)
    for name in ("a", "a", "b"):
        clean = GraphPass(graph, images, tmp_path / name)
        for i in range(len(graph.layers)):
            broken = flipped(graph, [i], 1, 0.3)
            np.testing.assert_array_equal(clean.predict(broken), broken.predict(images))
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"a", "b"}
    assert len(list(tmp_path.glob("a-*"))) == len(list(tmp_path.glob("b-*"))) > 1


def of_layers_alone(seed, offset):
    """No operation, by which a graph made anew is told from a copy."""
    rng = np.random.default_rng(seed)
    hidden = PackedLayer("dense", 36, naive.pack(rng.choice([-1, 1], (9, 36))), threshold=rng.integers(
        -300, 300, 9).astype(np.int32), inverted=rng.random(9) < 0.5)
    last = PackedLayer("dense", 9, naive.pack(rng.choice([-1, 1], (5, 9))), mean=np.zeros(5), scale=np.ones(5),
                       shift=np.zeros(5))
    return PackedGraph([Node(hidden, (-1,)), Node(last, (0,))], (1, 6, 6), offset)


def with_other_numbers(seed):
    graph = random_graphs.graph(seed)
    i = max(i for i, node in enumerate(graph.nodes) if isinstance(node.what, RealDense))
    what = graph.nodes[i].what
    return graph, graph.with_operations({i: replace(what, weight=-what.weight, bias=-what.bias)})


OTHERS = {"numbers": with_other_numbers, "pixels": lambda seed: (of_layers_alone(seed, 0), of_layers_alone(seed, 64))}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_copy_of_the_graph_is_evaluated_whole(name):
    n_differ = 0
    for graph, other in map(OTHERS[name], range(8)):
        images = random_graphs.images(graph, 20)
        wanted = other.predict(images)
        np.testing.assert_array_equal(GraphPass(graph, images).predict(other), wanted)
        n_differ += (wanted != graph.predict(images)).any()
    assert n_differ > 2


def test_a_copy_from_another_process_is_one():
    graph = random_graphs.graph(2)
    images = random_graphs.images(graph, 20)
    sent = pickle.loads(pickle.dumps(flipped(graph, range(len(graph.layers)), 0)))
    np.testing.assert_array_equal(GraphPass(graph, images).predict(sent), sent.predict(images))


FAULTS = {"flips": BitFlips(0), "stuck": StuckAt(0.5, 0.5), "asymmetric": AsymmetricFlips(0.5, 1.0)}
GRID = {"rates": [0, 0.01, 0.1, 0.5], "trials": 3, "rng": 4, "faults": FAULTS, "axis": "share_of_cells",
        "predictions": True, "progress": False}


@pytest.fixture(scope="module")
def swept():
    """(graph, split, the sweep in one thread)."""
    graph = random_graphs.graph(2)
    images = random_graphs.images(graph, 90)
    split = Split(images, graph.predict(images).astype(np.uint8), "noise")
    with threads(1):
        return graph, split, sweep(graph, split, **GRID)


def test_a_sweep_is_what_its_cells_give_one_by_one(swept):
    graph, split, result = swept
    for s, fault in enumerate(FAULTS.values()):
        for r, rate in enumerate(GRID["rates"]):
            for trial in range(3 if rate else 1):
                broken = fault.at(rate).apply(graph, 4, trial)
                np.testing.assert_array_equal(result.predictions[s, r, trial], broken.predict(split.images))
    assert (result.accuracy[:, 0] == 1).all() and (result.accuracy[:, -1] < 1).any()


def test_a_sweep_hangs_on_no_number_of_threads(swept):
    graph, split, result = swept
    for n in (2, 3):
        with threads(n):
            assert sweep(graph, split, **GRID).checksum == result.checksum


def test_a_sweep_that_grows_is_the_one_that_was_large_at_once(swept, tmp_path):
    graph, split, result = swept
    sweep(graph, split, out=tmp_path / "s.h5", **{**GRID, "trials": 2, "rates": [0.01, 0.5]})
    assert sweep(graph, split, out=tmp_path / "s.h5", resume=True, **GRID).checksum == result.checksum


@pytest.mark.slow
def test_the_command_takes_graphs_and_workers(tmp_path, capsys):
    random_graphs.for_fashion().save(tmp_path / "g.h5")
    common = [str(tmp_path / "g.h5"), "--dataset", "fashion-subset", "--rates", "0.01,0.2", "--trials", "2", "--quiet"]
    results = []
    for name, more in (("one", []), ("two", ["--workers", "2"])):
        assert not ber_sweep.main([*common, "--out", str(tmp_path / f"{name}.h5"), *more])
        results.append(SweepResult.load(tmp_path / f"{name}.h5"))
    assert results[0].checksum == results[1].checksum
    capsys.readouterr()
