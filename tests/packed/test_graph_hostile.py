"""Packed graphs that cannot be, or that ask for too much: an error that names the node; their files too."""

import time
import tracemalloc

import graph_models
import h5py
import naive
import numpy as np
import pytest
import random_graphs
from test_operations import reals

import bnnsim.packed.operations.joins as joins
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import save_network
from bnnsim.packed.operations import (Add, Affine, AveragePool, Clip, Concatenate, GlobalAverage, LargestPool, Pixels,
                                      PReLU, RealConv, RealDense, Sign)
from bnnsim.training.packing import pack

RNG = np.random.default_rng(0)
SHAPE = (2, 6, 6)


def f(*values):
    return np.array(values, np.float32)


def conv(n_in=2, units=3, kernel=(3, 3), ending="threshold", **settings):
    words = naive.pack(np.random.default_rng(1).choice([-1, 1], (units, *kernel, n_in)))
    ends = {"threshold": {"threshold": np.zeros(units, np.int32), "inverted": np.zeros(units, bool)}, "sums": {},
            "scores": {name: np.zeros(units) for name in ("mean", "scale", "shift")}}
    return PackedLayer("conv", n_in, words, **settings, **ends[ending])


def dense(n_in, units=5, ending="sums"):
    words = naive.pack(np.random.default_rng(1).choice([-1, 1], (units, n_in)))
    ends = {"sums": {}, "scores": {name: np.zeros(units) for name in ("mean", "scale", "shift")},
            "threshold": {"threshold": np.zeros(units, np.int32), "inverted": np.zeros(units, bool)}}
    return PackedLayer("dense", n_in, words, **ends[ending])


def ones(n):
    return np.ones(n, np.float32)


def affine(n):
    return Affine(ones(n), ones(n))


def real_conv(*shape, **settings):
    return RealConv(np.ones(shape, np.float32), ones(shape[0]), **settings)


PIX, BITS = (Pixels(ones(2), ones(2)), (-1,)), (dense(72), (-1,))
END = [(affine(5), (0,)), (RealDense(reals(RNG, 5, 5), ones(5)), (1,))]


def nodes(*rows):
    return [Node(*row) for row in rows]


