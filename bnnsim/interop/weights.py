"""Weights as a file has them into +-1, told apart: signs, scaled signs, bits, latent, ternary, real ones. U units."""

from dataclasses import dataclass

import numpy as np

from bnnsim.checks import check_choice, check_finite
from bnnsim.interop.packed_words import SAY
from bnnsim.interop.steps import Weigh
from bnnsim.packed.signs import check_signs

WEIGHTS = ("signs", "latent", "bits", "sign-bits")
SIGNS = {">=": 1, ">": -1}


@dataclass(frozen=True)
class Reading:
    """What a file may leave open, as whoever asks for it says.

    weights : "signs" (+-1, or +-s of each unit), "latent" (the network computes with their signs), "bits" (0 is -1)
        or "sign-bits" (1 is -1)
    at_zero : what the sign of 0 is; None: as the file says, +1 where it does not
    """

    weights: str = "signs"
    at_zero: int | None = None

    def __post_init__(self) -> None:
        check_choice("weights", self.weights, WEIGHTS)

    def sign_of_zero(self, name: str, found: int) -> int:
        """What the file says, or else whoever asks for it; 0 where neither does."""
        at_zero = found or self.at_zero or 0
        if self.at_zero not in (None, at_zero):
            raise ValueError(f"{name}: the sign of 0 is {at_zero:+d} in the file itself, got sign="
                             f"'{'>=' if self.at_zero == 1 else '>'}'")
        return at_zero


def signs_and_scale(step: Weigh, reading: Reading) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """(int8 +-1 weights, the scale of each unit if it is not 1, what was done)."""
    weight = step.weight
    if weight.ndim not in (2, 4) or weight.dtype.kind not in "biuf" or weight.size == 0:
        raise ValueError(f"{step.name}: weights must be (U, F) or (K, kh, kw, C), got {weight.dtype} {weight.shape}")
    if weight.dtype.kind == "f":
        check_finite(f"{step.name}: weights", weight)
    if step.latent:
        return np.where(weight >= 0, np.int8(1), np.int8(-1)), None, []
    is_bits = bool(np.all((weight == 0) | (weight == 1))) and bool((weight == 0).any() and (weight == 1).any())
    is_signs = bool(np.all((weight == 1) | (weight == -1)))
    if reading.weights in ("bits", "sign-bits"):
        if not is_bits and not np.all(weight == 1):
            raise ValueError(f"{step.name}: weights='{reading.weights}' wants 0 and 1, got {weight.min():g} to "
                             f"{weight.max():g}")
        one, what = (1, "-1 and +1") if reading.weights == "bits" else (-1, "+1 and -1")
        return np.where(weight == 1, np.int8(one), np.int8(-one)), None, [f"weights 0 and 1 as {what}"]
    if reading.weights == "latent" and not is_bits and not is_signs:
        return np.where(weight >= 0, np.int8(1), np.int8(-1)), None, ["signs of latent weights"]
    if is_signs:
        return weight.astype(np.int8), None, []
    if is_bits:
        raise ValueError(f"{step.name}: weights are 0 and 1: if 0 stands for -1 (a network of XNOR and popcount) say "
                         "weights='bits', if 1 does, weights='sign-bits'; a network that computes with 0 itself is "
                         "another, and not represented")
    scale = scale_of(weight)
    if scale is not None:
        return np.sign(weight).astype(np.int8), scale, ["the scale of each unit's weights"]
    return _refused(step, weight), None, []


def signs_of_bias(name: str, values: np.ndarray, reading: Reading) -> np.ndarray:
    """int8 +-1 of a bias that is stored, which the file has in the form of its weights; latent 0 is +1."""
    values = np.asarray(values).reshape(-1)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name}: a bias must be real numbers, got {values.dtype}")
    if values.dtype.kind == "f":
        check_finite(f"{name}: bias", values)
    if reading.weights in ("bits", "sign-bits") and np.all((values == 0) | (values == 1)):
        return np.where((values == 1) == (reading.weights == "bits"), np.int8(1), np.int8(-1))
    if reading.weights == "latent" or (reading.weights == "signs" and np.all(np.abs(values) == 1)):
        return np.where(values >= 0, np.int8(1), np.int8(-1))
    wanted = "+-1; of a latent one say weights='latent'" if reading.weights == "signs" else "0 and 1, as weights are"
    raise ValueError(f"{name}: a bias that is stored must be {wanted}, got {values.min():g} to {values.max():g}; "
                     "bias='folded' takes any into thresholds")


def scale_of(weight: np.ndarray) -> np.ndarray | None:
    """s of each unit, where its weights are +-s; exporters compute (s - w) + w in float32, |w| up to 1."""
    if weight.dtype.kind not in "fi" or np.any(weight == 0):
        return None
    if weight.dtype.kind == "i":
        return np.ones(len(weight)) if np.all(np.abs(weight) == 1) else None
    sizes = np.abs(weight.reshape(len(weight), -1)).astype(np.float64)
    if np.all(sizes == 1):
        return np.ones(len(weight))
    scale = sizes.mean(axis=1)
    near = np.minimum(1e-6 * scale + 2.4e-7, 0.01 * scale)[:, None]
    return scale if sizes.shape[1] > 1 and bool(np.all(np.abs(sizes - scale[:, None]) <= near)) else None


def _refused(step: Weigh, weight: np.ndarray) -> np.ndarray:
    try:
        return check_signs(f"{step.name}: weights", weight)
    except ValueError as error:
        kept, _, remedy = str(error).partition("; ")
        if weight.dtype.kind in "iu":
            remedy = f"if it has packed words, {SAY}"
        if remedy.startswith("for latent"):
            remedy = ("for latent weights of a network that was trained to compute with their signs say "
                      "weights='latent'; of real-valued weights that makes another network")
        raise ValueError(f"{kept}; {remedy}") from None
