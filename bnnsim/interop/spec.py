"""Arrays by name and a spec such as "C64 MP2 FC10" into steps: names are matched in order, sizes are checked.

A layer's weights are the next array of two to four axes, where three are a convolution along columns; its batch norm,
thresholds and bias are those of as many values that stand behind it, or the next ones where all norms stand in a row.
U units.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.packed_words import SAY, Digits, unpacked_weights
from bnnsim.interop.spec_geometry import by_channel, conv_settings, kernel_of, pool_of, said
from bnnsim.interop.steps import Affine, Flatten, Network, Sign, Step, StoredBias, Total, Weigh, affine, batch_norm
from bnnsim.packed.forward import Pair
from bnnsim.training.spec_words import Token, parse_spec

ENDINGS = {"mean": "mean", "running_mean": "mean", "moving_mean": "mean", "var": "var", "variance": "var",
           "running_var": "var", "moving_variance": "var", "moving_var": "var", "gamma": "gamma", "beta": "beta"}
SCORES = ("factor", "term")
INVERSE = ("inv_std", "invstd", "inv_stdev", "rstd", "istd")
NO_SHAPE = "the file does not tell the shape of an image: give input_shape=(channels, height, width)"
IGNORED = ("num_batches_tracked",)


@dataclass
class Norm:
    """The vectors of one batch norm: part to array, and their names."""

    parts: dict[str, np.ndarray] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


@dataclass
class Sorted:
    """Arrays by what they are: weights in order; norms, thresholds and biases by their place among them."""

    weights: list[tuple[str, np.ndarray]] = field(default_factory=list)
    norms: dict[str, Norm] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)        # of a norm: how many weights stand before it
    thresholds: list[tuple[int, str, np.ndarray]] = field(default_factory=list)
    inverted: list[tuple[str, np.ndarray]] = field(default_factory=list)
    scores: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)
    biases: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Conventions:
    """What arrays alone do not tell.

    eps : of batch norms
    flatten : "CHW" (PyTorch) or "HWC" (Keras), the order in which a dense layer reads a map
    layout : "pytorch" (K, C, kh, kw) and (U, F), or "keras" (kh, kw, C, K) and (F, U)
    popcount : whether thresholds are numbers of agreeing bits, where no text says so
    norm_first : whether a pooling, or a SUM, follows its batch norm; None: refused where it matters
    bit_order : of packed words, "lsb" or "msb"
    texts : which arrays are digits of memory texts
    stores_bias : whether biases are bits of the memory, rather than folded
    """

    eps: float = 1e-5
    flatten: str = "CHW"
    layout: str = "pytorch"
    popcount: bool = False
    norm_first: bool | None = None
    bit_order: str | None = None
    texts: Mapping[str, Digits] = field(default_factory=dict)
    stores_bias: bool = False

    @property
    def offset(self) -> int:
        """What is taken from pixels, where a text says it."""
        return max((text.offset for text in self.texts.values()), default=0)

    def counts_agreeing(self, name: str) -> bool:
        """Whether thresholds are numbers of agreeing bits: what the first line of a text says, or whoever reads it."""
        text = self.texts.get(name)
        return "agreeing" in text.note if text and text.note else self.popcount

    def bit_note(self, name: str, weight: np.ndarray) -> str:
        """Which bit of its words an array's first weight was, for the table."""
        text = self.texts.get(name)
        if text is None and (self.bit_order is None or weight.dtype != np.uint8):
            return ""
        is_lowest = self.bit_order == "lsb" and not (text and text.note)
        return f"of each word the {'lowest' if is_lowest else 'highest'} bit first"


