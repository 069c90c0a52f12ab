"""Repeated reads of one chip as an ensemble: accuracy, calibration, and answers that are withheld where it is unsure.

N images, C classes, T reads. What is read wrong differs from read to read; or the input does, each image presented as
random black and white ones whose mean it is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnnsim.checks import (check_bool, check_choice, check_finite, check_images, check_int, check_labels, check_real,
                           clean_fields)
from bnnsim.faults.protocol import READ_IMAGES, Fault, apply_read, check_fault, when_drawn
from bnnsim.files.brief import Brief
from bnnsim.packed.blocks import check_labelled
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource, generator, root_seed

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

BINS = 15
LEAST, MOST = 1e-3, 1e3                     # temperatures that are tried, in mean spreads of an image's scores


# ---------------------------------------------------------------- probabilities and what they are worth

def softmax(scores: npt.ArrayLike, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (..., C) of scores (..., C): exp(s / temperature) over their sum."""
    scores, temperature = _check_scores(scores), check_real("temperature", temperature, 0, open_low=True)
    return _softmax(scores, temperature)


def _softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    shifted = (scores - scores.max(axis=-1, keepdims=True)) / temperature
    weights = np.exp(shifted)
    return weights / weights.sum(axis=-1, keepdims=True)


def calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: how far, in the mean over images, confidence and accuracy are apart.

    Images fall into bins of equal width of their confidence, the largest probability p: (0, 1 / B] to (1 - 1 / B, 1].
    The error is sum over bins of (images in it / N) |share of them that are right - mean p|.

    Parameters
    ----------
    probabilities : float (N, C)
        Rows add up to 1. Ties for the largest go to the lowest class.
    labels : int (N,)
    bins : int
        B.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> calibration_error([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]], [0, 1, 1, 1], bins=10)
    0.35
    """
    probabilities, labels = _check_probabilities(probabilities, labels)
    bins = check_int("bins", bins, 1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    at = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(at, right, bins) - np.bincount(at, confidence, bins)
    return float(round(np.abs(gaps).sum() / len(labels), 12))


def log_loss(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean of -ln of the probability of the right class (negative log-likelihood), probabilities no less than 1e-12."""
    probabilities, labels = _check_probabilities(probabilities, labels)
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean())


