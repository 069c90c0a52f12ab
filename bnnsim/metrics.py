"""What makes a packed network stand bit errors: margins, tolerance, importance of neurons, prediction, critical bits.

    margins(network, images)                      |h - s| of every layer, as histograms and means
    bit_error_tolerance(network, images)          T of neurons, layers and network: exact, and in the paper's form
    importance(network, split, method="ablate")   what each neuron is worth, and the variance of it
    predicted_accuracy(network, split, rates)     accuracy over bit error rates without injecting one error
    critical_bits(network, split, layer)          the exact effect of every single wrong weight of a layer

Each takes one pass over the images in bounded memory, and returns a result with ``table()`` and ``plot(path)``.

References
----------
Buschjaeger et al. 2020, arXiv:2002.00909 (T); Buschjaeger et al. 2021, arXiv:2102.01344 (margins, importance); what is
reconstructed or derived is named in each function.
"""

from bnnsim.critical_weights import CriticalBits, critical_bits
from bnnsim.flip_prediction import PredictedAccuracy, predicted_accuracy
from bnnsim.margin_metrics import LayerMargins, Margins, margins
from bnnsim.neuron_importance import Importance, LayerImportance, importance
from bnnsim.tolerance_metrics import LayerTolerance, Tolerance, bit_error_tolerance, real_thresholds

__all__ = ["CriticalBits", "Importance", "LayerImportance", "LayerMargins", "LayerTolerance", "Margins",
           "PredictedAccuracy", "Tolerance", "bit_error_tolerance", "critical_bits", "importance", "margins",
           "predicted_accuracy", "real_thresholds"]
