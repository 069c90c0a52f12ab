"""Values that are to be +-1; what else comes is told apart: each kind becomes +-1 in a way of its own, or in none."""

import numpy as np

from bnnsim.checks import check_finite, check_unmasked

SCALE_REMEDY = ("the scale belongs into batch norm: with s = np.abs({v}).reshape(len({v}), -1).max(axis=1) pass "
                "{v} as np.sign({v}), bias as bias / s, mean as mean / s, var as (var + eps) / s**2 and eps as 0, or "
                "threshold as threshold / s; where neither follows, gamma=s, beta=0 * s, mean=0 * s, var=0 * s + 1")


def check_signs(name: str, values: np.ndarray, short: str = "w") -> np.ndarray:
    """+-1 as int8, of a real array of such.

    Parameters
    ----------
    name : str
    values : integers or floats, any shape
    short : str
        What the array is called in a remedy.

    Raises
    ------
    ValueError
        Where there are others, with what to do about this kind: bits, scaled signs, ternary or latent weights.
    """
    check_unmasked(name, values)
    if values.dtype.kind == "f":
        check_finite(name, values)
    if not np.all((values == 1) | (values == -1)):
        raise ValueError(f"{name} must hold only +1 and -1; {_remedy(values, short)}")
    return values.astype(np.int8)


def _remedy(values: np.ndarray, v: str) -> str:
    """What these values are, and how they become +-1; or why that is not known."""
    found = np.unique(values).astype(np.float64)
    low, high, whole = found[0], found[-1], np.all(found == np.round(found))
    if len(found) == 1 and low == 0:
        return "all are 0: whether they are bits, or not set yet, is not known here"
    if len(found) <= 2 and low == 0 and high == 1:
        return f"for bits, where 1 stands for +1 and 0 for -1, pass np.where({v} == 1, 1, -1)"
    if values.dtype.kind == "u" and set(found) <= {1, np.iinfo(values.dtype).max}:
        return f"for -1 that became {high:g} as {values.dtype}, pass {v}.astype(np.int8)"
    if len(found) == 2 and low >= 0:
        return (f"there are {low:g} and {high:g}, and which stands for +1 is not known here: if it is the higher one, "
                f"pass np.where({v} == {high:g}, 1, -1)")
    if _is_ternary(values, found):
        return (f"there are {low:g}, 0 and {high:g}: 0 has no bit, and ternary weights no exact form in binary memory; "
                "giving 0 a sign makes another network")
    if 0 not in found and _is_scaled(values):
        return f"each unit has +-s: {SCALE_REMEDY.format(v=v)}"
    if whole and len(found) > 2:
        return (f"there are integers {low:g} to {high:g}, weights of several bits: taking their signs makes another "
                "network, if it was not trained for that")
    return (f"for latent weights of a network that was trained to compute with their signs (where the sign of 0 is +1) "
            f"pass np.where({v} >= 0, 1, -1); of real-valued weights that makes another network")


def _is_ternary(values: np.ndarray, found: np.ndarray) -> bool:
    """-s, 0 and s, with one s for all, or for each unit."""
    if len(found) == 3 and found[1] == 0 and found[0] == -found[2]:
        return True
    return values.ndim > 1 and bool((values == 0).any()) and (found != 0).any() and _is_scaled(values, True)


def _is_scaled(values: np.ndarray, zeros: bool = False) -> bool:
    """Whether all values of a unit have one size, next to zeros where these are allowed."""
    sizes = np.abs(values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)).astype(np.float64)
    most = sizes.max(axis=1, keepdims=True)
    return bool(sizes.shape[1] > 1 and np.all(np.isclose(sizes, most, rtol=1e-6, atol=0) | (zeros & (sizes == 0))))
