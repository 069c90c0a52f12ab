"""Layers of a binarized network, for training: hand-written forward and backward passes over packed words.

Every layer has

* ``forward(x)``: evaluation with running statistics; stores nothing, so threads may share a model;
* ``forward_train(x, ...) -> out, cache``: the same kernels with batch statistics; what backward needs is the cache;
* ``backward(dout, cache) -> dx, gradients``: gradients by parameter name; the first layer's dx is None;
* ``parameters``: arrays by name, updated in place by an optimizer; ``output_shape(shape)``, which also checks;
* ``takes`` and ``gives``: "pixels", "pre-activations", "bits" or "scores"; neighbours must agree.

Shapes exclude the batch: (C, H, W) for images, (H, W, C) for conv activations, (F,) for dense ones.
"""

from bnnsim.training.layers.batchnorm import BatchNorm, BatchNormSign, Logits
from bnnsim.training.layers.conv import Conv2d, InputConv2d
from bnnsim.training.layers.dense import Dense, InputDense
from bnnsim.training.layers.pool import Flatten, MaxPool2d

__all__ = ["BatchNorm", "BatchNormSign", "Conv2d", "Dense", "Flatten", "InputConv2d", "InputDense", "Logits",
           "MaxPool2d"]
