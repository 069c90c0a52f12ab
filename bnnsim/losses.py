"""Losses: (scores, labels) -> (mean loss, gradient of the scores). N batch, U classes."""

import numpy as np


def cross_entropy(scores, labels):
    """Softmax cross entropy, as in Buschjaeger et al. 2020, section V [V].

    Parameters
    ----------
    scores : float64 (N, U)
    labels : uint8 (N,)

    Returns
    -------
    loss : float
        Mean over the batch, in nats.
    dscores : float32 (N, U)
        (softmax - one hot) / N.

    Examples
    --------
    >>> import numpy as np
    >>> loss, dscores = cross_entropy(np.zeros((1, 2)), np.array([1], np.uint8))
    >>> round(loss, 4), dscores.tolist()
    (0.6931, [[0.5, -0.5]])
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(np.mean(np.log(sums[:, 0]) - shifted[rows, labels]))
    dscores = exponentials / sums
    dscores[rows, labels] -= 1.0
    return loss, (dscores / len(labels)).astype(np.float32)


LOSSES = {"cross-entropy": cross_entropy}
