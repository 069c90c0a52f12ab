"""The papers' networks, and a builder from a short list such as "C64 MP2 C64 MP2 FC2048 FC10".

Those that are graphs are made in `graph_architectures`, and are at hand here.

Kernel 3 x 3, stride 1, zero padding 1 and no bias unless said otherwise; a conv block is conv, max-pool, batch norm,
sign [V/C: Buschjaeger et al. 2020, section V and the authors' code].
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bnnsim.checks import check_bool, check_choice
from bnnsim.packed.forward import Pair
from bnnsim.packed.schema import check_input_shape
from bnnsim.packed.settings import check_setting, same_padding
from bnnsim.seeding import RandomSource, generator, root_seed
from bnnsim.training.estimators import Estimator
from bnnsim.training.graph_architectures import (binary_densenet_small, bireal_resnet18, bnn_resnet20, quicknet_small,
                                                 reactnet_small)
from bnnsim.training.layers import (BatchNorm, BatchNormSign, Conv2d, Dense, Flatten, InputConv2d, InputDense, Layer,
                                    Logits, MaxPool2d, SumPositions)
from bnnsim.training.model import Graph, Sequential
from bnnsim.training.spec_words import Token, parse_spec

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

__all__ = ["ARCHITECTURES", "binary_densenet_small", "bireal_resnet18", "bnn_resnet20", "build", "cifar10_cnn",
           "fashion_cnn", "fashion_fcnn", "make_model", "mnist_mlp", "quicknet_small", "reactnet_small"]


def _conv(token: Token, shape: tuple[int, ...], first: bool, offset: int, stream: np.random.Generator) -> Layer:
    if len(shape) != 3:
        raise ValueError(f"C{token['channels']} cannot follow an FC")
    kernel = token.get("kernel", 3)
    names = [name for name in ("stride", "pad_value", "dilation", "groups") if name in token]
    settings: dict[str, Any] = {name: token[name] for name in names}
    settings["padding"] = _padding(token, shape[1:] if first else shape[:2], check_setting("kernel", kernel, 2, 1), 1)
    if first:
        return InputConv2d(shape[0], token["channels"], kernel, **settings, offset=offset, generator=stream)
    return Conv2d(shape[2], token["channels"], kernel, **settings, generator=stream)


def _pool(token: Token, shape: tuple[int, ...]) -> MaxPool2d:
    size = check_setting("MP", token["pool"], 2, 1)
    stride = token.get("stride", size)
    return MaxPool2d(size, stride, _padding({"stride": size, **token}, shape[:2], size, 0))


def _padding(token: Token, sizes: tuple[int, ...], kernel: Pair, default: int) -> int | tuple[int, ...]:
    """As layers take it: "same" in numbers, for a map (H, W)."""
    given = token.get("padding", default)
    if given != "same":
        return 0 if given == "valid" else given
    stride, dilation = (check_setting(name, token.get(name, 1), 2, 1) for name in ("stride", "dilation"))
    return same_padding(sizes, kernel, stride, dilation)


def _dense(token: Token, shape: tuple[int, ...], first: bool, offset: int, stream: np.random.Generator) -> list[Layer]:
    units = token["units"]
    if first:
        return [InputDense(shape, units, offset, stream)]
    return [*([Flatten(shape[2])] if len(shape) == 3 else []), Dense(math.prod(shape), units, stream)]


def build(spec: str, input_shape: tuple[int, int, int], input_offset: int = 0, output_norm: bool = True,
          rng: RandomSource = None, ste: str | Estimator = "clipped") -> Sequential:
    """A network from a short list.

    Parameters
    ----------
    spec : str
        Words C<channels>, MP<size> (behind a C) and FC<units>; the last FC gives the scores, or SUM behind the last C.
        C64k5s2p2 is a 5 x 5 kernel with stride 2 and padding 2; C64k1x7p0x3 has other rows than columns, C64same keeps
        sizes, C64d2 has a dilation, C64g8 groups, C64rep repeats the border, MP3s2p1 is a pool whose windows overlap:
        see `bnnsim.training.spec_words`.
    input_shape : (C, H, W)
    input_offset : int
        Subtracted from the uint8 pixels, 0..255.
    output_norm : bool
        Batch norm behind the last layer; False leaves integer logits.
    rng : None, int, SeedSequence or Generator
    ste : "clipped", "identity", "approx", "swish", or an Estimator
        Straight-through estimator of the signs: see `bnnsim.estimators`.

    Returns
    -------
    Sequential

    Examples
    --------
    >>> build("C8 MP2 FC16 FC10", (1, 28, 28), rng=0).shapes[-1]
    (10,)
    """
    tokens, root, output_norm = parse_spec(spec), root_seed(rng), check_bool("output_norm", output_norm)
    layers: list[Layer] = []
    shape: tuple[int, ...] = check_input_shape(input_shape)
    for i, (token, after) in enumerate(zip(tokens, [*tokens[1:], {}])):
        if "pool" in token or "sum" in token:
            continue                                            # added with its convolution, before the batch norm
        stream = generator(root, "initial weights", i)
        block = [_conv(token, shape, i == 0, input_offset, stream)] if "channels" in token else \
            _dense(token, shape, i == 0, input_offset, stream)
        if "pool" in after:
            block.append(_pool(after, block[-1].output_shape(shape)))
        elif "sum" in after:
            block.append(SumPositions())
        for layer in block:
            shape = layer.output_shape(shape)
        layers += [*block, BatchNormSign(shape[-1], ste=ste)] if after and "sum" not in after else block
    layers.append(BatchNorm(shape[0]) if output_norm else Logits(shape[0]))
    return Sequential(layers, input_shape)


def fashion_fcnn(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped",
                 input_offset: int = 0) -> Sequential:
    """FC2048 FC2048 FC10 for Fashion-MNIST, 5.8 M binary weights [V: Buschjaeger et al. 2020, section V]."""
    return build("FC2048 FC2048 FC10", (1, 28, 28), input_offset, output_norm, rng, ste)


def fashion_cnn(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped",
                input_offset: int = 0) -> Sequential:
    """C64 MP2 C64 MP2 FC2048 FC2048 FC10 for Fashion-MNIST [V: Buschjaeger et al. 2020, section V]."""
    return build("C64 MP2 C64 MP2 FC2048 FC2048 FC10", (1, 28, 28), input_offset, output_norm, rng, ste)


def cifar10_cnn(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped",
                input_offset: int = 128) -> Sequential:
    """C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10 for CIFAR-10 [V: Buschjaeger et al. 2020].

    Pixels enter as u - 128, half a level off the paper's [-1, 1].
    """
    spec = "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10"
    return build(spec, (3, 32, 32), input_offset, output_norm, rng, ste)


def mnist_mlp(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped",
              input_offset: int = 0) -> Sequential:
    """FC1024 FC1024 FC10 for MNIST: two hidden layers of 1024 [M: recalled of Hirtzlin et al. 2019, not verified]."""
    return build("FC1024 FC1024 FC10", (1, 28, 28), input_offset, output_norm, rng, ste)


# By the words of the command line; in Python they are functions.
IN_A_ROW: dict[str, Callable[..., Sequential]] = {
    "fashion_fcnn": fashion_fcnn, "fashion_cnn": fashion_cnn, "cifar10_cnn": cifar10_cnn, "mnist_mlp": mnist_mlp}
GRAPHS: dict[str, Callable[..., Graph]] = {
    "bireal_resnet18": bireal_resnet18, "bnn_resnet20": bnn_resnet20, "reactnet_small": reactnet_small,
    "quicknet_small": quicknet_small, "binary_densenet_small": binary_densenet_small}
ARCHITECTURES: dict[str, Callable[..., Graph]] = {**IN_A_ROW, **GRAPHS}


def make_model(name: str, train: "LabelledImages", output_norm: bool, seed: int,
               ste: str | Estimator | None = None, input_offset: int | None = None) -> Graph:
    """A paper's network by name, or one built from a list for these images: what the command line's words mean.

    Without `ste` the signs have the estimator of the network's paper, without `input_offset` pixels enter as there.
    """
    settings: dict[str, Any] = {"rng": seed} | ({} if ste is None else {"ste": ste})
    channels, height, width = train.images.shape[1:]
    if name in GRAPHS:
        if not output_norm:
            raise ValueError(f"{name} ends in a dense layer with real weights and has no integer logits: output_norm="
                             "False (--no-output-norm, and the losses mhl and mcel) is for layers in a row")
        if input_offset is not None:
            raise ValueError(f"{name} takes pixels as its paper has them: input_offset (--input-offset) is for layers "
                             "in a row")
        n_classes = getattr(train, "n_classes", int(np.max(train.labels)) + 1)
        return GRAPHS[name](**settings, input_shape=(channels, height, width), n_classes=n_classes)
    if input_offset is None:
        input_offset = 128 if channels == 3 else 0
    if name in IN_A_ROW:
        return IN_A_ROW[name](**settings, output_norm=output_norm, input_offset=input_offset)
    if " " not in name and not name.startswith(("C", "FC")):
        check_choice("network", name, ARCHITECTURES)
    return build(name, (channels, height, width), input_offset, output_norm, **settings)
