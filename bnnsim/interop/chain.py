"""Steps of a chain into the layers of `PackedNetwork.from_arrays`: all between two weightings folds into the first.

What cannot be represented is refused by its name in the file: nothing is dropped but what changes no class. U units.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bnnsim.interop.drafts import (Draft, compose, fields_of, geometry_of, pad_of_bits, shifted_apart,
                                   sign_behind_sign, store_bias)
from bnnsim.interop.input_codes import Code
from bnnsim.interop.rows import Row, bias_row
from bnnsim.interop.steps import (Affine, Flatten, LeftOut, Network, Pool, Sign, Step, StoredBias, Total, Weigh,
                                  in_words)
from bnnsim.interop.weights import Reading, signs_and_scale, signs_of_bias
from bnnsim.packed.forward import Pair

NO_SIGN = ("a network without any sign between its layers is no binary network, and plain ONNX exports of PyTorch's "
           "sign may have lost it: export with the sign as an operator (Sign, BipolarQuant, Greater and Where), or "
           "give the state dict and a spec")


def fold(network: Network, input_shape: tuple[int, int, int], code: Code,
         reading: Reading) -> tuple[list[dict[str, Any]], Code, list[Row]]:
    """(layers as from_arrays takes them, how pixels enter, what became of what)."""
    chain = _Chain(input_shape[1:], code, reading)
    for step in network.steps:
        chain.take(step)
    return chain.ended()


class _Chain:
    """What has been read so far: layers, and what their bits mean to the next, value = bit * a + c."""

    def __init__(self, sizes: Pair, code: Code, reading: Reading) -> None:
        self.sizes, self.code, self.reading = sizes, code, reading
        self.layers: list[Draft] = []
        self.a, self.c = code.scale, code.shift
        self.apart = np.zeros(1)                    # of pixels: shifts beyond c, of each channel or value
        self.flatten: str | None = None
        self.ended_by = ""                          # what only scores may pass, such as a softmax
        self.needs_sign = ""                        # what was left out as it keeps signs, such as a tanh
        self.front: list[str] = []                  # steps before the first layer

    def take(self, step: Step) -> None:
        """One step more."""
        if self.ended_by:
            raise ValueError(f"{step.name} stands behind {self.ended_by}, which only scores may pass")
        if self.needs_sign and isinstance(step, (Weigh, Affine)):
            raise ValueError(f"{self.needs_sign} is left out before a sign alone, but {step.name} follows it")
        takers: dict[type[Step], Callable[[Any], None]] = {
            Weigh: self._weigh, Affine: self._affine, Pool: self._pool, Total: self._total, Sign: self._sign,
            Flatten: self._flatten, LeftOut: self._leave_out, StoredBias: self._stored_bias}
        takers[type(step)](step)

    @property
    def _open(self) -> Draft | None:
        """The layer that has no sign yet."""
        return self.layers[-1] if self.layers and self.layers[-1].at_zero is None else None

    def _leave_out(self, step: LeftOut) -> None:
        self.ended_by = step.name if step.why == "scores" else ""
        self.needs_sign = step.name if step.why == "keeps signs" else self.needs_sign
        (self.layers[-1].folded if self.layers else self.front).append(f"left out: {step.name}")

    def _flatten(self, step: Flatten) -> None:
        self.flatten = step.order

    def _sign(self, step: Sign) -> None:
        draft, self.needs_sign = self._open, ""
        if draft is not None:
            if draft.totalled:
                raise ValueError(f"{step.name} stands behind {draft.folded[-1]}: sums over positions are scores, of "
                                 "the last layer")
            draft.at_zero = step.at_zero
            draft.folded.append(f"sign {step.name}")
            self.a, self.c = 1.0, 0.0
        elif not self.layers:
            self._binary_input(step)
        else:
            self._sign_again(step)

    def _sign_again(self, step: Sign) -> None:
        """A sign of what bits mean, or Larq's sign(sign(x) + 0.1): says what becomes of 0, and else nothing new."""
        draft = self.layers[-1]
        of_zero = sign_behind_sign(step.name, self.a, self.c, step.at_zero)
        draft.at_zero = draft.at_zero or of_zero
        self.a, self.c = 1.0, 0.0

    def _binary_input(self, step: Sign) -> None:
        if self.apart.any():
            raise ValueError(f"{step.name} takes signs of an input that is shifted by {self.apart.size} values: one "
                             "level for all channels is represented")
        self.code = self.code.binarized(self.a, self.c, step.at_zero, step.name)
        self.front.append(f"sign {step.name}")
        self.a, self.c = self.code.scale, self.code.shift

    def _affine_of_input(self, step: Affine) -> None:
        """Of pixels or bits: what they mean; shifts that differ by channel only of pixels."""
        shifts = np.asarray(step.intercept).reshape(-1)
        scale, n_shifts, where = np.unique(step.scale), len(np.unique(shifts)), "bits" if self.layers else "the input"
        if len(scale) != 1 or scale[0] <= 0 or (self.layers and n_shifts > 1):
            n = max(step.mean.size, step.scale.size, step.shift.size)
            raise ValueError(f"{step.name} scales {where} by {len(scale)} values and shifts by {n_shifts} ({n} "
                             "channels): one positive scale for all can be folded, and of bits one shift")
        shift = float(shifts[0] if n_shifts == 1 else shifts.mean())
        self.a, self.c = self.a * float(scale[0]), self.c * float(scale[0]) + shift
        if self.apart.size in (1, shifts.size) or n_shifts == 1:
            self.apart = self.apart * float(scale[0]) + (shifts - shift if n_shifts > 1 else 0.0)
        else:
            raise ValueError(f"{step.name} shifts the input by {shifts.size} values, and {self.apart.size} did before")
        if not 1e-100 < self.a < 1e100 or not abs(self.c) < 1e100:
            raise ValueError(f"{step.name} scales {where} to {self.a:g} and shifts by {self.c:g}, which is out of "
                             "range")
        (self.layers[-1].folded if self.layers else self.front).append(step.name)

    def _affine(self, step: Affine) -> None:
        draft = self._open
        if draft is None:
            return self._affine_of_input(step)
        units = len(draft.weight)
        for part, value in (("mean", step.mean), ("scale", step.scale), ("shift", step.shift)):
            if value.size not in (1, units):
                raise ValueError(f"{step.name}: {part} has {value.size} values behind {draft.weigh.name}, which has "
                                 f"{units} units")
        compose(draft, *(value.reshape(-1) for value in (step.mean, step.scale, step.shift)))
        draft.sources += step.sources
        draft.folded.append(step.name)

    def _stored_bias(self, step: StoredBias) -> None:
        draft = self._open
        if draft is None:
            raise ValueError(f"{step.name}: a bias that is stored stands behind weights, before their sign")
        store_bias(draft, step.name, signs_of_bias(step.name, step.values, self.reading))
        draft.bias_from = step.sources

    def _pool(self, step: Pool) -> None:
        if not self.layers:
            raise ValueError(f"{step.name} pools the input: it must follow a convolution")
        draft = self.layers[-1]
        if draft.weight.ndim != 4 or draft.pool or draft.totalled or self.flatten:
            raise ValueError(f"{step.name} pools behind {draft.folded[-1] if draft.folded else draft.weigh.name}: one "
                             "pooling behind a convolution can be folded")
        draft.pool, draft.falling = step, np.broadcast_to(draft.scale < 0, len(draft.weight))
        draft.folded.append(str(step))
        self.sizes = step.sizes(self.sizes)

    def _total(self, step: Total) -> None:
        """Of (h - mean) * scale + shift over P positions: (sum of h - P mean) * scale + P shift."""
        if not self.layers or self.layers[-1].weight.ndim != 4 or self.flatten:
            raise ValueError(f"{step.name} adds up positions: it must follow a convolution")
        draft, n = self.layers[-1], self.sizes[0] * self.sizes[1]
        if n > 1:
            if draft.pool or draft.at_zero is not None or draft.totalled:
                raise ValueError(f"{step.name} adds up positions behind {draft.folded[-1]}: only a last convolution's "
                                 "sums are, before pooling and signs")
            draft.mean, draft.shift, draft.totalled, self.sizes = n * draft.mean, n * draft.shift, True, (1, 1)
            if step.average:
                compose(draft, np.zeros(1), np.array([1 / n]), np.zeros(1))
        draft.folded.append(f"{'average' if step.average else 'sum'} over {n} positions {step.name}")

    def _weigh(self, step: Weigh) -> None:
        if self._open is not None:
            raise ValueError(f"there is no sign between {self._open.weigh.name} and {step.name}: {NO_SIGN}")
        if not self.layers:
            self.code = self.code.settled(self.a, self.c)
        weight, scale, note = signs_and_scale(step, self.reading)
        draft = Draft(step, weight, {}, np.zeros(len(weight)), np.ones(len(weight)), np.zeros(len(weight)))
        draft.sources += step.sources
        draft.folded += [*(self.front if not self.layers else []), *filter(None, [step.note]), *note]
        if weight.ndim == 4:
            draft.fields = geometry_of(step, *(self.code.pad(step.name, step.pad_value) if not self.layers else
                                               pad_of_bits(step, self.a, self.c)))
            self.sizes = step.sizes(self.sizes)
        elif self.flatten and (not self.layers or self.layers[-1].weight.ndim == 4):
            draft.fields["flatten"] = self.flatten
        draft.any_parity = (not self.layers and not self.code.binary) or (max(step.pads) > 0 and not step.replicate
                                                                          and draft.fields["pad_value"] == 0)
        draft.most = 255 if not self.layers and not self.code.binary else 1
        self._meaning(draft)
        if scale is not None:
            compose(draft, np.zeros(1), scale, np.zeros(1))
        self.layers.append(draft)
        self.a, self.c, self.flatten = 1.0, 0.0, None

    def _meaning(self, draft: Draft) -> None:
        """Sums of what bits, or pixels less the offset, mean: a * h + c * (sum of weights)."""
        a, c = (self.code.scale, self.code.rest) if not self.layers else (self.a, self.c)
        rest = c * draft.weight.reshape(len(draft.weight), -1).sum(1, dtype=np.float64)
        if not self.layers and self.apart.any():
            rest = rest + shifted_apart(draft.weigh, draft.weight, self.apart, self.sizes, self.flatten)
        if a != 1 or rest.any():
            compose(draft, -rest / a, np.array([a]), np.zeros(1))

    def ended(self) -> tuple[list[dict[str, Any]], Code, list[Row]]:
        """All that was read."""
        if not self.layers:
            raise ValueError("there is no layer with weights")
        last = self.layers[-1]
        if last.at_zero is not None and last.weight.ndim == 4:
            raise ValueError(f"{last.folded[-1]} stands behind the last weights, a convolution's: only a last dense "
                             "layer may give signs as scores")
        if self.needs_sign:
            raise ValueError(f"{self.needs_sign} stands behind the last weights, and changes scores")
        if last.pool:
            raise ValueError(f"{last.pool} stands behind the last weights")
        if last.weight.ndim == 4 and self.sizes != (1, 1):
            raise ValueError(f"{last.weigh.name} has the last weights, and gives a map of {in_words(self.sizes)}: a "
                             "sum or average over its positions must make scores of it")
        if len(self.layers) > 1 and all(layer.at_zero is None for layer in self.layers[:-1]):
            raise ValueError(NO_SIGN)
        return ([fields_of(draft, self.reading, i == len(self.layers) - 1) for i, draft in enumerate(self.layers)],
                self.code, _rows(self.layers))


def _rows(drafts: Sequence[Draft]) -> list[Row]:
    rows: list[Row] = []
    for draft in drafts:
        rows.append(Row(len(rows), "conv" if draft.weight.ndim == 4 else "dense", draft.weight.shape,
                        tuple(draft.sources) or (draft.weigh.name,), tuple(draft.folded), draft.turned))
        if draft.bias is not None:
            rows.append(bias_row(len(rows), draft.bias, draft.bias_from))
    return rows
