"""exp, log, tanh, powers and cosines against 60 decimal digits; and a gradient's factor in NumPy's words."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest

from bnnsim.training.elementary import cos, exp, log, power, tanh
from bnnsim.training.estimators import ApproxSign, Clipped, Identity, SwishSign

pytestmark = pytest.mark.jit_off

DIGITS = decimal.Context(prec=60, Emin=-9999, Emax=9999)
TINY, LEAST, LARGEST = 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308


def exact_tanh(x):
    with decimal.localcontext(DIGITS):
        return ((2 * x).exp() - 1) / ((2 * x).exp() + 1)


def points(*intervals, near=()):
    """Numbers spread over intervals, and the neighbours of some."""
    rng = np.random.default_rng(1)
    spread = [rng.uniform(low, high, 400) for low, high in intervals]
    return np.concatenate([*spread, *[[np.nextafter(x, -np.inf), x, np.nextafter(x, np.inf)] for x in near]])


def magnitudes(low, high):
    return np.exp(np.random.default_rng(2).uniform(low, high, 400))


SIGNS = np.repeat([-1.0, 1.0], 200)
# function, exact, numbers, largest error in units of the last place
ACCURACIES = {
    "exp": (exp, DIGITS.exp, points((-3, 3), (-745, 709.7), (-745.1, -708), near=(0, 1, -1, math.log(2) / 2)), 1.2),
    "log": (log, DIGITS.ln, np.concatenate([
        points((0.5, 2), (0.99, 1.01), (1, 10), near=(1, 0.5, 2, math.sqrt(0.5), math.sqrt(2), LEAST)),
        magnitudes(-744, 709), [TINY, 2 * TINY, LARGEST]]), 1.0),
    "tanh": (tanh, exact_tanh, np.concatenate([
        points((-1.2, 1.2), (0.5, 0.6), (-25, 25), near=(0.55, -0.55, 19)), magnitudes(-30, 0) * SIGNS]), 2.2)}


def errors(found, x, exact):
    """|found - exact(x)| in units of the last place of the nearest float."""
    for number, at in zip(found.tolist(), x.tolist()):
        wanted = exact(Decimal(at))
        yield abs(DIGITS.subtract(Decimal(number), wanted)) / Decimal(math.ulp(float(wanted)))


@pytest.mark.parametrize("name", ACCURACIES)
def test_accuracy(name):
    function, exact, x, bound = ACCURACIES[name]
    found = function(x)
    assert max(errors(found, x, exact)) <= bound
    assert max(errors(found * (1 + 2.0 ** -50), x, exact)) > bound, "the test sees no error"
    longs = getattr(np, name)(x.astype(np.longdouble))           # another witness: 64 bits of fraction where C has them
    np.testing.assert_allclose(found.astype(np.longdouble), longs, rtol=2.5e-16 * bound, atol=5e-324)


@pytest.mark.parametrize("function, given, wanted", [
    (exp, [0, -0.0, np.inf, -np.inf, np.nan, 710, LARGEST, -746, -LARGEST, TINY, 1e-17],
     [1, 1, np.inf, 0, np.nan, np.inf, np.inf, 0, 0, 1, 1]),
    (log, [0, -0.0, 1, np.inf, -np.inf, np.nan, -1, -TINY, 2.0 ** -1074],
     [-np.inf, -np.inf, 0, np.inf, np.nan, np.nan, np.nan, np.nan, -744.4400719213812]),
    (tanh, [0.0, -0.0, np.inf, -np.inf, np.nan, TINY, -TINY, LEAST, 1e-20, 20, -LARGEST],
     [0.0, -0.0, 1, -1, np.nan, TINY, -TINY, LEAST, 1e-20, 1, -1])])
def test_at_the_ends(function, given, wanted):
    found = function(np.array(given))
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(np.signbit(found)[~np.isnan(found)], np.signbit(wanted)[~np.isnan(wanted)])


def test_where_exp_ends():
    """The largest x whose exponential is finite, the least whose is not 0, and steps of one between."""
    assert exp(np.array([709.782712893384]))[0] == pytest.approx(LARGEST, rel=1e-12)
    assert exp(np.array([-745.1332191019411])).tolist() == [TINY]
    assert exp(np.array([709.7827128933841, -745.1332191019412 - 2e-13])).tolist() == [np.inf, 0]
    subnormal = np.arange(-745, -708.0)
    np.testing.assert_allclose(exp(subnormal), [float(DIGITS.exp(Decimal(x))) for x in subnormal], rtol=0, atol=TINY)


def test_shapes_stay_and_inputs_too():
    x = np.asfortranarray(np.random.default_rng(3).normal(size=(5, 7)))[::2]
    before = x.copy()
    for function, wanted in ((exp, np.exp), (tanh, np.tanh)):
        np.testing.assert_allclose(function(x), wanted(x), rtol=1e-15)
    np.testing.assert_array_equal(x, before)
    assert exp(np.empty((0, 3))).shape == (0, 3) and exp(np.array([2])).dtype == np.float64


# numbers

def exact_cos(x):
    """By angles halved ten times: cos(2 a) = 2 cos(a)^2 - 1."""
    with decimal.localcontext(DIGITS):
        square = (Decimal(x) / 1024) ** 2
        found = sum((-square) ** i / math.factorial(2 * i) for i in range(14))
        for _ in range(10):
            found = 2 * found * found - 1
        return found


def test_cosine_is_the_nearest_float():
    for x in np.random.default_rng(4).uniform(0, math.pi, 100).tolist() + [math.pi / 2, math.pi, 1e-9, -2.0]:
        assert cos(x) == float(exact_cos(x)) == pytest.approx(math.cos(x), rel=1e-15)
    assert cos(0.0) == 1


def test_powers_are_the_nearest_floats():
    rng = np.random.default_rng(5)
    for base, n in zip(rng.random(100).tolist(), rng.integers(0, 60, 100).tolist()):
        a, b = base.as_integer_ratio()
        assert power(base, n) == a ** n / b ** n                # Python divides integers correctly rounded
    for base, exponent in rng.uniform(0.01, 20, (100, 2)).tolist():
        wanted = DIGITS.exp(DIGITS.multiply(DIGITS.ln(Decimal(base)), Decimal(exponent)))
        assert power(base, exponent) == float(wanted) == pytest.approx(base ** exponent, rel=1e-15)


@pytest.mark.parametrize("base, exponent, wanted", [
    (0.0, 1, 0), (0.5, 0, 1), (0.9, 0.0, 1), (1, 7.3, 1), (0.5, 1074, TINY), (0.5, 1e6, 0), (0.999, 10**9, 0),
    (np.float32(0.5), np.int64(2), 0.25)])
def test_powers_at_the_ends(base, exponent, wanted):
    assert power(base, exponent) == wanted


def test_a_users_decimal_context_changes_nothing(monkeypatch):
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP, traps=[decimal.Inexact])):
        assert power(0.987, 1234567.8) == 0.0 and power(0.987, 12.25) == 0.987 ** 12.25
        assert cos(2.5) == math.cos(2.5)


# estimators

@pytest.mark.parametrize("ste, wanted", [
    (Identity(), lambda y: np.ones(y.shape)), (Clipped(), lambda y: 1.0 * (np.abs(y) <= 1)),
    (ApproxSign(), lambda y: np.maximum(2 - 2 * np.abs(y), 0)),
    (SwishSign(3.0), lambda y: 3 * (2 - 3 * y * np.tanh(1.5 * y)) / (1 + np.cosh(3 * y)))])
def test_pseudo_gradients_are_their_formulas(ste, wanted):
    """In Python as in the kernels."""
    y = np.random.default_rng(6).normal(0, 2, (40, 3))
    found = ste.pseudo_gradient(y)
    assert found.shape == y.shape and found.dtype == np.float64
    np.testing.assert_allclose(found, wanted(y), rtol=1e-13, atol=1e-14)
