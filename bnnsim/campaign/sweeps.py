"""Sweeps: accuracy of networks over bit error rates and trials ("chips"), on any executor, resumable, exact.

A sweep is a campaign: a bag of cells (`cells.run_cell`), each a pure function of its ids, so neither the executor, nor
the order, nor a kill and a resume can change a result. Here is what users call, and what they may ask for; then
`grid.Campaign` has the cells, `store.Store` keeps them, and `engine.run` has them evaluated.
"""

import contextlib
import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, cast

import numpy as np
import numpy.typing as npt

import bnnsim.files.file_format as file_format
import bnnsim.statistics.stopping as stopping
from bnnsim.campaign.cells import Context, Series
from bnnsim.campaign.engine import run
from bnnsim.campaign.grid import MOST_TRIALS, Campaign
from bnnsim.campaign.provenance import system
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.settings import SeriesEntry, Settings, Stopping
from bnnsim.campaign.store import Store
from bnnsim.checks import (FilePath, check_bool, check_images, check_int, check_labels, check_probability, check_real,
                           check_split, check_unmasked, digest_of, parts_missing)
from bnnsim.faults import BitFlips
from bnnsim.faults.axis import BER, check_axis, is_probability, moves_of
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource, root_seed

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.faults.protocol import RatedFault

One = TypeVar("One")


class SweepOptions(TypedDict, total=False):
    """Keyword arguments of `sweep` that functions around it pass on."""

    executor: Executor | None
    workers: int | None
    out: FilePath | None
    resume: bool
    ci_width: float | None
    max_trials: int | None
    predictions: bool
    progress: bool | Literal["log"]
    provenance: Mapping[str, Any] | None


