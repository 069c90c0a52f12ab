"""Errors of reading in training: wrong activations, popcounts and products, by layers that no packed network has.

They come in as an object, such as `bnnsim.faults.PopcountErrors`, that knows how sums or bits go wrong.
"""

from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import check_input
from bnnsim.kernels import empty
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import n_words
from bnnsim.seeding import RandomSource, child_root, root_seed, stream_key
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.batchnorm import BatchNormSign
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.model import Sequential
from bnnsim.training.packing import pack

if TYPE_CHECKING:
    from bnnsim.faults.at_read import AtRead


class ReadErrors(Layer):
    """What a layer sums up, or the bits that it gives, with the errors of a fault of reading where a step is trained.

    Evaluation and the packed network have none. Gradients pass straight through, as those of weights do that are read
    wrong [D]. The errors of a step are drawn by (root seed, "read errors", number of the step): how many steps there
    were is stored with what training moves, so that a resumed training draws on.

    Parameters
    ----------
    fault : AtRead
    stage : Stage
        The place in the packed network that it would hit.
    rate : float
        Of this layer.
    root : int
        The root seed; two of these layers need two.
    """

    def __init__(self, fault: "AtRead", stage: Stage, rate: float, root: int) -> None:
        self.fault, self.stage, self.rate, self.root = fault, stage, rate, root
        self.takes = self.gives = "pre-activations" if fault.OF_SUMS else "bits"
        self.running = {"steps": np.zeros(1)}

    def settings(self) -> dict[str, object]:
        """The fault, its rate here, and the root seed."""
        return {"fault": self.fault, "rate": self.rate, "root": self.root}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As it is: that of the place it was made for."""
        units = self.stage.output_shape[-1]
        fits = shape[-1] == units and shape[:-1] == (self.stage.map_shape if len(shape) == 3 else ()) \
            if self.fault.OF_SUMS else shape == self.stage.output_shape
        if not fits:
            raise ValueError(f"ReadErrors of layer {self.stage.index} cannot follow an output of shape {tuple(shape)}: "
                             "make it anew for this model, by bnnsim.training.with_read_errors")
        return shape

    def forward(self, x: np.ndarray) -> np.ndarray:
        """What comes, as it is."""
        units = self.stage.output_shape[-1]
        return check_input("ReadErrors", x, np.int32, units) if self.fault.OF_SUMS else \
            check_input("ReadErrors", x, np.uint64, n_words(units))

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        """With this step's errors."""
        x = self.forward(x)
        key = stream_key(self.root, "read errors", int(self.running["steps"][0]))
        self.running["steps"][0] += 1
        if not self.fault.OF_SUMS:
            return self.fault.of_bits(self.stage, self.rate, x, key), None
        sums = empty(x.shape, np.int32)
        np.copyto(sums, x)
        return self.fault.of_sums(self.stage, self.rate, sums.reshape(len(x), -1, x.shape[-1]), key).reshape(x.shape), \
            None

    def backward(self, dout: Gradient, cache: None) -> tuple[Gradient, dict[str, np.ndarray]]:
        """dout."""
        return dout, {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """Nothing: a packed network has errors where a fault says so."""


def with_read_errors(model: Sequential, fault: "AtRead", rng: RandomSource = None) -> Sequential:
    """A model that is trained under errors of reading.

    Parameters
    ----------
    model : Sequential
        Its layers are shared, not copied: they are trained.
    fault : ActivationErrors, PopcountErrors, PopcountNoise or SenseErrors
        One by which a packed network of this model would be read wrong; rates and layers as there. Thresholds, which
        training has none of, and analog columns, which sum up anew, are not among them; bits of weights that are
        sensed wrong are `fit`'s own: ``faults=EachRead(BitFlips(p))``.
    rng : None, int, SeedSequence or Generator
        The root seed of the errors.

    Returns
    -------
    Sequential
        What `fit` and `pack` take: pack this one, which knows how it was trained. Evaluation, and what is packed, are
        without errors. Once more, for errors of two kinds.

    Raises
    ------
    TypeError, ValueError
        Where the fault is another one, or the model's layers have no such errors.

    References
    ----------
    Activation errors of some percent in training do no harm: arXiv:1905.10927 [V: abstract].

    Examples
    --------
    >>> import bnnsim
    >>> model = bnnsim.architectures.build("FC32 FC10", (1, 8, 8), rng=0)
    >>> noisy = with_read_errors(model, bnnsim.faults.ActivationErrors(0.03), rng=0)
    >>> [type(layer).__name__ for layer in noisy.layers]
    ['InputDense', 'BatchNormSign', 'ReadErrors', 'Dense', 'BatchNorm']
    >>> noisy = with_read_errors(model, bnnsim.faults.PopcountErrors(0.03), rng=0)
    >>> [type(layer).__name__ for layer in noisy.layers]
    ['InputDense', 'BatchNormSign', 'Dense', 'ReadErrors', 'BatchNorm']
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential, layers in a row, got {type(model).__name__}")
    if isinstance(fault, type) or getattr(fault, "SUMS_UP", False) or \
            not all(hasattr(fault, name) for name in ("OF_SUMS", "of_sums", "of_bits")):
        raise TypeError("fault must be one of reading that changes sums or bits, such as PopcountErrors(0.03), got "
                        f"{fault!r}: bit errors of weights are faults= of bnnsim.fit")
    network, n_before = pack(model), sum(isinstance(layer, ReadErrors) for layer in model.layers)
    root = child_root(root_seed(rng), fault.STREAM, n_before)
    rates, found, i = fault.rates_when_read(network), list[Layer](), -1
    behind = Weighted if fault.OF_SUMS else BatchNormSign
    for layer in model.layers:
        found.append(layer)
        i += isinstance(layer, Weighted)
        if isinstance(layer, behind) and rates[i]:
            found.append(ReadErrors(fault, network.stages[i], rates[i], child_root(root, "read errors", i)))
    if not any(rates) and any(rate for rate, *_ in fault.rates(len(network.layers))):
        raise ValueError(f"model must have a layer that {fault!r} hits, got none: "
                         f"{', '.join(filter(None, map(fault.refusal, network.stages)))}")
    noisy = Sequential(found, model.input_shape)
    told = [*filter(None, [model.metadata.get("read_errors")]), repr(fault)]
    noisy.metadata, noisy.history = {**model.metadata, "read_errors": "; ".join(told)}, model.history
    return noisy
