"""Curves of a training, and what a trained network confuses with what."""

from typing import TYPE_CHECKING

import numpy as np

import bnnsim.datasets.class_names as class_names
from bnnsim.checks import FilePath
from bnnsim.figures.drawn import check_drawn
from bnnsim.figures.style import COLOURS, Drawn, Width, legend_below, new_panels, plain, written

if TYPE_CHECKING:
    from bnnsim.metrics.evaluation import Evaluation
    from bnnsim.training import History


def training_curves(history: "History", path: FilePath | None = None, *, ax: "Drawn | None" = None,
                    width: Width = None) -> "Drawn":
    """Loss and accuracy over epochs.

    Parameters
    ----------
    history : History
    path : path, optional
    ax : sequence of two matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("history", history, "History", "bnnsim.fit")
    figure, (left, right) = new_panels((8.0, 3.6), 1, 2, ax=ax, width=width)
    epochs = np.arange(1, len(history.loss) + 1)
    left.plot(epochs, history.loss, color=COLOURS[0], marker="o", markersize=3, label="training")
    left.set_ylabel("training loss")
    if history.validation_loss:
        losses = [np.nan if loss is None else loss for loss in history.validation_loss]
        left.plot(epochs, losses, color=COLOURS[1], marker="s", markersize=3, linestyle="--", label="validation")
        left.set_ylabel("loss")
    right.plot(epochs, 100 * np.array(history.accuracy), color=COLOURS[0], marker="o", markersize=3, label="training")
    if any(accuracy is not None for accuracy in history.validation_accuracy):
        accuracies = 100 * np.array(history.validation_accuracy, np.float64)
        right.plot(epochs, accuracies, color=COLOURS[1], marker="s", markersize=3, linestyle="--", label="validation")
    right.set_ylabel("accuracy (%)")
    if ax is None:
        legend_below(figure, right.get_legend_handles_labels()[1], lines=right.get_lines())
    else:
        right.legend(loc="best", framealpha=0.8)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.locator_params(axis="x", integer=True)
    return written(figure, path, ax)


WRITTEN = 20                        # classes up to which cells have their numbers written in


def confusion_matrix(evaluation: "Evaluation", path: FilePath | None = None, *, ax: "Drawn | None" = None,
                     width: Width = None) -> Drawn:
    """The confusion matrix, in shares of each label's images; cells of up to 20 classes say how many they are.

    Parameters
    ----------
    evaluation : bnnsim.metrics.Evaluation
    path : path, optional
    ax, width
        Axes to draw on, or a size: see `bnnsim.figures`.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("evaluation", evaluation, "Evaluation", "bnnsim.metrics.Evaluation")
    counts = evaluation.confusion
    n = len(counts)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(3.2, 0.46 * min(n, WRITTEN))
    figure, (axes,) = new_panels((side + 2.6, side + 1.6), grid=False, ax=ax, width=width)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, cax=axes.inset_axes((1.04, 0, 0.05, 1)), label="share of the label's images (%)")
    if n <= WRITTEN:
        names = [plain(name) for name in class_names.of(evaluation.split, n)]
        axes.set_xticks(range(n), names, rotation=90, fontsize=8)
        axes.set_yticks(range(n), names, fontsize=8)
        for i, j in np.ndindex(n, n):
            if counts[i, j]:
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=7,
                          color="white" if shares[i, j] > 55 else "black")
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    balanced = 100 * evaluation.balanced_accuracy
    axes.set_title(plain(f"{evaluation.name}, balanced accuracy {balanced:.2f} %"), fontsize=10)
    return written(figure, path, ax)