def sweep(networks: PackedNetwork | Mapping[str, PackedNetwork],
          split: "LabelledImages | Mapping[str, LabelledImages]", rates: npt.ArrayLike, trials: int = 10,
          rng: RandomSource = None, *,
          faults: "RatedFault | Mapping[str, RatedFault] | None" = None, axis: str | None = None,
          executor: Executor | None = None, workers: int | None = None, out: FilePath | None = None,
          resume: bool = False, ci_width: float | None = None, max_trials: int | None = None,
          predictions: bool = False, progress: bool | Literal["log"] = True,
          provenance: Mapping[str, Any] | None = None) -> SweepResult:
    """Accuracy of networks whose stored weight bits are wrong at given rates, or along another axis of a fault.

    Parameters
    ----------
    networks : PackedNetwork, or dict of str to PackedNetwork
    split : Split, or dict of str to Split
        All images of each are evaluated in every cell. Anything with images, labels, name and sha256 will do.
    rates : sequence of float
        Numbers on the axis that the faults' ``at`` moves, none twice: bit error rates, or another's: of probabilities,
        such as shares of stuck cells, or any finite ones, such as volts.
    trials : int
        Chips a rate. A chip's bit errors are static over the images and drawn from (seed, trial, layer): networks of
        one architecture meet the same chips, and a chip's errors at a lower rate are a subset of a higher rate's.
    rng : None, int, SeedSequence or Generator
        The root seed; recorded in the result.
    faults : fault, or dict of str to fault, optional
        Fault settings; each cell applies ``fault.at(rate)``. `BitFlips` in all layers by default. A fault whose
        ``when`` is "read" is drawn anew for every 500 images, all others once a chip.
    axis : str, optional
        The name of that axis (`bnnsim.faults.axis`), where the faults do not say it in ``moves``, or say several. On
        an axis that is none of probabilities each rate gets `trials` chips, 0 too.
    executor : concurrent.futures.Executor, optional
        Where cells are evaluated, each in one thread; threads of this process by default. Process pools, Dask's
        ``client.get_executor()`` and ``mpi4py.futures`` do.
    workers : int, optional
        How many workers the executor has, for keeping each busy; asked of the executor by default.
    out : path, optional
        HDF5 file of the results; finished cells are kept in ``<out>.journal`` while the campaign runs. Of a symbolic
        link, both are where it leads.
    resume : bool
        Go on from `out` and its journal. The grid may have grown: rates and trials found there are kept.
    ci_width : float, optional
        Stop each series and rate when the 95 % interval of its mean over chips is this wide at most (shares of 1):
        Stein's two-stage procedure with `trials` chips as the pilot, so that the number does not hang on the order.
    max_trials : int, optional
        The most chips with `ci_width`; 10 times `trials` by default.
    predictions : bool
        Keep every predicted class, of up to 256.
    progress : bool or "log"
        A bar, nothing, or a log line about every ten seconds.
    provenance : dict, optional
        More to record with the result, such as the command.

    Returns
    -------
    SweepResult
        The accuracy of every series, rate and chip, and the bit error rate that each chip really had, with means,
        intervals, tables and figures of them.

    Raises
    ------
    ValueError, TypeError
        Where an argument is bad, or `out` holds another campaign: the message says what differs.
    FileExistsError
        Where `out` or its journal exists and `resume` is false.
    KeyboardInterrupt, ChildProcessError
        On Ctrl-C, or where a worker process was killed or the cluster failed; what is done is in the journal, and the
        message says how to go on.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> split = bnnsim.Split(np.zeros((5, 1, 8, 8), np.uint8), np.zeros(5, np.uint8), "zeros")
    >>> bnnsim.sweep(network, split, [0, 0.1], trials=3, rng=0, progress=False).accuracy.shape
    (1, 2, 3)
    """
    root, trials = root_seed(rng), check_int("trials", trials, 1, MOST_TRIALS)
    rule, resume = _stopping_rule(trials, ci_width, max_trials), check_bool("resume", resume)
    predictions = check_bool("predictions", predictions)
    if progress != "log":
        progress = check_bool("progress, where it is not 'log',", progress)
    series, entries = make_series(networks, split, faults)
    if predictions and series[0].network.n_classes > 256:
        raise ValueError("predictions are kept of up to 256 classes, one byte an image, got "
                         f"{series[0].network.n_classes}: leave predictions=True out")
    axis = axis_moved(series, axis)
    asked = _check_rates(rates, axis)
    for one, rate in itertools.product(series, asked.tolist()):
        one.fault.at(rate)                                       # what a fault cannot be is said before the work
    settings: Settings = {"series": entries, "seed": str(root), "stopping": rule, "predictions": predictions}
    if axis != BER:
        settings["axis"] = axis
    known = {**system(), "seed_source": "drawn" if rng is None else "given", **(provenance or {})}
    for name, value in (("settings", settings), ("provenance", known)):
        file_format.to_json(name, value)                         # what no file can hold is said before the work, too
    context = Context(secrets.token_hex(16), series, root, predictions)    # a key that no worker has met
    campaign = Campaign(settings, asked, trials, context, known)
    with contextlib.closing(Store(out, resume, campaign)) as store:
        run(store, executor, workers, progress)
    return campaign.result()


# ---------------------------------------------------------------- what is asked for

def axis_moved(series: Sequence[Series], asked: str | None = None) -> str:
    """What the faults' ``at`` sets: as they say, or where they do not or do not agree, as it is called by `asked`."""
    if asked is not None:
        check_axis("axis", asked)
    said = {one.name: moves_of(one.fault) for one in series}
    for name, axis in said.items():
        if axis is not None:
            check_axis(f"`moves` of the fault of {name or 'the network'}", axis)
    known = set(said.values()) - {None}
    if asked is None and None in said.values():
        unsaid = next(one for one in series if said[one.name] is None)
        raise ValueError(f"axis must say what rates are, as {unsaid.fault!r} has no `moves` that does: axis={BER!r}, "
                         "axis='share_of_dead_cells', axis='voltage_volt'")
    if len(known) > 1 and asked is None:
        raise ValueError("faults must be moved along one axis, got " + " and ".join(
            f"{axis!r} ({name or 'network'})" for name, axis in said.items()) +
            ": sweep them apart; or give axis= a name that is true of all, as a probability 'share_of_...'")
    if len(known) > 1 and asked in known:
        denied = next(f"{name}: {axis}" for name, axis in said.items() if axis not in (None, asked))
        raise ValueError(f"axis must be true of all faults, got {asked!r} ({denied}): a name such as 'share_of_cells'")
    if len(known) == 1 and None not in said.values() and asked not in (None, *known):
        raise ValueError(f"axis must be {known.pop()!r}, which these faults move, got {asked!r}: leave it out")
    return asked or str(known.pop())