# name: (nodes, error, part of the message), on images of 2 channels and 6 x 6
BAD = {
    "a tuple's word": ("graph", TypeError, "nodes must be a list of Node, got str"),
    "none": ([], ValueError, r"number of nodes must be in \[1, 1000\], got 0"),
    "no node": ([7], TypeError, r"nodes\[0\] must be a Node of a PackedLayer or an Operation, got 7"),
    "a class": (nodes((Add, (0,))), TypeError, r"nodes\[0\] must be a Node"),
    "too many": (nodes(*[(affine(2), (i - 1,)) for i in range(1001)]), ValueError, r"must be in \[1, 1000\], got 1001"),
    "inputs no tuple": (nodes((dense(72), -1)), ValueError, r"nodes\[0\] inputs must be numbers of nodes before it"),
    "no inputs": (nodes((dense(72), ())), ValueError, r"nodes\[0\] inputs must be numbers"),
    "itself": (nodes(BITS, (affine(5), (1,))), ValueError, r"nodes\[1\] inputs\[0\] must be in \[-1, 0\], got 1"),
    "what comes": (nodes(BITS, (affine(5), (2,)), (affine(5), (1,))), ValueError, r"nodes\[1\] inputs\[0\].*got 2"),
    "a circle": (nodes((affine(5), (1,)), (affine(5), (0,))), ValueError, r"nodes\[0\] inputs\[0\].*\[-1, -1\], got 1"),
    "before the images": (nodes((dense(72), (-2,))), ValueError, r"nodes\[0\] inputs\[0\].*got -2"),
    "a fraction": (nodes(BITS, (affine(5), (0.0,))), TypeError, r"nodes\[1\] inputs\[0\] must be an integer"),
    "a boolean": (nodes(BITS, (affine(5), (False,))), TypeError, r"nodes\[1\] inputs\[0\] must be an integer"),
    "a far number": (nodes(BITS, (affine(5), (2**70,))), ValueError, r"nodes\[1\] inputs\[0\]"),
    "two for one": (nodes(PIX, (affine(2), (0, 0))), ValueError, r"nodes\[1\]: .*inputs of affine must be in \[1, 1\]"),
    "two for bits": (nodes((conv(), (-1, -1))), ValueError, r"nodes\[0\]: .*inputs of a layer of bits"),
    "one to add": (nodes(PIX, (Add(), (0,))), ValueError, r"nodes\[1\]: .*inputs of add must be in \[2, 64\], got 1"),
    "1,000 to add": (nodes(PIX, (Add(), (0,) * 1000)), ValueError, r"nodes\[1\]: .*\[2, 64\], got 1000"),
    "pixels for reals": (nodes((affine(2), (-1,))), ValueError, r"nodes\[0\]: affine reads .*reals, got pixels"),
    "reals for pixels": (nodes(PIX, (PIX[0], (0,))), ValueError, r"nodes\[1\]: pixels reads pixels, got reals"),
    "reals for bits": (nodes(PIX, (conv(), (0,))), ValueError, r"nodes\[1\]: a layer of bits reads.*put a sign before"),
    "bits for reals": (nodes((conv(), (-1,)), (PReLU(ones(3)), (0,))), ValueError, r"nodes\[1\]: prelu reads reals"),
    "bits for a pool": (nodes((conv(), (-1,)), (LargestPool((2, 2), (2, 2)), (0,))), ValueError,
                        r"nodes\[1\]: max-pool reads integers or reals, got bits"),
    "integers for bits": (nodes((conv(ending="sums"), (-1,)), (conv(3), (0,))), ValueError, r"nodes\[1\]: .*integers"),
    "integers to add": (nodes((conv(ending="sums"), (-1,)), (Add(), (0, 0))), ValueError,
                        r"nodes\[1\]: add reads reals"),
    "scores inside": (nodes((dense(72, ending="scores"), (-1,)), (affine(5), (0,))), ValueError,
                      r"nodes\[0\]: mean, scale and shift of scores are those of .* the last node"),
    "a pool of sums": (nodes((conv(ending="sums", pool=2), (-1,))), ValueError, r"nodes\[0\]: .*must not have a pool"),
    "other features": (nodes((dense(71), (-1,))), ValueError, r"nodes\[0\] n_in must be 72"),
    "a conv of rows": (nodes((dense(72, ending="threshold"), (-1,)), (conv(5), (0,))), ValueError,
                       r"nodes\[1\] is conv behind a dense layer"),
    "groups that do not part": (nodes((conv(1, 3, groups=2), (-1,))), ValueError, r"nodes\[0\]: 2 groups must part"),
    "ends in bits": (nodes((dense(72, ending="threshold"), (-1,))), ValueError, r"last node.*it gives bits \(5,\)"),
    "ends in a map": (nodes(PIX), ValueError, r"last node must give scores.*reals \(6, 6, 2\)"),
    "ends in integers": (nodes(BITS), ValueError, r"it gives integers \(5,\)"),
    "unread": (nodes(BITS, (affine(5), (0,)), (affine(5), (0,))), ValueError, r"nodes \[1\] are not"),
    "no bits": (nodes(PIX, (GlobalAverage(), (0,))), ValueError, "a graph must have a layer of bits"),
    "other shapes": (nodes(PIX, (AveragePool((2, 2), (2, 2)), (0,)), (Add(), (0, 1))), ValueError,
                     r"nodes\[2\]: add needs maps of one shape, got \(6, 6, 2\), \(3, 3, 2\)"),
    "other heights": (nodes(PIX, (AveragePool((2, 1), (2, 1)), (0,)), (Concatenate(), (0, 1))), ValueError,
                      r"nodes\[2\]: concatenate needs maps of one height and width"),
    "a row beside a map": (nodes(PIX, (GlobalAverage(), (0,)), (Concatenate(), (0, 1))), ValueError, r"nodes\[2\]"),
    "other channels": (nodes(PIX, (affine(3), (0,))), ValueError, r"nodes\[1\]: affine of \(6, 6, 2\) needs 2 of each"),
    "unequal constants": (nodes(PIX, (Affine(ones(2), ones(3)), (0,))), ValueError, r"nodes\[1\]: .*'shift': 3"),
    "a constant of two axes": (nodes(PIX, (PReLU(np.ones((2, 1), np.float32)), (0,))), ValueError,
                               r"nodes\[1\] slope must have shape \(any\)"),
    "an empty constant": (nodes(PIX, (PReLU(ones(0)), (0,))), ValueError, r"nodes\[1\] slope must not be empty"),
    "a list of constants": (nodes(PIX, (PReLU([1.0, 2.0]), (0,))), TypeError, r"nodes\[1\] slope must be a NumPy"),
    "two bounds": (nodes(PIX, (Clip(ones(2), ones(2)), (0,))), ValueError, r"nodes\[1\]: clip needs one low and one"),
    "a sign of three": (nodes(PIX, (Sign(ones(3)), (0,))), ValueError, r"nodes\[1\]: sign of"),
    "an average of rows": (nodes(BITS, (affine(5), (0,)), (GlobalAverage(), (1,))), ValueError, r"nodes\[2\]: global"),
    "a window too large": (nodes(PIX, (AveragePool((7, 1), (1, 1)), (0,))), ValueError, r"nodes\[1\]: average-pool of"),
    "a window of 65,535": (nodes(PIX, (AveragePool((65_535, 65_535), (1, 1), (65_534,) * 4), (0,))), ValueError,
                           r"nodes\[1\]: average-pool: the number of its windows times that of their entries"),
    "a window of 70,000": (nodes(PIX, (AveragePool((70_000, 1), (1, 1)), (0,))), ValueError,
                           r"nodes\[1\] size\[0\] must be in \[1, 65536\]"),
    "a largest of 16": (nodes(PIX, (LargestPool((16, 1), (1, 1), (15, 0, 15, 0)), (0,))), ValueError,
                        r"nodes\[1\]: max-pool: the size must be at most 15 x 15"),
    "no stride": (nodes(PIX, (AveragePool((2, 2), (0, 1)), (0,))), ValueError, r"nodes\[1\] stride\[0\] must be"),
    "a padding of less": (nodes(PIX, (AveragePool((2, 2), (1, 1), (0, -1, 0, 0)), (0,))), ValueError,
                          r"nodes\[1\] padding\[1\]"),
    "a window of padding": (nodes(PIX, (AveragePool((2, 2), (1, 1), (2, 0, 0, 0)), (0,))), ValueError,
                            r"nodes\[1\]: average-pool: padding must be smaller than the size"),
    "whole of two": (nodes(PIX, (AveragePool((2, 2), (1, 1), (0,) * 4, 2), (0,))), ValueError,
                     r"nodes\[1\] whole must be in \[0, 1\], got 2"),
    "three of a pair": (nodes(PIX, (AveragePool((2, 2, 2), (1, 1)), (0,))), ValueError, r"nodes\[1\] size must be"),
    "weights of three axes": (nodes(PIX, (RealConv(np.ones((2, 3, 2), np.float32), ones(2)), (0,))), ValueError,
                              r"nodes\[1\] weight must have shape \(any, any, any, any\), got \(2, 3, 2\)"),
    "weights of other channels": (nodes(PIX, (real_conv(2, 1, 1, 3), (0,))), ValueError, r"nodes\[1\]: real-conv of"),
    "real groups that do not part": (nodes(PIX, (real_conv(3, 1, 1, 1, groups=2), (0,))), ValueError,
                                     r"nodes\[1\]: real-conv of 2 groups of 1 channels to 3 cannot read"),
    "no groups": (nodes(PIX, (real_conv(2, 1, 1, 2, groups=0), (0,))), ValueError, r"nodes\[1\] groups must be in \[1"),
    "another bias": (nodes(PIX, (RealConv(np.ones((2, 1, 1, 2), np.float32), ones(3)), (0,))), ValueError,
                     r"nodes\[1\]: real-conv of 2 units needs a bias of each, got 3"),
    "a kernel too large": (nodes(PIX, (real_conv(2, 7, 1, 2), (0,))), ValueError,
                           r"nodes\[1\]: .*7 x 1 kernel must fit"),
    "a dilation too large": (nodes(PIX, (real_conv(2, 2, 2, 2, dilation=(6, 1)), (0,))), ValueError,
                             r"nodes\[1\]: real"),
    "a far padding": (nodes(PIX, (real_conv(2, 1, 1, 2, padding=(65_536,) * 4), (0,))), ValueError,
                      r"nodes\[1\]: the number of values of its output must be"),
    "too much to multiply": (nodes(PIX, (real_conv(999, 32, 32, 2, padding=(140,) * 4), (0,))), ValueError,
                             r"real-valued multiply-accumulates of nodes up to \[1\] must be"),
    "2^40 to multiply": (nodes(PIX, (real_conv(2, 256, 256, 2, padding=(1400,) * 4), (0,))), ValueError,
                         r"multiply-accumulates of nodes up to \[1\]"),
    "twice as wide, and again": (nodes(PIX, *[(Concatenate(), (i, i)) for i in range(30)]), ValueError,
                                 r"nodes\[20\]: the number of values of its output"),
    "64 times as wide": (nodes(PIX, *[(Concatenate(), (i,) * 64) for i in range(9)]), ValueError,
                         r"nodes\[4\]: the number of values of its output"),
    "1,000 large maps": (nodes((Pixels(ones(2), ones(2)), (-1,)), (AveragePool((2, 2), (1, 1), (1,) * 4), (0,)),
                               (real_conv(1000, 1, 1, 2, padding=(125,) * 4), (1,)),
                               *[(affine(1000), (i,)) for i in range(2, 9)]), ValueError,
                         r"the number of values of nodes up to \[6\] together must be"),
    "features of another map": (nodes(PIX, (RealDense(np.ones((5, 71), np.float32), ones(5)), (0,))), ValueError,
                                r"nodes\[1\]: real-dense of 71 features cannot read \(6, 6, 2\)"),
    "dense of another bias": (nodes(PIX, (RealDense(np.ones((5, 72), np.float32), ones(4)), (0,))), ValueError,
                              r"nodes\[1\]: real-dense of 5 units needs a bias of each, got 4")}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_graph_is_refused_and_says_which_node(name):
    given, error, message = BAD[name]
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(error, match=message):
        PackedGraph(given, SHAPE)
    assert tracemalloc.get_traced_memory()[1] < 2**25 and time.process_time() - started < 5
    tracemalloc.stop()


