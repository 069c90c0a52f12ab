"""Every picture, and the only import of matplotlib: no pyplot, no window, no global state.

Each function takes results or arrays, returns a `matplotlib.figure.Figure`, and writes it where a path is given: .png,
.svg or .pdf. Results import it when they are drawn (`result.plot()`), never before.

May import all but metrics, proofs, campaign and what lies above them, whose results are types here, quoted.

To add a figure: a function in the file of what it shows, on axes from `style.new_axes` or `new_panels`, its name below,
a row in tests/figures/test_every_figure.py; look at it before you call it good.
"""

from bnnsim.figures.benchmarks import scaling_curves
from bnnsim.figures.cards import card_curves, pareto
from bnnsim.figures.devices import error_rates, fitted_states, redundancy
from bnnsim.figures.graphs import network_graph
from bnnsim.figures.metrics import (critical_histogram, failing_images, importance_curves, margin_histograms,
                                    predicted_curve, tolerance_curves)
from bnnsim.figures.networks import array_map, fault_map, first_layer_weights
from bnnsim.figures.proofs import approximation, certified_accuracy, chosen_flips, tightness
from bnnsim.figures.style import save_figure
from bnnsim.figures.sweeps import ber_curve, chip_histogram, class_curves
from bnnsim.figures.training import confusion_matrix, training_curves

__all__ = ["approximation", "array_map", "ber_curve", "card_curves", "certified_accuracy", "chip_histogram",
           "chosen_flips", "class_curves", "confusion_matrix", "critical_histogram", "error_rates", "failing_images",
           "fault_map", "first_layer_weights", "fitted_states", "importance_curves", "margin_histograms",
           "network_graph", "pareto", "predicted_curve", "redundancy", "save_figure", "scaling_curves", "tightness",
           "tolerance_curves", "training_curves"]