def steps_of(arrays: Arrays, spec: str, input_shape: tuple[int, int, int] | None, form: str, conventions: Conventions,
             at_zero: int = 1) -> Network:
    """The chain that a spec describes, with the arrays as its weights."""
    words, found = parse_spec(spec), _sorted(arrays, conventions.bit_order is not None)
    layers = [word for word in words if "units" in word or "channels" in word]
    if len(layers) != len(found.weights):
        names = ", ".join(f"{name} {value.shape}" for name, value in found.weights[:20])
        raise ValueError(f"spec has {len(layers)} layers, the file {len(found.weights)} arrays of weights: "
                         f"{names or 'none'}; give a layer list, which names those that count")
    if input_shape is None:
        raise ValueError(NO_SHAPE)
    found.weights = unpacked_weights(found.weights, words, input_shape, conventions.bit_order, conventions.texts)
    norms = _norms_of(found, len(layers))
    offset = conventions.offset
    steps: list[Step] = [affine(f"pixels less {offset}", shift=-offset)] if offset else []
    sizes, i = input_shape[1:], -1
    for word, after in zip(words, [*words[1:], {}]):
        if word not in layers:
            continue
        i += 1
        n_thresholds = len(found.thresholds)
        made, sizes = _layer(i, word, after, sizes, found, norms[i], conventions)
        to_bits = i < len(layers) - 1 or len(found.thresholds) < n_thresholds
        steps += [*made, Sign("sign", at_zero)] if to_bits else made
    _check_all_used(found, norms)
    return Network(form, tuple(steps))


def _sorted(arrays: Arrays, packed: bool) -> Sorted:
    found = Sorted()
    for name, value in arrays.items():
        prefix, _, leaf = name.replace("/", ".").removesuffix(":0").rpartition(".")
        leaf = leaf.lower()
        if leaf in IGNORED:
            continue
        if leaf in INVERSE:
            raise ValueError(f"{name} is 1 / sqrt(var + eps), not a variance: give a layer list with var as 1 / "
                             "inv_std ** 2 and eps as 0")
        if "thres" in name.lower() or re.search(r"(^|[._])(thr|theta)\d*$", name.lower()):
            found.thresholds.append((len(found.weights), name, value))
        elif re.search(r"(^|[._])inverted\d*$", name.lower()):
            found.inverted.append((name, value))
        elif leaf in SCORES and value.dtype == np.uint8 and value.shape[1:] == (64,):
            found.scores[leaf] = (name, value)
        elif leaf in ENDINGS or _is_norm(arrays, name, prefix):
            part = ENDINGS.get(leaf, "gamma" if leaf == "weight" else "beta")
            norm = found.norms.setdefault(prefix, Norm())
            found.places.setdefault(prefix, len(found.weights))
            norm.parts[part] = value
            norm.names.append(name)
        elif value.ndim in (2, 3, 4):
            found.weights.append((name, value))
        elif leaf == "bias" and value.ndim == 1:
            found.biases[prefix] = (name, value)
        elif packed and value.ndim == 1 and value.dtype.kind in "iu":
            found.weights.append((name, value))
        else:
            hint = f"; if it has packed words, {SAY}" if value.dtype.kind in "iu" and not packed else ""
            raise ValueError(f"{name} {value.dtype} {value.shape} is neither weights, nor a part of a batch norm, nor "
                             "thresholds, by its name and axes: give a layer list, which leaves out what it does not "
                             f"name{hint}")
    return found


def _is_norm(arrays: Mapping[str, np.ndarray], name: str, prefix: str) -> bool:
    """Whether a PyTorch weight or bias belongs to a batch norm: its sibling is a running mean."""
    return f"{prefix}.running_mean" in arrays or f"{prefix}.running_var" in arrays


def _norms_of(found: Sorted, n_layers: int) -> list[tuple[str, Norm] | None]:
    """The batch norm of each layer: behind its weights, or the next one where they stand apart."""
    by_place: dict[int, tuple[str, Norm]] = {}
    for prefix, norm in found.norms.items():
        by_place.setdefault(found.places[prefix] - 1, (prefix, norm))
    if len(by_place) == len(found.norms) and -1 not in by_place:
        return [by_place.get(i) for i in range(n_layers)]
    if len(found.norms) in (n_layers, n_layers - 1):
        return [*found.norms.items(), *([None] if len(found.norms) < n_layers else [])]
    raise ValueError(f"{len(found.norms)} batch norms ({', '.join(list(found.norms)[:10])}) cannot be matched with "
                     f"{n_layers} layers by their order: give a layer list")