@pytest.mark.tiny
def test_the_table_starts_from_what_is_right():
    assert PackedGraph(nodes(BITS, *END), SHAPE).n_classes == 5
    assert PackedGraph(nodes(PIX, BITS, (affine(5), (1,)), (GlobalAverage(), (0,)), (Concatenate(), (2, 3))),
                       SHAPE).n_classes == 7


def test_settings_may_be_given_as_layers_take_them():
    """One integer for a pair or for four sides, lists, NumPy's integers: the same graph, to the checksum."""
    def graph(pool, weighted):
        return PackedGraph(nodes(PIX, (pool, (0,)), (weighted, (1,)), (Sign(ones(2)), (2,)),
                                 (dense(8, ending="scores"), (3,))), SHAPE)

    plain = graph(AveragePool((2, 2), (2, 2)), real_conv(2, 2, 2, 2, padding=(0, 0, 0, 0)))
    for pool, weighted in ((AveragePool(2, 2, 0), real_conv(2, 2, 2, 2, stride=1, padding=0)),
                           (AveragePool([2, 2], np.int64(2)), real_conv(2, 2, 2, 2, stride=[1, 1], padding=(0, 0)))):
        other = graph(pool, weighted)
        images = random_graphs.images(other)
        assert other.checksum == plain.checksum
        np.testing.assert_array_equal(other.scores(images), plain.scores(images))


