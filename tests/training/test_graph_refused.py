"""Graphs of layers that cannot be: refused before they are trained, by an error that names the layer."""

import pytest
from graph_models import rng_of

import bnnsim.training.layers as layers
from bnnsim.training.model import Graph
from bnnsim.training.wires import Wired


def conv(k=4, **settings):
    return layers.InputConv2d(1, k, offset=settings.pop("offset", 0), generator=rng_of(0))


def wired(*nodes):
    return lambda: Graph([Wired(*node) for node in nodes], (1, 6, 6))


NORM = layers.BatchNormReal(4)
REFUSED = {
    "no nodes": (lambda: Graph([], (1, 6, 6)), ValueError, "nothing: there is none"),
    "no list": (lambda: Graph(7, (1, 6, 6)), TypeError, "nodes must be a list of Wired"),
    "no node": (lambda: Graph([layers.Add()], (1, 6, 6)), TypeError, r"nodes\[0\] must be a Wired"),
    "no layer": (wired((7, (-1,))), TypeError, r"nodes\[0\] must be a Wired of a layer"),
    "inputs are no tuple": (wired((conv(), -1)), TypeError, r"inputs of layers\[0\], InputConv2d, must be a tuple"),
    "reads itself": (wired((conv(), (-1,)), (NORM, (1,))), ValueError, r"inputs of layers\[1\].*in \[-1, 0\], got 1"),
    "reads what comes": (wired((conv(), (-1,)), (NORM, (2,)), (layers.PReLU(4), (1,))), ValueError, r"layers\[1\].*2"),
    "reads a float": (wired((conv(), (-1,)), (NORM, (0.0,))), TypeError, r"layers\[1\].*must be an integer"),
    "reads before the images": (wired((conv(), (-2,))), ValueError, r"layers\[0\].*got -2"),
    "two where one is read": (wired((conv(), (-1,)), (NORM, (0, 0))), ValueError,
                              r"layers\[1\], BatchNormReal, reads one other layer.*got 2"),
    "one to add": (wired((conv(), (-1,)), (NORM, (0,)), (layers.Add(), (1,))), ValueError,
                   r"layers\[2\], Add: the number of inputs of Add must be in \[2, 64\], got 1"),
    "nothing read": (wired((conv(), ())), ValueError, r"layers\[0\].*got 0 inputs"),
    "bits where reals are wanted": (wired((layers.Pixels(1), (-1,)), (layers.Sign(1), (0,)), (layers.PReLU(1), (1,))),
                                    ValueError, r"layers\[2\], PReLU, takes reals, but gets bits"),
    "other sizes": (wired((layers.Pixels(1), (-1,)), (layers.AveragePool2d(2), (0,)), (layers.Add(), (0, 1))),
                    ValueError, r"layers\[2\], Add: add needs maps of one shape"),
    "other heights": (wired((layers.Pixels(1), (-1,)), (layers.AveragePool2d(2), (0,)),
                            (layers.Concatenate(), (0, 1))), ValueError, r"layers\[2\], Concatenate: .*one height"),
    "other channels": (wired((layers.Pixels(1), (-1,)), (layers.PReLU(2), (0,))), ValueError, r"layers\[1\], PReLU"),
    "a window too large": (wired((layers.Pixels(1), (-1,)), (layers.AveragePool2d(7), (0,))), ValueError,
                           r"layers\[1\], AveragePool2d: average-pool of \(7, 7\)"),
    "a window of padding": (wired((layers.Pixels(1), (-1,)), (layers.AveragePool2d(2, padding=2), (0,))), ValueError,
                            r"layers\[1\], AveragePool2d: .*smaller than the size"),
    "a kernel too large": (wired((layers.Pixels(1), (-1,)), (layers.RealConv2d(1, 2, 9, generator=rng_of(0)), (0,))),
                           ValueError, r"layers\[1\], RealConv2d: .*9 x 9 kernel must fit"),
    "two offsets": (wired((conv(), (-1,)), (NORM, (0,)), (conv(offset=1), (-1,)), (layers.BatchNormReal(4), (2,)),
                          (layers.Add(), (1, 3)), (layers.GlobalAverage(), (4,))), ValueError,
                    r"one offset, got \[0, 1\]"),
    "nobody reads it": (wired((conv(), (-1,)), (NORM, (0,)), (layers.PReLU(4), (1,)), (layers.GlobalAverage(), (1,))),
                        ValueError, r"layers \[2\] are not"),
    "ends in a map": (wired((conv(), (-1,)), (NORM, (0,))), ValueError, r"must give scores.*reals \(6, 6, 4\)"),
    "ends in bits": (wired((conv(), (-1,)), (layers.BatchNormSign(4), (0,))), ValueError, "must give scores.*bits"),
    "a layer twice": (wired((conv(), (-1,)), (NORM, (0,)), (NORM, (1,)), (layers.GlobalAverage(), (2,))), ValueError,
                      r"layers\[2\], BatchNormReal, is layers\[1\] too"),
    "sums that others read": (
        wired((conv(), (-1,)), (layers.BatchNormSign(4), (0,)), (NORM, (0,)),
              (layers.Conv2d(4, 4, generator=rng_of(0)), (1,)), (layers.BatchNormReal(4), (3,)),
              (layers.Add(), (2, 4)), (layers.GlobalAverage(), (5,))), ValueError,
        r"layers\[1\], BatchNormSign, folds .*layers\[0\], InputConv2d, is read by 2: take BatchNormReal and Sign"),
    "pooled sums that others read": (
        wired((conv(), (-1,)), (layers.MaxPool2d(2), (0,)), (layers.BatchNormSign(4), (1,)), (NORM, (1,)),
              (layers.Conv2d(4, 4, generator=rng_of(0)), (2,)), (layers.BatchNormReal(4), (4,)),
              (layers.Add(), (3, 5)), (layers.GlobalAverage(), (6,))), ValueError,
        r"layers\[2\], BatchNormSign, folds .*layers\[1\], MaxPool2d, is read by 2"),
    "sums over positions": (wired((conv(10), (-1,)), (layers.SumPositions(), (0,)), (layers.BatchNorm(10), (1,))),
                            ValueError, "no packed form in a graph: take BatchNormReal and GlobalAverage")}


@pytest.mark.parametrize("name", REFUSED)
def test_a_graph_that_cannot_be_is_refused_before_it_is_trained(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()
