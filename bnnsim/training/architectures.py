"""The papers' networks, and a builder from a short list such as "C64 MP2 C64 MP2 FC2048 FC10".

Kernel 3 x 3, stride 1, zero padding 1 and no bias unless said otherwise; a conv block is conv, max-pool, batch norm,
sign [V/C: Buschjaeger et al. 2020, section V and the authors' code].
"""

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import check_choice
from bnnsim.packed.schema import check_input_shape
from bnnsim.seeding import RandomSource, generator, root_seed
from bnnsim.training.estimators import Estimator
from bnnsim.training.layers import (BatchNorm, BatchNormSign, Conv2d, Dense, Flatten, InputConv2d, InputDense, Layer,
                                    Logits, MaxPool2d)
from bnnsim.training.model import Sequential

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

Token = dict[str, str]

_TOKEN = re.compile(r"FC(?P<units>\d+)|MP(?P<pool>\d+)|C(?P<channels>\d+)(?:k(?P<kernel>\d+(?:x\d+)?))?"
                    r"(?:s(?P<stride>\d+))?(?:p(?P<padding>\d+))?")


def parse_spec(spec: str) -> list[Token]:
    """The words of a spec as their letters and numbers: see `build`."""
    tokens: list[Token] = []
    for word in spec.split():
        match = _TOKEN.fullmatch(word)
        if match is None:
            raise ValueError(f"spec must be a list of C<channels>, MP<size> and FC<units>, such as 'C64 MP2 FC2048 "
                             f"FC10' (a kernel, stride or padding is C64k5s2p2), got {word!r}")
        tokens.append({name: value for name, value in match.groupdict().items() if value is not None})
    if not tokens or "units" not in tokens[-1]:
        raise ValueError(f"spec must end in FC<classes>, got {spec!r}")
    if "pool" in tokens[0]:
        raise ValueError("spec must begin with C or FC: pooling follows a convolution")
    for before, token in zip(tokens, tokens[1:]):
        if "pool" in token and "channels" not in before:
            raise ValueError(f"MP{token['pool']} must follow a C in {spec!r}")
    return tokens


def _conv(token: Token, shape: tuple[int, ...], first: bool, offset: int, stream: np.random.Generator) -> Layer:
    rows, _, columns = token.get("kernel", "3").partition("x")
    channels, kernel = int(token["channels"]), (int(rows), int(columns or rows))
    stride, padding = int(token.get("stride", 1)), int(token.get("padding", 1))
    if first:
        return InputConv2d(shape[0], channels, kernel, stride, padding, offset=offset, generator=stream)
    if len(shape) != 3:
        raise ValueError(f"C{token['channels']} cannot follow an FC")
    return Conv2d(shape[2], channels, kernel, stride, padding, generator=stream)


def _dense(token: Token, shape: tuple[int, ...], first: bool, offset: int, stream: np.random.Generator) -> list[Layer]:
    units = int(token["units"])
    if first:
        return [InputDense(shape, units, offset, stream)]
    return [*([Flatten(shape[2])] if len(shape) == 3 else []), Dense(math.prod(shape), units, stream)]


def build(spec: str, input_shape: tuple[int, int, int], input_offset: int = 0, output_norm: bool = True,
          rng: RandomSource = None, ste: str | Estimator = "clipped") -> Sequential:
    """A network from a short list.

    Parameters
    ----------
    spec : str
        Words C<channels>, MP<size> (behind a C) and FC<units>; the last FC gives the scores. C64k5s2p2 is a 5 x 5
        kernel with stride 2 and padding 2.
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
    tokens, root = parse_spec(spec), root_seed(rng)
    if len(input_shape) != 3:
        raise ValueError(f"input_shape must be (channels, height, width), got {tuple(input_shape)}")
    layers: list[Layer] = []
    shape: tuple[int, ...] = check_input_shape(input_shape)
    for i, (token, after) in enumerate(zip(tokens, [*tokens[1:], {}])):
        if "pool" in token:
            continue                                            # added with its convolution, before the batch norm
        stream = generator(root, "initial weights", i)
        block = [_conv(token, shape, i == 0, input_offset, stream)] if "channels" in token else \
            _dense(token, shape, i == 0, input_offset, stream)
        block += [MaxPool2d(int(after["pool"]))] if "pool" in after else []
        for layer in block:
            shape = layer.output_shape(shape)
        layers += [*block, BatchNormSign(shape[-1], ste=ste)] if after else block
    layers.append(BatchNorm(shape[0]) if output_norm else Logits(shape[0]))
    return Sequential(layers, input_shape)


def fashion_fcnn(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped") -> Sequential:
    """FC2048 FC2048 FC10 for Fashion-MNIST, 5.8 M binary weights [V: Buschjaeger et al. 2020, section V]."""
    return build("FC2048 FC2048 FC10", (1, 28, 28), 0, output_norm, rng, ste)


def fashion_cnn(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped") -> Sequential:
    """C64 MP2 C64 MP2 FC2048 FC2048 FC10 for Fashion-MNIST [V: Buschjaeger et al. 2020, section V]."""
    return build("C64 MP2 C64 MP2 FC2048 FC2048 FC10", (1, 28, 28), 0, output_norm, rng, ste)


def cifar10_cnn(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped") -> Sequential:
    """C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10 for CIFAR-10 [V: Buschjaeger et al. 2020].

    Pixels enter as u - 128, half a level off the paper's [-1, 1].
    """
    spec = "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10"
    return build(spec, (3, 32, 32), 128, output_norm, rng, ste)


def mnist_mlp(rng: RandomSource = None, output_norm: bool = True, ste: str | Estimator = "clipped") -> Sequential:
    """FC1024 FC1024 FC10 for MNIST: two hidden layers of 1024 [M: recalled of Hirtzlin et al. 2019, not verified]."""
    return build("FC1024 FC1024 FC10", (1, 28, 28), 0, output_norm, rng, ste)


# By the words of the command line; in Python they are functions.
ARCHITECTURES: dict[str, Callable[..., Sequential]] = {
    "fashion_fcnn": fashion_fcnn, "fashion_cnn": fashion_cnn, "cifar10_cnn": cifar10_cnn, "mnist_mlp": mnist_mlp}


def make_model(name: str, train: "LabelledImages", output_norm: bool, seed: int,
               ste: str | Estimator = "clipped") -> Sequential:
    """A paper's network by name, or one built from a list for these images: what the command line's words mean."""
    if name in ARCHITECTURES:
        return ARCHITECTURES[name](rng=seed, output_norm=output_norm, ste=ste)
    if " " not in name and not name.startswith(("C", "FC")):
        check_choice("network", name, ARCHITECTURES)
    offset = 128 if train.images.shape[1] == 3 else 0
    channels, height, width = train.images.shape[1:]
    return build(name, (channels, height, width), offset, output_norm, rng=seed, ste=ste)