def _check_all_used(found: Sorted, norms: Sequence[tuple[str, Norm] | None]) -> None:
    used = {item[0] for item in norms if item}
    rest = [prefix for prefix in found.norms if prefix not in used] + [name for name, _ in found.biases.values()]
    rest += [name for _, name, _ in found.thresholds] + [name for name, _ in [*found.inverted, *found.scores.values()]]
    if rest:
        raise ValueError(f"{', '.join(rest[:10])} belong to no layer of the spec: give a layer list, which leaves out "
                         "what it does not name")


def _layer(i: int, word: Token, after: Token, sizes: Pair, found: Sorted, norm: tuple[str, Norm] | None,
           conventions: Conventions) -> tuple[list[Step], Pair]:
    """(Steps of one word on a map of these sizes, and of the pooling or SUM behind it; the sizes behind them)."""
    name, value = found.weights[i]
    weigh = _weigh(name, value, word, sizes, conventions)
    units = len(weigh.weight)
    bias: list[Step] = []
    norms: list[Step] = []
    prefix = name.replace("/", ".").removesuffix(":0").rpartition(".")[0]
    if prefix in found.biases:
        key, values = found.biases.pop(prefix)
        values = _of_size(key, values, units)
        bias.append(StoredBias(key, values, sources=(key,)) if conventions.stores_bias else
                    affine(key, shift=values, sources=(key,)))
    if norm is not None:
        parts = {part: _of_size(f"{norm[0]} {part}", values, units) for part, values in norm[1].parts.items()}
        missing = {"mean", "var"} - set(parts)
        if missing:
            raise ValueError(f"the batch norm {norm[0]} of {name} has no {' and no '.join(sorted(missing))}")
        norms.append(batch_norm(norm[0], parts, conventions.eps, tuple(norm[1].names)))
    elif i < len(found.weights) - 1 or any(place == i + 1 for place, _, _ in found.thresholds):
        norms += _threshold(i, found, weigh, conventions)
    elif found.scores:
        norms += _score(found, units, conventions)
    if "channels" in word:
        sizes = weigh.sizes(sizes)
    steps, sizes = _pooled(bias, norms, weigh, after, sizes, conventions)
    return [*([Flatten("flatten", conventions.flatten)] if "units" in word else []), weigh, *steps], sizes


def _pooled(bias: list[Step], norms: list[Step], weigh: Weigh, after: Token, sizes: Pair,
            conventions: Conventions) -> tuple[list[Step], Pair]:
    """(Bias, norm, and between or behind them what pools or adds up; the sizes behind it)."""
    affines = [step for step in norms if isinstance(step, Affine)]
    if "pool" in after:
        windows = pool_of(after, sizes)
        pool: Step = windows
        sizes = windows.sizes(sizes)
        what, matters = "has a negative gamma", any(np.any(step.scale < 0) for step in affines)
    elif "sum" in after:
        pool = Total("SUM", False)
        what = "shifts what it reads"
        matters = sizes != (1, 1) and any(np.any(step.mean != 0) or np.any(step.shift != 0) for step in affines)
    else:
        return [*bias, *norms], sizes
    if matters and conventions.norm_first is None:
        raise ValueError(f"{weigh.name}: its batch norm {what}, so whether it stands before the pooling or sum "
                         "decides what comes out: say norm_first=True (conv, norm, pool, sign) or norm_first=False")
    return [*bias, *norms, pool] if conventions.norm_first else [*bias, pool, *norms], sizes


def _weigh(name: str, value: np.ndarray, word: Token, sizes: Pair, conventions: Conventions) -> Weigh:
    if ("units" in word) != (value.ndim == 2):
        raise ValueError(f"spec wants {said(word)}, but {name}, which is next, has the shape {value.shape}")
    units = word.get("units") or word["channels"]
    if conventions.layout == "keras":
        weight = by_channel(value) if "depthwise" in name and value.ndim == 4 else np.moveaxis(value, -1, 0)
    else:
        weight = np.moveaxis(value, 1, -1)
    if units != len(weight):
        raise ValueError(f"spec wants {said(word)}, but {name}, which is next, has {len(weight)} units ({value.shape})")
    note = conventions.bit_note(name, weight)
    if "units" in word:
        return Weigh(name, weight, note=note, sources=(name,))
    weight = weight[:, None] if weight.ndim == 3 else weight
    if weight.shape[1:3] != kernel_of(word):
        raise ValueError(f"spec wants {said(word)}, but {name} has a kernel of {weight.shape[1]} x {weight.shape[2]}: "
                         f"say C{units}k{weight.shape[1]}x{weight.shape[2]}, or the other layout of its axes")
    return Weigh(name, weight, note=note, sources=(name,), **conv_settings(word, sizes))


