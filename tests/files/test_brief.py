"""What results say of themselves at a prompt: a few words, however many numbers they hold."""

import dataclasses
import importlib
import inspect

import numpy as np
import pytest

import bnnsim
import bnnsim.metrics as metrics
from bnnsim.files.brief import shown

pytestmark = pytest.mark.jit_off

SHOWN = [(3, "3"), ("a 'b'", '"a \'b\'"'), (None, "None"), (np.float32([0.5, 1]), "[0.5, 1.0]"),
         (np.zeros(5, np.int32), "<int32 5>"), (np.zeros((2, 3), bool), "<bool 2 x 3>"),
         (np.zeros(()), "<float64 number>"), (np.zeros(0, np.uint8), "[]"), ([1] * 5, "<list of 5>"),
         ({"a": 1}, "{'a': 1}"), ((), "()"), ((np.zeros(9),), "(<float64 9>,)"), ([1, "b"], "[1, 'b']")]


@pytest.mark.parametrize("value, text", SHOWN, ids=[text for _, text in SHOWN])
def test_what_is_long_is_told_by_its_size(value, text):
    assert shown(value) == text


def test_fields_stand_by_name_and_nested_results_inside():
    margins = metrics.LayerMargins(0, "dense", 2, 9, 1, np.zeros(40), np.zeros((2, 39), int), np.zeros(2), np.zeros(2))
    assert repr(metrics.Margins((margins,), 7)) == (
        "Margins(layers=(LayerMargins(index=0, kind='dense', units=2, fan_in=9, level=1, edges=<float64 40>, "
        "counts=<int64 2 x 39>, by_neuron=[0.0, 0.0], over_spread=[0.0, 0.0]),), n_images=7)")


def public_dataclasses():
    """Of bnnsim and of its packages' own names."""
    packages = [bnnsim, *(importlib.import_module(f"bnnsim.{name}") for name in (
        "metrics", "proofs", "faults", "packed", "devices", "datasets", "campaign", "training", "statistics"))]
    classes = {kind for package in packages for _, kind in inspect.getmembers(package, inspect.isclass)}
    return [kind for kind in classes if dataclasses.is_dataclass(kind) and not kind.__name__.startswith("_")]


def test_every_result_with_arrays_has_a_form_of_its_own():
    """Else a prompt prints its numbers, a page of them."""
    with_arrays = [kind for kind in public_dataclasses()
                   if any("ndarray" in str(part.type) and part.repr for part in dataclasses.fields(kind))]
    assert len(with_arrays) > 15
    generated = [kind for kind in with_arrays if hasattr(kind.__repr__, "__wrapped__")]     # by dataclass itself
    assert not generated
