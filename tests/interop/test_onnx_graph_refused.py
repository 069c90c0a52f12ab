"""ONNX graphs with branches that are refused by their node's name, or have parts that nothing reads."""

import foreign_graphs as graphs
import foreign_onnx
import numpy as np
import pytest
from test_onnx_graph import SHAPE, both_ways, check, framed, n, read


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def two(g, h):
    """A branch, so that no chain is tried, and what its nodes are called."""
    return g.add(h, h)


def behind(*nodes):
    """Nodes (op, inputs, attributes) between the sums h and the average; an input is "h", "last" or an array."""
    def middle(g, h):
        last = two(g, h)
        for op, inputs, attributes in nodes:
            names = [{"h": h, "last": last}[i] if isinstance(i, str) else g.constant(i) for i in inputs]
            last = n(g, op, names, **attributes)
        return last
    return middle


ONE, COLUMN = np.ones(1), np.arange(6.0).reshape(1, 1, 6, 1)
BITS = ("Sign", ["h"], {})
WEIGHTS = ("Conv", ["last", np.ones((3, 3, 1, 1))], {})
REFUSED = {
    "unknown": (behind(("Softplus", ["last"], {})), "my_Softplus .Softplus. is not represented; known are"),
    "a product": (behind(("Mul", ["last", "h"], {})), "my_Mul .Mul. computes with two maps"),
    "signs as numbers": (behind(BITS, ("Add", ["last", "h"], {})), "my_Add .Add. computes with signs .my_Sign"),
    "pooled signs": (behind(BITS, ("AveragePool", ["last"], {"kernel_shape": [2, 2]})), "my_AveragePool .* with signs"),
    "turned signs": (behind(BITS, ("Neg", ["last"], {}), ("MaxPool", ["last"], {"kernel_shape": [2, 2]})),
                     "pools signs that are turned over"),
    "signs beside numbers": (behind(BITS, ("Concat", ["last", "h"], {"axis": 1})), "my_Concat .* puts signs beside"),
    "along rows": (behind(("Concat", ["last", "h"], {"axis": 2})), "my_Concat .Concat. joins .* along axis 2"),
    "by position": (behind(("Mul", ["last", COLUMN], {})), "my_Mul .Mul.: a constant .* from position to position"),
    "wide": (behind(("Mul", ["last", np.ones((2, 3, 6, 6))], {})), r"my_Mul .Mul.: a constant of shape \(2, 3"),
    "scaled signs": (behind(BITS, ("Mul", ["last", np.arange(1.0, 4).reshape(3, 1, 1)], {})), "my_Mul .* scales signs "
                     "by 3 numbers"),
    "division": (behind(("Div", [ONE, "last"], {})), "my_Div .Div. divides by the data"),
    "binary weights on numbers": (behind(("Conv", ["last", np.ones((3, 3, 1, 1))], {})), "my_Conv .Conv. has weights "
                                  "of one bit, and reads numbers of Add_t1"),
    "real weights on signs": (behind(BITS, ("Conv", ["last", np.arange(9.0).reshape(3, 3, 1, 1)], {})), "my_Conv .Conv"
                              ".: weights must hold only"),
    "padding of numbers": (behind(("Pad", ["last", np.array([0, 0, 1, 1, 0, 0, 1, 1])], {"mode": "edge"}),
                                  ("Conv", ["last", np.arange(9.0).reshape(3, 3, 1, 1)], {})), "pads numbers with the"),
    "a padded sum": (behind(("Pad", ["last", np.array([0, 0, 1, 1, 0, 0, 1, 1])], {}), ("Relu", ["last"], {})),
                     "my_Relu .Relu. reads a padded map"),
    "a sign of relu": (behind(("Relu", ["last"], {}), ("Sign", ["last"], {}), WEIGHTS), "is the sign of my_Relu"),
    "a sign of 0": (behind(("Sign", ["last"], {}), WEIGHTS), "my_Sign .Sign.: the sign of 0 is 0 in this network, no "
                    "bit, and what it reads is often 0: say"),
    "tanh": (behind(("Tanh", ["last"], {})), "my_Tanh .Tanh. is not represented but before a sign"),
    "softmax": (behind(("Softmax", ["last"], {}), ("Relu", ["last"], {})), "my_Relu .Relu. stands behind my_Softmax"),
    "turned axes": (behind(("Transpose", ["last"], {"perm": [0, 3, 2, 1]})), "my_Transpose .* turns the axes"),
    "rows": (behind(("Reshape", ["last", np.array([1, 6, 18])], {})), r"my_Reshape .* makes \(6, 18\) of \(3, 6, 6\)"),
    "cast": (behind(("Cast", ["last"], {"to": 7})), "my_Cast .Cast. makes other numbers"),
    "a condition": (behind(("Where", ["last", ONE, -ONE], {})), "my_Where .* reads numbers, or signs, as a condition"),
    "parts": (behind(("Slice", ["last", np.array([1]), np.array([9]), np.array([2]), np.array([2])], {})),
              "my_Slice .Slice. cuts 1:9:2 out of axis 2"),
    "one axis": (behind(("ReduceMean", ["last"], {"axes": [2]})), r"my_ReduceMean .* adds up axes \[2\]"),
    "clip": (behind(("Clip", ["last", ONE, ONE], {})), "my_Clip .Clip. clips to 1..1"),
    "slopes": (behind(("PRelu", ["last", np.ones((4, 1, 1))], {})), r"my_PRelu .PRelu.: a constant of shape \(4"),
    "a kernel too large": (behind(("AveragePool", ["last"], {"kernel_shape": [9, 9]})), "my_AveragePool .*kernel of 9"),
    "overhang": (behind(("AveragePool", ["last"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1],
                                                   "ceil_mode": 1, "count_include_pad": 1})), "reach past it"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_by_its_name(tmp_path, rng, name):
    middle, message = REFUSED[name]
    g, _ = framed(rng, middle)
    for key, value in g.constants.items():
        if value.ndim == 1 and (value.size in (3, 8) or message.startswith("my_Slice")):      # shapes and pads
            g.constants[key] = value.astype(np.int64)
    with pytest.raises(ValueError, match=f"x.onnx: .*{message}"):
        read(tmp_path, g.file(g.output))


def test_several_inputs_and_outputs_are_refused(tmp_path, rng):
    g, _ = framed(rng, both_ways)
    with pytest.raises(ValueError, match="the graph gives nowhere: wanted one output"):
        read(tmp_path, g.file("nowhere"))
    with pytest.raises(ValueError, match="gives a map .6, 6, 3.: a pool or a dense layer must make scores"):
        read(tmp_path, g.file("t4"))
    g.nodes.append(foreign_onnx.node("Add", [g.output, "nothing"], "z"))
    with pytest.raises(ValueError, match="Add_z .Add. reads nothing, which no node before it gives"):
        read(tmp_path, g.file("z"))


def test_a_graph_without_a_layer_of_bits_is_refused(tmp_path, rng):
    images = rng.integers(0, 256, (4, *SHAPE), np.uint8)
    g = graphs.Graph(images)
    x = g.relu(g.conv("x", rng.normal(0, 1, (3, 2, 3, 3))))
    g.output = g.flatten(g.mean(g.add(x, x)))
    with pytest.raises(ValueError, match="nothing would be in the memory"):
        read(tmp_path, g.file(g.output))


def test_what_the_scores_do_not_read_is_not_looked_at(tmp_path, rng):
    """A head that training alone uses."""
    g, images = framed(rng, both_ways)
    g.nodes.append(foreign_onnx.node("Softplus", ["t1"], "aside"))
    check(tmp_path, g, images)
