"""Curves of a training."""

from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.figures.style import COLOURS, Drawn, Width, new_panels, written

if TYPE_CHECKING:
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
    figure, (left, right) = new_panels((8.0, 3.6), 1, 2, ax=ax, width=width)
    epochs = np.arange(1, len(history.loss) + 1)
    left.plot(epochs, history.loss, color=COLOURS[0], marker="o", markersize=3)
    left.set_ylabel("training loss")
    right.plot(epochs, 100 * np.array(history.accuracy), color=COLOURS[0], marker="o", markersize=3, label="training")
    if history.validation_accuracy and history.validation_accuracy[0] is not None:
        right.plot(epochs, 100 * np.array(history.validation_accuracy), color=COLOURS[1], marker="s", markersize=3,
                   linestyle="--", label="validation")
    right.set_ylabel("accuracy (%)")
    right.legend(loc="lower right", frameon=False)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.locator_params(axis="x", integer=True)
    return written(figure, path, ax)