def _check_rates(rates: npt.ArrayLike, axis: str) -> np.ndarray:
    """Rates as float64 (R,): at least one, none twice; probabilities where the axis is of such, else any numbers."""
    check_unmasked("rates", rates)
    check = check_probability if is_probability(axis) else check_real
    checked = [check(f"rates[{i}]", rate) for i, rate in enumerate(np.atleast_1d(np.asarray(rates, object)))]
    if not checked:
        raise ValueError("rates must have at least one, got none")
    if len(set(checked)) < len(checked):
        raise ValueError(f"rates must differ from each other, got {checked}")
    return np.array(checked) + 0.0                               # -0.0 is 0.0


def make_series(networks: PackedNetwork | Mapping[str, PackedNetwork],
                splits: "LabelledImages | Mapping[str, LabelledImages]",
                faults: "RatedFault | Mapping[str, RatedFault] | None") -> tuple[tuple[Series, ...], list[SeriesEntry]]:
    """The series of a campaign, networks x splits x faults, and the settings entry of each."""
    nets = named_networks(networks)
    parts = _named("split", "Split", splits, lambda one: not parts_missing(one), "",
                   " (one half of what load_dataset gives)")
    kinds = _named("faults", "fault such as BitFlips(0)", BitFlips(0.0) if faults is None else faults,
                   lambda one: hasattr(one, "at") and not isinstance(one, type), "")
    for images in parts.values():
        check_split(images)
    labels = dict[str, np.ndarray]()
    for network, (part, images) in itertools.product(nets.values(), parts.items()):
        check_images(images.images, network.input_shape, network.reads_bits)
        labels[part] = check_labels(images.labels, len(images.images), network.n_classes)
    digests = {name: digest_of(images) for name, images in parts.items()}    # of all pixels: once, not once a series
    series, entries = [], []
    for i, ((name, network), (part, split), (fault_name, fault)) in enumerate(itertools.product(
            nets.items(), parts.items(), kinds.items())):
        full = ", ".join(filter(None, (name, part if len(parts) > 1 else "", fault_name)))
        series.append(Series(full, network, split.images, labels[part], fault, i // len(kinds)))
        entries.append(SeriesEntry(name=full, network=network.checksum, split=split.name, split_sha256=digests[part],
                                   n_images=len(split), fault=repr(fault.at(0.0))))
    if len({one.name for one in series}) < len(series) or len({one.network.n_classes for one in series}) > 1:
        raise ValueError("series must have names that differ and networks of one number of classes, got "
                         f"{[(one.name, one.network.n_classes) for one in series]}")
    return tuple(series), entries


def named_networks(networks: PackedNetwork | Mapping[str, PackedNetwork]) -> Mapping[str, PackedNetwork]:
    """Networks by name; one without a name is "network"."""
    return _named("networks", "PackedNetwork", networks, lambda one: isinstance(one, PackedNetwork), "network",
                  " (see bnnsim.pack)")


def _named(name: str, kind: str, value: One | Mapping[str, One], is_one: Callable[[object], bool], alone: str,
           hint: str = "") -> Mapping[str, One]:
    """A dict of str to things of a kind from one thing or a dict of them."""
    if is_one(value):
        return {alone: cast(One, value)}
    if not isinstance(value, Mapping) or not value:
        came = "an empty dict" if value == {} else _what(value)
        raise TypeError(f"{name} must be a {kind} or a dict of name to {kind}, got {came}{hint}")
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name} must have strings as names, got {key!r}")
        if not is_one(item):
            raise TypeError(f"{name}[{key!r}] must be a {kind}, got {_what(item)}{hint}")
    return value


def _what(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _stopping_rule(trials: int, ci_width: float | None, max_trials: int | None) -> Stopping | None:
    if ci_width is None:
        if max_trials is not None:
            raise ValueError("max_trials goes with ci_width: without it `trials` chips are run")
        return None
    width = check_real("ci_width", ci_width, stopping.LEAST_WIDTH, 1)
    if trials < 2:
        raise ValueError(f"ci_width needs a pilot of trials >= 2 chips, got {trials}")
    most = check_int("max_trials", 10 * trials if max_trials is None else max_trials, trials, 10 * MOST_TRIALS)
    return {"ci_width": width, "pilot": trials, "level": 0.95, "max_trials": most}
