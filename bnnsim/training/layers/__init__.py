"""Layers of a binarized network, for training: hand-written forward and backward passes over packed words.

What a layer is asked stands in `layers.layer.Layer`, method by method. `Dense` and the convolutions are
`weighted.Weighted` (latent weights, and the bits that a memory stores of them), the batch norms are `batchnorm.Norm`.

To add a kind: one class that says `Layer`, `Weighted` or `Norm` is its base and does what the protocol asks; its name
below; its rows in tests/training/test_layers.py, against `naive`. `Sequential`, `fit`, checkpoints and `pack` ask the
layer, and need no line; a packed layer of another kind than dense and conv is `packed.layer`'s.
"""

from bnnsim.packed.settings import same_padding
from bnnsim.training.layers.batchnorm import BatchNorm, BatchNormSign, Logits, Norm
from bnnsim.training.layers.batchnorm_real import BatchNormReal
from bnnsim.training.layers.conv import Conv2d, InputConv2d
from bnnsim.training.layers.dense import Dense, InputDense
from bnnsim.training.layers.joins import Add, Concatenate
from bnnsim.training.layers.latent_conv import LatentConv2d
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.pool import Flatten, MaxPool2d, SumPositions
from bnnsim.training.layers.real import AsReals, HardTanh, Pixels, PReLU, RealLayer, ReLU, ScaleShift, Sign
from bnnsim.training.layers.real_pools import AveragePool2d, BlurPool2d, GlobalAverage, RealMaxPool2d
from bnnsim.training.layers.real_weights import RealConv2d, RealDense
from bnnsim.training.layers.ternary import InputTwice, Ternary, Twice
from bnnsim.training.layers.weighted import Weighted

__all__ = ["Add", "AsReals", "AveragePool2d", "BatchNorm", "BatchNormReal", "BatchNormSign", "BlurPool2d",
           "Concatenate", "Conv2d", "Dense", "Flatten", "GlobalAverage", "HardTanh", "InputConv2d", "InputDense",
           "InputTwice", "LatentConv2d", "Layer", "Logits", "MaxPool2d", "Norm", "PReLU", "Pixels", "ReLU",
           "RealConv2d", "RealDense", "RealLayer", "RealMaxPool2d", "ScaleShift", "Sign", "SumPositions", "Ternary",
           "Twice", "Weighted", "same_padding"]