@pytest.mark.parametrize("offset", [-1, 256, 0.5, None])
def test_a_bad_offset_is_refused(offset):
    with pytest.raises((ValueError, TypeError), match="input_offset must be"):
        PackedGraph(nodes(BITS, *END), SHAPE, offset)


# ---------------------------------------------------------------- files

def attribute(place, name, value):
    def change(file):
        del file[place].attrs[name]
        if value is not None:
            file[place].attrs[name] = value
    return change


def array(name, value, dtype=np.float32):
    def change(file):
        del file[name]
        file[name] = np.asarray(value, dtype)
    return change


def without(name):
    return lambda file: file.__delitem__(name)


def group(name):
    return lambda file: file.create_group(name)


# node 0 of the file is a convolution on pixels, 1 an affine map, 2 a sign, 3 a convolution
FILES = {
    "no nodes": (attribute("/", "n_nodes", np.int64(0)), r"n_nodes must be in \[1, 1000\], got 0"),
    "2^40 nodes": (attribute("/", "n_nodes", np.int64(2**40)), "n_nodes must be in"),
    "fewer nodes": (attribute("/", "n_nodes", np.int64(3)), "unknown|exactly"),
    "a node more": (group("node99"), "node99"),
    "a node less": (without("node3"), "node3"),
    "a node that is an array": (lambda file: (file.__delitem__("node1"), file.create_dataset("node1", data=1)),
                                "wanted node1 to be a group|node1"),
    "no inputs": (attribute("node1", "inputs", None), r"node1: wanted an attribute inputs of 1 to 64 integers"),
    "1,000 inputs": (attribute("node1", "inputs", np.zeros(1000, int)), "attribute inputs of /node1 has 8000 bytes"),
    "65 inputs": (attribute("node1", "inputs", np.zeros(65, np.int64)), "node1: wanted an attribute inputs"),
    "inputs of two axes": (attribute("node1", "inputs", np.zeros((1, 1), int)), "node1: wanted an attribute inputs"),
    "an input that comes": (attribute("node1", "inputs", np.array([7])), r"nodes\[1\] inputs\[0\]"),
    "float inputs": (attribute("node1", "inputs", np.zeros(1)), "inputs"),
    "an unknown operation": (attribute("node1", "operation", np.bytes_("exec")), "node1: operation must be one of"),
    "another operation": (attribute("node1", "operation", np.bytes_("prelu")), "node1"),
    "no operation": (attribute("node1", "operation", None), "node1"),
    "a setting of an operation that has none": (
        lambda file: file["node1"].attrs.__setitem__("stride", np.array([1, 1])), "node1"),
    "an array less": (without("node1/scale"), "node1.*scale"),
    "an array more": (lambda file: file.create_dataset("node1/more", data=np.ones(3, np.float32)), "node1.*more"),
    "float64": (lambda file: array("node1/scale", file["node1/scale"][()], np.float64)(file), "scale"),
    "no number": (lambda file: array("node1/scale", file["node1/scale"][()] * np.nan)(file),
                  r"nodes\[1\] scale must be finite, got nan"),
    "infinite": (array("node1/shift", [1, np.inf, 1, 1, 1]), r"nodes\[1\] shift must be finite, got inf at index"),
    "fewer channels": (lambda file: array("node1/scale", file["node1/scale"][:-1])(file), r"nodes\[1\]: affine"),
    "thresholds of less": (lambda file: array("node3/words", file["node3/words"][:-1], np.uint64)(file),
                           r"nodes\[|checksum"),
    "layers, not nodes": (lambda file: file.move("node1", "layer1"), "node1|layer1")}