def _threshold(i: int, found: Sorted, weigh: Weigh, conventions: Conventions) -> list[Step]:
    """Thresholds of a layer: those whose name shares most with its weights', next in order."""
    if not found.thresholds:
        raise ValueError(f"{weigh.name} is a hidden layer, and has neither a batch norm nor thresholds behind it")
    _, name, values = found.thresholds.pop(0)
    if name in conventions.texts and len(values) == len(weigh.weight):
        values = numbers_of(name, values, conventions.texts[name], weigh.weight[0].size)
    t = _of_size(name, values, len(weigh.weight)).astype(np.float64)
    if conventions.counts_agreeing(name):
        if max(weigh.pads) and not weigh.replicate and weigh.pad_value == 0:
            raise ValueError(f"{name}: thresholds of popcounts say nothing where a padding of 0 is no bit")
        t = 2 * t - weigh.weight[0].size
    if not found.inverted:
        return [affine(name, mean=t, sources=(name,))]
    other, values = found.inverted.pop(0)                       # (h >= t) ^ inverted, of whole h: no sum meets t - 1/2
    turned = _of_size(other, values[:, -1] if other in conventions.texts else values, len(weigh.weight)).astype(bool)
    if np.any(t != np.rint(t)):
        raise ValueError(f"{name}: thresholds that {other} turns over must be integers")
    return [affine(name, mean=t - 0.5, scale=np.where(turned, -1.0, 1.0), sources=(name, other))]


def _score(found: Sorted, units: int, conventions: Conventions) -> list[Step]:
    """(factor * h + term) / 2**exponent, as `export_memory` writes it."""
    if set(found.scores) != set(SCORES):
        raise ValueError(f"of {' and '.join(SCORES)} there is only {', '.join(found.scores)}")
    (name, factor), (other, term) = (found.scores.pop(key) for key in SCORES)
    exponents = re.findall(r"/ 2\*\*(-?\d{1,4})", " ".join(conventions.texts[each].note for each in (name, other)))
    if len(exponents) != 2 or exponents[0] != exponents[1] or len(factor) != units or len(term) != units:
        raise ValueError(f"{name} and {other} must have {units} numbers each, and one exponent, which their first line "
                         "says")
    scale, shift = (np.ldexp(_signed(each).astype(np.float64), -int(exponents[0])) for each in (factor, term))
    return [affine(name, scale=scale, shift=shift, sources=(name, other))]


def _signed(digits: np.ndarray) -> np.ndarray:
    """int64 of rows of at most 64 bits, two's complement, the first digit highest."""
    filled = np.repeat(digits[:, :1], 64, 1)
    filled[:, 64 - digits.shape[1]:] = digits
    return np.packbits(filled, axis=1).view(">i8").reshape(-1).astype(np.int64)


def numbers_of(name: str, digits: np.ndarray, told: Digits, most: int) -> np.ndarray:
    """The numbers that rows of bits are, the first digit highest."""
    places = np.arange(digits.shape[1] - 1, -1, -1)
    if "two's complement" in told.note and digits.shape[1] <= 64:
        return _signed(digits)
    if digits.shape[1] > 62:
        raise ValueError(f"{name} has numbers of {digits.shape[1]} bits, wanted thresholds")
    found = digits.astype(np.int64) @ (1 << places)
    if not told.is_told and digits.shape[1] <= 15:
        other = digits.astype(np.int64) @ (1 << 4 * places)
        if np.any(other != found) and other.max() <= most:
            raise ValueError(f"{name} has no digits but 0 and 1, and may be binary or hexadecimal: call the file "
                             "NAME.memb or NAME.memh")
    return found


def _of_size(name: str, values: np.ndarray, units: int) -> np.ndarray:
    if values.size != units or values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must have {units} values, one for each unit, got {values.dtype} {values.shape}")
    return values.reshape(-1)
