"""Losses: (scores, labels) -> (mean loss, gradient of the scores). N batch, U classes.

A loss of your own is any `Loss`: a function, or a frozen dataclass with a call. One that does not suit every network
has a method ``check(model)`` too, which raises ValueError for those that it does not suit; one that knows more of an
image than its label has a method ``of_images(chosen, n_images)``, which gives the loss of a batch: see `Distillation`.
Its exp, log and tanh are best those of `training.elementary`: NumPy's differ in the last digit between CPUs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bnnsim.checks import check_array, check_choice, check_int, check_probability, check_real
from bnnsim.training.elementary import exp, log, tanh
from bnnsim.training.plug_ins import as_text

if TYPE_CHECKING:
    from bnnsim.training.model import Graph


class Loss(Protocol):
    """What training makes small."""

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        """Scores float64 (N, U) and labels uint8 (N,) -> the batch's mean loss, and its gradient float32 (N, U)."""


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
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
    loss, dscores = _cross_entropy(scores, labels)
    return loss, dscores.astype(np.float32)


def _cross_entropy(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The same in float64."""
    log_p, p = _softmax(scores)
    rows = np.arange(len(labels))
    loss = float(np.mean(0.0 - log_p[rows, labels]))            # and not -0.0
    p[rows, labels] -= 1.0
    return loss, p / len(labels)


def _targets(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """+1 for the label's class and -1 for the others (N, U)."""
    y = np.full(scores.shape, -1.0)
    y[np.arange(len(labels)), labels] = 1.0
    return y


def _check_integer(name: str, model: "Graph") -> None:
    if not model.integer_logits:
        raise ValueError(f"{name} needs integer logits, and this model's scores are batch norm's: build it with "
                         "output_norm=False (--no-output-norm)")


def _check_reach(name: str, value: float, model: "Graph") -> None:
    """No logit is larger than the output layer's fan-in: a margin above it would never be reached."""
    if model.integer_logits and value > model.output_fan_in:
        raise ValueError(f"{name} must be at most the output layer's fan-in, {model.output_fan_in}, the largest logit "
                         f"that it can give; got {value}")


@dataclass(frozen=True)
class ModifiedHinge:
    """Modified hinge loss (MHL): mean over classes of max(0, b - y_c s_c) / b, y_c = +1 for the label, else -1.

    s_c are the integer logits, without a scale: the authors' code multiplies them by a learnt one, so that the margin
    which it enforces is b / scale; here scale = 1.

    Parameters
    ----------
    b : float, > 0
        The margin wanted of each logit, at most the output layer's fan-in.

    References
    ----------
    Buschjaeger et al., "Margin-maximization in binarized neural networks for optimizing bit error tolerance", DATE
    2021: the loss and b = 128 of the authors' code [C].

    Examples
    --------
    >>> import numpy as np
    >>> loss, dscores = ModifiedHinge(b=4)(np.array([[6.0, 0.0]]), np.array([0], np.uint8))
    >>> loss, dscores.tolist()
    (0.5, [[0.0, 0.125]])
    """

    b: float = 128.0

    def __post_init__(self) -> None:
        check_real("b", self.b, 0, open_low=True)

    def check(self, model: "Graph") -> None:
        """ValueError for a model that this loss does not suit."""
        _check_integer("the modified hinge loss", model)
        _check_reach("b", self.b, model)

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        y = _targets(scores, labels)
        short = np.maximum(self.b - y * scores, 0.0)
        return float(short.mean()) / self.b, np.where(short > 0, -y / (self.b * scores.size), 0.0).astype(np.float32)


@dataclass(frozen=True)
class SquaredHinge:
    """Squared hinge loss: mean over classes of max(0, margin - y_c s_c)^2, y_c = +1 for the label, else -1.

    The loss of the original BinaryNet, there with margin 1 and batch norm behind the last layer [M].

    Parameters
    ----------
    margin : float, > 0
        With integer logits at most the output layer's fan-in.
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        check_real("margin", self.margin, 0, open_low=True)

    def check(self, model: "Graph") -> None:
        """ValueError for a model that this loss does not suit."""
        _check_reach("margin", self.margin, model)

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        y = _targets(scores, labels)
        short = np.maximum(self.margin - y * scores, 0.0)
        return float(np.mean(short * short)), (-2.0 * y * short / scores.size).astype(np.float32)


@dataclass(frozen=True)
class MarginCrossEntropy:
    """Margin cross entropy (MCEL): cross entropy of z_c = bound * tanh(s_c / bound), less `margin` for the label.

    Parameters
    ----------
    margin : float
        m, in 0..2 * bound: z of the label must lead by so much before the loss is small.
    bound : float, > 0
        L, which no z exceeds.

    References
    ----------
    arXiv:2603.05048: bounded logits and a margin [V: abstract]; the formula, L = 100 and m in 32..128 from secondary
    summaries, and that m is taken after the tanh is a reconstruction [R].
    """

    margin: float = 64.0
    bound: float = 100.0

    def __post_init__(self) -> None:
        check_real("bound (L)", self.bound, 0, open_low=True)
        check_real("margin (m)", self.margin, 0)
        if self.margin > 2 * self.bound:
            raise ValueError(f"margin (m) must be at most 2 * bound, {2 * self.bound}: bounded logits do not differ by "
                             f"more; got {self.margin}")

    def check(self, model: "Graph") -> None:
        """ValueError for a model that this loss does not suit."""
        _check_integer("margin cross entropy", model)

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        bounded = tanh(scores / self.bound)
        z = self.bound * bounded
        z[np.arange(len(labels)), labels] -= self.margin
        loss, dz = _cross_entropy(z, labels)
        return loss, (dz * (1.0 - bounded * bounded)).astype(np.float32)


@dataclass(frozen=True, repr=False, eq=False)
class Distillation:
    """Knowledge distillation: part of the loss is how far scores are from those that a teacher gave the same images.

    share * T**2 * (cross entropy of softmax(scores / T) against softmax(teacher / T)) + (1 - share) * cross entropy of
    the labels. The first part is less its least value, the teacher's entropy, and so a Kullback-Leibler divergence. On
    other images, as in validation, the loss is the cross entropy of the labels.

    Parameters
    ----------
    teacher_scores : float64 (N, U)
        Of the training images, in their order: ``teacher.scores(train.images)``, or anybody's logits. With
        ``augment=True`` they are still those of the images as they were.
    temperature : float, > 0
        T.
    share : float, in [0, 1]
        1 with T = 1 is the distributional loss of ReActNet: Liu et al. 2020, arXiv:2003.03488 [C].

    References
    ----------
    Hinton, Vinyals, Dean 2015, arXiv:1503.02531, section 2 [M].

    Examples
    --------
    >>> import numpy as np
    >>> loss = Distillation(np.array([[0.0, 2.0], [1.0, 0.0]]), share=1.0).of_images(np.array([1]), n_images=2)
    >>> value, dscores = loss(np.array([[1.0, 0.0]]), np.array([0], np.uint8))
    >>> value, dscores.tolist()
    (0.0, [[0.0, 0.0]])
    """

    teacher_scores: np.ndarray
    temperature: float = 4.0
    share: float = 0.9

    def __post_init__(self) -> None:
        scores = check_array("teacher_scores", self.teacher_scores, np.float64, (None, None))
        if not np.isfinite(scores).all():
            raise ValueError("teacher_scores must be finite numbers")
        check_real("temperature", self.temperature, 0, open_low=True)
        check_probability("share", self.share)

    def __repr__(self) -> str:
        return f"Distillation(temperature={self.temperature}, share={self.share})"

    def check(self, model: "Graph") -> None:
        """ValueError for a model that this loss does not suit."""
        if self.teacher_scores.shape[1] != model.n_classes:
            raise ValueError(f"teacher_scores must have a column for each of the model's {model.n_classes} classes, "
                             f"got {self.teacher_scores.shape[1]}")

    def of_images(self, chosen: np.ndarray, n_images: int) -> Loss:
        """The loss of a batch: of the images with these numbers, of so many in all."""
        if len(self.teacher_scores) != n_images:
            raise ValueError(f"teacher_scores must have a row for each of the {n_images} images that are trained on, "
                             f"got {len(self.teacher_scores)}: hold out first, and give the teacher what is left")
        teacher = self.teacher_scores[chosen] / self.temperature

        def distilled(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
            (wanted, target), (log_p, p) = _softmax(teacher), _softmax(scores / self.temperature)
            far = float(np.mean((target * (wanted - log_p)).sum(axis=1))) * self.temperature ** 2
            dfar = (p - target) * self.temperature / len(labels)
            hard, dhard = _cross_entropy(scores, labels)
            return (self.share * far + (1 - self.share) * hard,
                    (self.share * dfar + (1 - self.share) * dhard).astype(np.float32))

        return distilled

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        return cross_entropy(scores, labels)


def _softmax(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log of the softmax, softmax)."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    exponentials = exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    return shifted - log(sums), exponentials / sums


def of_images(loss: Loss, chosen: np.ndarray, n_images: int) -> Loss:
    """The loss of a batch, of images with these numbers among those that are trained on."""
    return loss.of_images(chosen, n_images) if hasattr(loss, "of_images") else loss


@dataclass(frozen=True, repr=False)
class ClassWeighted:
    """A loss whose images weigh what their classes do: L = sum_i w[y_i] l_i / sum_i w[y_i] over the batch.

    l_i is the loss of image i alone, of which the loss inside gives the mean; w the weights by class. So a batch's loss
    is the weighted mean of its images', the same for weights c w, and that of the loss inside where weights are equal.
    The gradient is that of L: w[y_i] N / sum_j w[y_j] times the one inside, in float64, rounded to float32 at the end.

    Parameters
    ----------
    loss : Loss
        A mean over images, each with its own part of the scores: images of one weight are asked together.
    weights : tuple of float, > 0
        One a class.

    Examples
    --------
    >>> import numpy as np
    >>> loss, dscores = ClassWeighted(cross_entropy, (1.0, 3.0))(np.zeros((2, 2)), np.array([0, 1], np.uint8))
    >>> round(loss, 4), dscores.tolist()
    (0.6931, [[-0.125, 0.125], [0.375, -0.375]])
    """

    loss: Loss
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        for i, weight in enumerate(self.weights):
            check_real(f"class_weight of class {i}", weight, 0, open_low=True)

    def __repr__(self) -> str:
        return f"ClassWeighted(loss={as_text(self.loss)}, weights={self.weights})"

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.array(self.weights)[labels]
        total, loss, dscores = float(weights.sum()), 0.0, np.empty(scores.shape, np.float32)
        for weight in np.unique(weights):
            rows = np.flatnonzero(weights == weight)
            share = float(weight) * len(rows) / total           # 1 exactly, where all weigh the same
            mean, gradient = self.loss(scores[rows], labels[rows])
            loss += share * mean
            dscores[rows] = share * gradient.astype(np.float64)
        return loss, dscores


def class_weights(class_weight: str | Mapping[int, float], labels: np.ndarray, n_classes: int) -> tuple[float, ...]:
    """The weight of each class, from `fit`'s ``class_weight``."""
    if isinstance(class_weight, Mapping):
        for label in class_weight:
            check_int("a class of class_weight", label, 0, n_classes - 1)
        return tuple(check_real(f"class_weight of class {label}", class_weight.get(label, 1.0), 0, open_low=True)
                     for label in range(n_classes))
    if not isinstance(class_weight, str):
        raise TypeError("class_weight must be \"balanced\" or a dict of class to weight, such as {3: 2.0}, got "
                        f"{class_weight!r:.200}")
    check_choice("class_weight", class_weight, ("balanced",))
    counts = np.bincount(labels, minlength=n_classes).tolist()
    n_seen = sum(count > 0 for count in counts)
    return tuple(len(labels) / (n_seen * count) if count else 1.0 for count in counts)


# Those that ship, by the words that ``fit(loss="mhl")`` and the command line take.
LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "mhl": ModifiedHinge(), "squared-hinge": SquaredHinge(),
                           "mcel": MarginCrossEntropy()}


def check_loss(loss: str | Loss, model: "Graph", weights: tuple[float, ...] | None = None) -> Loss:
    """A loss that suits the model, from its name in LOSSES or from itself; with weights of classes, where given."""
    if isinstance(loss, str) or not callable(loss):
        loss = LOSSES[check_choice("loss", loss, LOSSES)]
    if isinstance(loss, type):
        raise TypeError(f"loss must be an object such as {loss.__name__}(), got the class {loss.__name__}")
    if hasattr(loss, "check"):
        loss.check(model)
    if weights is not None and hasattr(loss, "of_images"):
        raise ValueError(f"class_weight goes with losses of scores and labels alone, and {as_text(loss)} knows more of "
                         "an image")
    return loss if weights is None else ClassWeighted(loss, weights)