@pytest.fixture
def path(tmp_path):
    pack(graph_models.residual()).save(tmp_path / "g.h5")
    return tmp_path / "g.h5"


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused(name, path):
    change, message = FILES[name]
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(ValueError, match=message) as caught:
        PackedNetwork.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("node, name", [(1, "scale"), (1, "shift"), (2, "threshold")])
def test_a_last_bit_is_noticed(node, name, path):
    with h5py.File(path, "r+") as file:
        value = file[f"node{node}/{name}"]
        value[0] = np.nextafter(value[0], np.float32(9))
    with pytest.raises(ValueError, match="checksum"):
        PackedNetwork.load(path)


def test_what_is_not_finite_is_not_saved(tmp_path):
    """A file that could not be read back is not written; in memory faults may leave such numbers."""
    graph = PackedGraph(nodes(BITS, (Affine(f(1, 1, np.inf, 1, 1), ones(5)), (0,)), END[1]), SHAPE)
    assert np.isinf(graph.scores(random_graphs.images(graph))).any()
    for save in (graph.save, lambda path: save_network(path, graph._fields())):
        with pytest.raises(ValueError, match=r"nodes\[1\] scale must be finite, got inf at index \(2,\)"):
            save(tmp_path / "g.h5")
    assert not (tmp_path / "g.h5").exists()


def test_as_many_inputs_as_files_may_have(tmp_path):
    n = joins.MOST_INPUTS
    graph = PackedGraph(nodes(BITS, (affine(5), (0,)), (Add(), (1,) * n)), SHAPE)
    graph.save(tmp_path / "g.h5")
    images = random_graphs.images(graph)
    np.testing.assert_array_equal(PackedNetwork.load(tmp_path / "g.h5").scores(images), graph.scores(images))
