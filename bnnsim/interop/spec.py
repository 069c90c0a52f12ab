"""Arrays by name and a spec such as "C64 MP2 FC10" into steps: names are matched in order, sizes are checked.

A layer's weights are the next array of two or four axes; its batch norm, thresholds and bias are those of as many
values that stand behind it, or the next ones where all norms stand in a row. U units.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.steps import Affine, Flatten, Network, Pool, Sign, Step, Weigh, affine, batch_norm
from bnnsim.training.spec_words import Token, parse_spec

ENDINGS = {"mean": "mean", "running_mean": "mean", "moving_mean": "mean", "var": "var", "variance": "var",
           "running_var": "var", "moving_variance": "var", "moving_var": "var", "gamma": "gamma", "beta": "beta"}
INVERSE = ("inv_std", "invstd", "inv_stdev", "rstd", "istd")
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
    biases: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Conventions:
    """What arrays alone do not tell.

    eps : of batch norms
    flatten : "CHW" (PyTorch) or "HWC" (Keras), the order in which a dense layer reads a map
    layout : "pytorch" (K, C, kh, kw) and (U, F), or "keras" (kh, kw, C, K) and (F, U)
    popcount : whether thresholds are numbers of agreeing bits
    norm_first : whether a pooling follows its batch norm; None: refused where it matters
    """

    eps: float = 1e-5
    flatten: str = "CHW"
    layout: str = "pytorch"
    popcount: bool = False
    norm_first: bool | None = None


def steps_of(arrays: Arrays, spec: str, form: str, conventions: Conventions, at_zero: int = 1) -> Network:
    """The chain that a spec describes, with the arrays as its weights."""
    words, found = parse_spec(spec), _sorted(arrays)
    layers = [word for word in words if "pool" not in word]
    if len(layers) != len(found.weights):
        names = ", ".join(f"{name} {value.shape}" for name, value in found.weights[:20])
        raise ValueError(f"spec has {len(layers)} layers, the file {len(found.weights)} arrays of weights: "
                         f"{names or 'none'}; give a layer list, which names those that count")
    norms = _norms_of(found, len(layers))
    steps: list[Step] = []
    i = -1
    for word, after in zip(words, [*words[1:], {}]):
        if "pool" in word:
            continue
        i += 1
        steps += _layer(i, word, after, found, norms[i], conventions, at_zero, i == len(layers) - 1)
    _check_all_used(found, norms)
    return Network(form, tuple(steps))


def _sorted(arrays: Arrays) -> Sorted:
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
        elif leaf in ENDINGS or _is_norm(arrays, name, prefix):
            part = ENDINGS.get(leaf, "gamma" if leaf == "weight" else "beta")
            norm = found.norms.setdefault(prefix, Norm())
            found.places.setdefault(prefix, len(found.weights))
            norm.parts[part] = value
            norm.names.append(name)
        elif value.ndim in (2, 4):
            found.weights.append((name, value))
        elif leaf == "bias" and value.ndim == 1:
            found.biases[prefix] = (name, value)
        else:
            raise ValueError(f"{name} {value.dtype} {value.shape} is neither weights, nor a part of a batch norm, nor "
                             "thresholds, by its name and axes: give a layer list, which leaves out what it does not "
                             "name")
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
    rest += [name for _, name, _ in found.thresholds]
    if rest:
        raise ValueError(f"{', '.join(rest[:10])} belong to no layer of the spec: give a layer list, which leaves out "
                         "what it does not name")


def _layer(i: int, word: Token, after: Token, found: Sorted, norm: tuple[str, Norm] | None, conventions: Conventions,
           at_zero: int, last: bool) -> list[Step]:
    """The steps of one word, and of the pooling behind it."""
    name, value = found.weights[i]
    weigh = _weigh(name, value, word, conventions)
    units = len(weigh.weight)
    middle: list[Step] = []
    prefix = name.replace("/", ".").removesuffix(":0").rpartition(".")[0]
    if prefix in found.biases:
        bias, values = found.biases.pop(prefix)
        middle.append(affine(bias, shift=_of_size(bias, values, units), sources=(bias,)))
    if norm is not None:
        parts = {part: _of_size(f"{norm[0]} {part}", values, units) for part, values in norm[1].parts.items()}
        missing = {"mean", "var"} - set(parts)
        if missing:
            raise ValueError(f"the batch norm {norm[0]} of {name} has no {' and no '.join(sorted(missing))}")
        middle.append(batch_norm(norm[0], parts, conventions.eps, tuple(norm[1].names)))
    elif not last or any(place == i + 1 for place, _, _ in found.thresholds):
        middle += _threshold(i, found, weigh, conventions)
    return [*([Flatten("flatten", conventions.flatten)] if "units" in word else []), weigh,
            *_pooled(middle, weigh, after, conventions), *([] if last else [Sign("sign", at_zero)])]


def _pooled(middle: list[Step], weigh: Weigh, after: Token, conventions: Conventions) -> list[Step]:
    if "pool" not in after:
        return middle
    falling = any(isinstance(step, Affine) and np.any(step.scale < 0) for step in middle)
    if falling and conventions.norm_first is None:
        raise ValueError(f"{weigh.name}: its batch norm has a negative gamma, so whether it stands before the pooling "
                         "decides what comes out: say norm_first=True (conv, norm, pool, sign) or norm_first=False")
    pool = Pool(f"MP{after['pool']}", int(after["pool"]))
    return [*middle, pool] if conventions.norm_first else [pool, *middle]


def _weigh(name: str, value: np.ndarray, word: Token, conventions: Conventions) -> Weigh:
    keras = conventions.layout == "keras"
    if ("units" in word) != (value.ndim == 2):
        raise ValueError(f"spec wants {_said(word)}, but {name}, which is next, has the shape {value.shape}")
    units = int(word.get("units") or word["channels"])
    given = value.shape[-1] if keras else value.shape[0]
    if units != given:
        raise ValueError(f"spec wants {_said(word)}, but {name}, which is next, has {given} units ({value.shape})")
    if "units" in word:
        return Weigh(name, value.T if keras else value, sources=(name,))
    weight = value.transpose(3, 0, 1, 2) if keras else value.transpose(0, 2, 3, 1)
    rows, _, columns = word.get("kernel", "3").partition("x")
    if weight.shape[1:3] != (int(rows), int(columns or rows)):
        raise ValueError(f"spec wants {_said(word)}, but {name} has a kernel of {weight.shape[1]} x {weight.shape[2]}: "
                         f"say C{units}k{weight.shape[1]}x{weight.shape[2]}, or the other layout of its axes")
    stride, padding = int(word.get("stride", 1)), int(word.get("padding", 1))
    return Weigh(name, weight, (stride, stride), (padding,) * 4, sources=(name,))


def _threshold(i: int, found: Sorted, weigh: Weigh, conventions: Conventions) -> list[Step]:
    """Thresholds of a layer: those whose name shares most with its weights', next in order."""
    if not found.thresholds:
        raise ValueError(f"{weigh.name} is a hidden layer, and has neither a batch norm nor thresholds behind it")
    _, name, values = found.thresholds.pop(0)
    if values.ndim == 2 and len(values) == len(weigh.weight):              # words of a text, the first digit highest
        values = values.astype(np.int64) @ (1 << np.arange(values.shape[1] - 1, -1, -1, dtype=np.int64))
    t = _of_size(name, values, len(weigh.weight)).astype(np.float64)
    if conventions.popcount:
        if max(weigh.pads):
            raise ValueError(f"{name}: thresholds of popcounts say nothing where a padding of 0 is no bit")
        t = 2 * t - weigh.weight[0].size
    return [affine(name, mean=t, sources=(name,))]


def _of_size(name: str, values: np.ndarray, units: int) -> np.ndarray:
    if values.size != units or values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must have {units} values, one for each unit, got {values.dtype} {values.shape}")
    return values.reshape(-1)


def _said(word: Token) -> str:
    return f"FC{word['units']}" if "units" in word else f"C{word['channels']}"
