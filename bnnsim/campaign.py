"""Sweeps: accuracy of networks over bit error rates and trials ("chips")."""

import csv
import io
import os
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

import bnnsim.files as files
import bnnsim.results as results
from bnnsim.checks import check_images, check_int, check_labels, check_probability
from bnnsim.datasets import Split
from bnnsim.faults import BitFlips
from bnnsim.kernels import run_tasks
from bnnsim.packed import PackedNetwork
from bnnsim.seeding import root_seed


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Accuracy over bit error rates.

    Attributes
    ----------
    names : tuple of str
        Networks.
    rates : float64 (R,)
    accuracy : float64 (networks, rates, trials)
        Shares of 1.
    n_images : int
        Every accuracy is over all of them.
    split, seed : str, int
    checksums : tuple of str
        Of the networks.
    """

    names: tuple
    rates: np.ndarray
    accuracy: np.ndarray
    n_images: int
    split: str
    seed: int
    checksums: tuple = field(default=())

    def mean(self):
        """Mean over trials, (networks, rates)."""
        return self.accuracy.mean(axis=2)

    def std(self):
        """Standard deviation over trials (ddof 1; 0 with one trial), (networks, rates)."""
        if self.accuracy.shape[2] == 1:
            return np.zeros(self.accuracy.shape[:2])
        return self.accuracy.std(axis=2, ddof=1)

    def table(self):
        """Text: per network and rate the mean, standard deviation, least and largest accuracy in percent."""
        width = max(len("network"), *(len(name) for name in self.names))
        lines = [f"{'network'.ljust(width)}  {'BER':>9}  {'mean %':>7}  {'std':>6}  {'min %':>7}  {'max %':>7}"]
        for name, row, mean, std in zip(self.names, self.accuracy, self.mean(), self.std()):
            for rate, trials, m, s in zip(self.rates, row, mean, std):
                lines.append(f"{name.ljust(width)}  {rate:9.3g}  {100 * m:7.2f}  {100 * s:6.2f}  "
                             f"{100 * trials.min():7.2f}  {100 * trials.max():7.2f}")
        return "\n".join(lines)

    def csv(self):
        """One line a cell: network, rate, trial, accuracy, n_images, split, seed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["network", "rate", "trial", "accuracy", "n_images", "split", "seed"])
        for name, row in zip(self.names, self.accuracy):
            for rate, trials in zip(self.rates, row):
                for trial, accuracy in enumerate(trials):
                    writer.writerow([name, repr(float(rate)), trial, repr(float(accuracy)), self.n_images, self.split,
                                     self.seed])
        return text.getvalue()

    def save(self, path):
        """Write a .csv table, or an HDF5 file, whole or not at all; its content hangs on the sweep's arguments alone."""
        if os.fspath(path).lower().endswith(".csv"):
            with files.replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(self.csv())
            return
        settings = {"names": list(self.names), "checksums": list(self.checksums), "n_images": self.n_images,
                    "split": self.split, "seed": str(self.seed)}
        results.save_results(path, settings, {"accuracy": self.accuracy, "rates": self.rates})

    @classmethod
    def load(cls, path):
        """Read and check an HDF5 file that `save` wrote."""
        settings, arrays = results.load_results(path)
        return cls(tuple(settings["names"]), arrays["rates"], arrays["accuracy"], settings["n_images"],
                   settings["split"], int(settings["seed"]), tuple(settings["checksums"]))

    def plot(self, path=None):
        """Draw accuracy over BER: see `bnnsim.plotting.ber_curve`."""
        import bnnsim.plotting as plotting

        return plotting.ber_curve(self, path)


def _named(networks):
    if isinstance(networks, PackedNetwork):
        return {"network": networks}
    if not isinstance(networks, dict) or not networks:
        raise TypeError("networks must be a PackedNetwork or a dict of name to PackedNetwork, got "
                        f"{type(networks).__name__}")
    for name, network in networks.items():
        if not isinstance(name, str):
            raise TypeError(f"names must be strings, got {name!r}")
        if not isinstance(network, PackedNetwork):
            raise TypeError(f"networks[{name!r}] must be a PackedNetwork (see bnnsim.pack), got "
                            f"{type(network).__name__}")
    return networks


def check_rates(rates):
    """Bit error rates as float64 (R,): at least one, each a probability, none twice."""
    rates = [check_probability(f"rates[{i}]", p) for i, p in enumerate(np.atleast_1d(np.asarray(rates, object)))]
    if not rates:
        raise ValueError("rates must have at least one bit error rate, got none")
    if len(set(rates)) < len(rates):
        raise ValueError(f"rates must differ from each other, got {rates}")
    return np.array(rates)


def sweep(networks, split, rates, trials=10, rng=None, progress=True):
    """Accuracy of networks whose stored weight bits are wrong at given rates.

    Parameters
    ----------
    networks : PackedNetwork, or dict of str to PackedNetwork
    split : Split
        All of its images are evaluated in every cell.
    rates : sequence of float
        Bit error rates.
    trials : int
        Chips a rate. A chip's bit errors are static over the images and drawn from (seed, trial, layer): networks of
        one architecture meet the same chips, and a chip's errors at a lower rate are a subset of a higher rate's.
    rng : None, int, SeedSequence or Generator
        The root seed; recorded in the result.
    progress : bool

    Returns
    -------
    SweepResult

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> split = bnnsim.Split(np.zeros((5, 1, 8, 8), np.uint8), np.zeros(5, np.uint8), "zeros")
    >>> bnnsim.sweep(network, split, [0, 0.1], trials=3, rng=0, progress=False).accuracy.shape
    (1, 2, 3)
    """
    networks, rates, trials = _named(networks), check_rates(rates), check_int("trials", trials, 1)
    root = root_seed(rng)
    if not isinstance(split, Split):
        raise TypeError(f"split must be a Split, one half of what load_dataset gives, got {type(split).__name__}")
    for network in networks.values():
        check_images(split.images, network.input_shape)
        check_labels(split.labels, len(split.images), network.n_classes)
    if len(split.images) == 0:
        raise ValueError("split must have at least one image")
    accuracy = np.empty((len(networks), len(rates), trials))
    cells = [(n, r, t) for n in range(len(networks)) for r in range(len(rates)) for t in range(trials)
             if rates[r] > 0 or t == 0]                          # without errors all chips are alike
    models = list(networks.values())
    for network in models:
        network.prepare()

    def evaluate(cell):
        n, r, t = cell
        return BitFlips(float(rates[r])).apply(models[n], root, t).accuracy(split)

    values = run_tasks(evaluate, cells)
    for (n, r, t), value in zip(cells, tqdm(values, total=len(cells), unit="cell", disable=not progress)):
        accuracy[n, r, t if rates[r] > 0 else slice(None)] = value
    return SweepResult(tuple(networks), rates, accuracy, len(split.images), split.name, root,
                       tuple(network.checksum for network in models))
