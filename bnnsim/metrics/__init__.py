"""What makes a packed network stand bit errors: margins, tolerance, importance of neurons, prediction, critical bits.

    margins(network, images)                      |h - s| of every layer, as histograms and means
    bit_error_tolerance(network, images)          T of neurons, layers and network: exact, and in the paper's form
    importance(network, split, method="ablate")   what each neuron is worth, its variance, and how much of it is noise
    predicted_accuracy(network, split, rates)     accuracy over bit error rates from statistics of flips
    critical_bits(network, split, layer)          the exact effect of every single wrong weight of a layer
    ensemble(network, split, fault, reads)        several reads of one chip: accuracy, calibration, withheld answers
    hard_images(network, split, fault, chips)     which images fail on chips, beside their leads without errors

Each takes one pass over the images in bounded memory, the last two a pass a read of a chip, and returns a result with
``table()`` and ``plot(path)``. Imports faults, training, packed, figures and kernels; only commands import it.

To add a metric: a module with a function that takes a network and images (`packed.blocks.each_block` adds up what
blocks give, `packed.stages.Stage` has pre-activations) and returns such a result, its names below, its figure in
`figures.metrics`, a row in `WHAT` and in `JSON` of `bnnsim.explain`, and a naive twin in tests/naive_metrics.py.

References
----------
Buschjaeger et al. 2020, arXiv:2002.00909 (T); Buschjaeger et al. 2021, arXiv:2102.01344 (margins, importance); what is
reconstructed or derived is named in each function.
"""

from bnnsim.metrics.critical_weights import CriticalBits, critical_bits
from bnnsim.metrics.ensembles import (Ensemble, accuracy_over_coverage, calibration_error, ensemble, fit_temperature,
                                      log_loss, softmax, stochastic_images)
from bnnsim.metrics.evaluation import Evaluation
from bnnsim.metrics.flip_prediction import PredictedAccuracy, predicted_accuracy
from bnnsim.metrics.hard_images import HardImages, hard_images
from bnnsim.metrics.layer_margins import LayerMargins, Margins, margins
from bnnsim.metrics.neuron_importance import Importance, LayerImportance, importance
from bnnsim.metrics.neuron_tolerance import LayerTolerance, Tolerance, bit_error_tolerance, real_thresholds
from bnnsim.metrics.split_halves import Reliability

__all__ = ["CriticalBits", "Ensemble", "Evaluation", "HardImages", "Importance", "LayerImportance", "LayerMargins",
           "LayerTolerance", "Margins", "PredictedAccuracy", "Reliability", "Tolerance", "accuracy_over_coverage",
           "bit_error_tolerance", "calibration_error", "critical_bits", "ensemble", "fit_temperature", "hard_images",
           "importance", "log_loss", "margins", "predicted_accuracy", "real_thresholds", "softmax",
           "stochastic_images"]