def accuracy_over_coverage(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """What is right of the images that are answered, if the least sure answers are withheld.

    Parameters
    ----------
    probabilities : float (N, C)
    labels : int (N,)

    Returns
    -------
    coverage : float64 (K,)
        Share of images that are answered: those of a confidence, the largest probability, of at least each value that
        occurs, from the largest on. Images of one confidence are answered together.
    accuracy : float64 (K,)
        Of those.

    Examples
    --------
    >>> coverage, accuracy = accuracy_over_coverage([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]], [0, 1, 1])
    >>> coverage.round(2).tolist(), accuracy.round(2).tolist()
    ([0.33, 0.67, 1.0], [1.0, 1.0, 0.67])
    """
    probabilities, labels = _check_probabilities(probabilities, labels)
    right = probabilities.argmax(axis=1) == labels
    values, at = np.unique(-probabilities.max(axis=1), return_inverse=True)
    answered = np.cumsum(np.bincount(at, minlength=len(values)))
    return answered / len(labels), np.cumsum(np.bincount(at, right, len(values))) / answered


def fit_temperature(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature of `softmax` at which scores of images that are set apart have the least log loss.

    Scores of a binarized network are sums behind a batch norm: nothing makes them logarithms of probabilities. One
    number scales them, so that no answer changes. It is sought from a thousandth to a thousand times the mean standard
    deviation of an image's scores.

    Parameters
    ----------
    scores : float (N, C), or (T, N, C)
        Of several reads, whose probabilities are averaged.
    labels : int (N,)
    """
    from scipy.optimize import minimize_scalar

    scores = _check_scores(scores)
    scores = scores[None] if scores.ndim == 2 else scores
    if scores.ndim != 3:
        raise ValueError(f"scores must have shape (images, classes), or (reads, images, classes), got {scores.shape}")
    labels = check_labels(labels, scores.shape[1], scores.shape[2])
    spread = float(scores.std(axis=-1).mean()) or 1.0

    def loss(log: float) -> float:
        return log_loss(_softmax(scores, spread * math.exp(log)).mean(axis=0), labels)

    logs = np.linspace(math.log(LEAST), math.log(MOST), 13)     # far below the best the loss is flat: log_loss is cut
    best = int(np.argmin([loss(log) for log in logs.tolist()]))
    found = minimize_scalar(loss, bounds=(float(logs[max(best - 1, 0)]), float(logs[min(best + 1, len(logs) - 1)])),
                            method="bounded", options={"xatol": 1e-4})
    return spread * math.exp(float(found.x))


def _check_scores(scores: npt.ArrayLike) -> np.ndarray:
    found = np.asarray(scores)
    if found.dtype.kind not in "iuf":
        raise TypeError(f"scores must be numbers, got dtype {found.dtype}")
    if found.ndim == 0 or found.size == 0:
        raise ValueError(f"scores must have shape (..., classes), of one at least, got {found.shape}")
    return check_finite("scores", found.astype(np.float64))


def _check_probabilities(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    found = np.asarray(probabilities)
    if found.dtype.kind not in "iuf":
        raise TypeError(f"probabilities must be numbers, got dtype {found.dtype}")
    found = found.astype(np.float64)
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"probabilities must have shape (images, classes), got {found.shape}")
    if not (np.all(found >= 0) and np.allclose(found.sum(axis=1), 1, atol=1e-6)):      # NaN fails here, too
        raise ValueError("probabilities must be at least 0 and add up to 1 for each image: see softmax")
    return found, check_labels(labels, len(found), found.shape[1])


# ---------------------------------------------------------------- reads

@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Brief):
    """Scores of several reads of one chip.

    Attributes
    ----------
    scores : float64 (T, N, C)
        One of -inf is of a class that is out; each image has another in each read.
    labels : uint8 (N,)
    temperature : float > 0
        Of the softmax: see `fit_temperature`.
    """

    scores: np.ndarray
    labels: np.ndarray
    temperature: float = 1.0

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores)
        if scores.dtype.kind not in "iuf":
            raise TypeError(f"scores must be numbers, got dtype {scores.dtype}")
        if scores.ndim != 3 or 0 in scores.shape:
            raise ValueError("scores must have shape (reads, images, classes), of one each at least, got "
                             f"{scores.shape}; for one read pass scores[None]")
        largest = scores.max(axis=2)                             # NaN where one is
        if not np.all(np.isfinite(largest)):
            read, image = np.argwhere(~np.isfinite(largest))[0].tolist()
            raise ValueError("scores must be no NaN or inf, and not all -inf, of any read and image, got "
                             f"{scores[read, image].tolist()!r:.80} of read {read}, image {image}: leave out what was "
                             "not read")
        object.__setattr__(self, "scores", scores.astype(np.float64, copy=False))
        object.__setattr__(self, "labels", check_labels(self.labels, *scores.shape[1:]))
        clean_fields(self, check_real, "temperature", low=0, open_low=True)

    def probabilities(self, n_reads: int | None = None, by: str = "scores") -> np.ndarray:
        """Probabilities (N, C) of the first reads together, all by default.

        by : "scores", the mean of their probabilities, or "votes", the share of reads that name each class
        """
        n_reads = len(self.scores) if n_reads is None else check_int("n_reads", n_reads, 1, len(self.scores))
        part = self.scores[:n_reads]
        if check_choice("by", by, ("scores", "votes")) == "votes":
            return np.eye(part.shape[2])[part.argmax(axis=2)].mean(axis=0)
        return _softmax(part, self.temperature).mean(axis=0)

    def measures(self, n_reads: int | None = None, by: str = "scores") -> dict[str, float]:
        """accuracy, calibration_error, log_loss, and sure_90: the accuracy of the surest nine tenths of answers."""
        probabilities = self.probabilities(n_reads, by)
        coverage, accuracy = accuracy_over_coverage(probabilities, self.labels)
        return {"accuracy": float(accuracy[-1]), "calibration_error": calibration_error(probabilities, self.labels),
                "log_loss": log_loss(probabilities, self.labels),
                "sure_90": float(accuracy[np.flatnonzero(coverage >= 0.9 - 1e-12)[0]])}

    def rows(self, by: str = "scores") -> list[dict[str, Any]]:
        """`measures` of 1, 2, 4, ... reads, and of all."""
        n, each = len(self.scores), [2**k for k in range(20) if 2**k < len(self.scores)]
        return [{"reads": t, **self.measures(t, by)} for t in (*each, n)]

    def table(self, by: str = "scores") -> str:
        """Text: a line a number of reads."""
        lines = ["reads  accuracy %  calibration error %  log loss  accuracy % of the surest 90 %"]
        lines += [f"{row['reads']:>5}  {100 * row['accuracy']:>10.2f}  {100 * row['calibration_error']:>19.2f}  "
                  f"{row['log_loss']:>8.4f}  {100 * row['sure_90']:>29.2f}" for row in self.rows(by)]
        return "\n".join(lines)


def ensemble(network: PackedNetwork, split: "LabelledImages", fault: Fault | None = None, reads: int = 8,
             rng: RandomSource = None, *, trial: int = 0, stochastic: bool = False,
             temperature: float = 1.0) -> Ensemble:
    """Read one chip several times.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
    fault : fault, optional
        One whose ``when`` is "read", such as ``EachRead(BitFlips(0.05))``, or in a `Compose` with what a chip keeps.
        Without, the network is read right, and only a stochastic input makes reads differ.
    reads : int
        T.
    rng : None, int, SeedSequence or Generator
        The root seed. Each read has its own numbers: 500 images share one, as in a sweep.
    trial : int
        Which chip.
    stochastic : bool
        Present each image as T random images of black and white alone, a pixel white with probability level / 255: what
        multiplies pixels then is as binary as the rest.
    temperature : float
        See `fit_temperature`.

    Returns
    -------
    Ensemble
        The same for any number of threads; of more reads the first ones are the same.

    References
    ----------
    Stochastic input: Hirtzlin et al., IEEE Access 2019, arXiv:1906.00915 [V: abstract]; that presentations are averaged
    behind the last layer is reconstructed.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_cnn")
    >>> noise = bnnsim.faults.EachRead(bnnsim.faults.BitFlips(0.15))
    >>> found = ensemble(network, bnnsim.load_embedded()[1][:200], noise, reads=8, rng=0)
    >>> found.measures()["accuracy"] > found.measures(1)["accuracy"]
    True
    """
    labels = check_labelled(network, split)
    reads, trial, root = check_int("reads", reads, 1), check_int("trial", trial, 0), root_seed(rng)
    temperature = check_real("temperature", temperature, 0, open_low=True)
    check_bool("stochastic", stochastic)
    if fault is not None and when_drawn(check_fault("fault", fault)) != "read":
        raise ValueError(f"fault must be drawn at each read, or all reads are alike: EachRead({fault!r}); got "
                         f"{fault!r}")
    if fault is None and not stochastic and reads > 1:
        raise ValueError("reads differ by a fault or by stochastic=True: without either there is one")
    scores = np.concatenate([_scores(network, split.images, fault, read, root, trial, stochastic)[None]
                             for read in range(reads)])
    return Ensemble(scores, labels, temperature)


def _scores(network: PackedNetwork, images: np.ndarray, fault: Fault | None, read: int, root: int, trial: int,
            stochastic: bool) -> np.ndarray:
    if stochastic:
        images = stochastic_images(images, generator(root, "stochastic input", read))
    parts = range(0, len(images), READ_IMAGES)
    found = []
    for b, first in enumerate(parts):
        broken = network if fault is None else apply_read(fault, network, root, trial, read * len(parts) + b)
        found.append(broken.scores(images[first:first + READ_IMAGES]))
    return np.concatenate(found)


def stochastic_images(images: np.ndarray, rng: RandomSource = None) -> np.ndarray:
    """Images (N, C, H, W) uint8 of 0 and 255 alone: each pixel is 255 with probability level / 255.

    rng : None, int, SeedSequence or Generator; numbers are drawn from a generator itself, else from the stream
        "stochastic images" of the root seed
    """
    images = check_images(images)
    if not isinstance(rng, np.random.Generator):
        rng = generator(root_seed(rng), "stochastic images")
    white = [rng.random(part.shape, np.float32) * np.float32(255) < part for part in _in_parts(images)]
    return np.concatenate(white).astype(np.uint8) * np.uint8(255)


def _in_parts(images: np.ndarray, size: int = 1000) -> Iterator[np.ndarray]:
    for first in range(0, max(len(images), 1), size):
        yield images[first:first + size]
