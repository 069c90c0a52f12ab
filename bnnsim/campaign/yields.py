"""Yield of a memory: the share of chips that lose no more than a given accuracy, also where failures are rare.

`chip_yields` counts the chips of a campaign. `rare_yields` tells, from the same chips, the yield at bit error rates far
below those run, `rare_failures` that at a rate where hardly one chip fails, without running thousands for each that
does.
The statistics are `bnnsim.statistics.yields` and `bnnsim.statistics.rare_shares`.

S series, R rates, T trials ("chips").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.faults.axis as axis
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_statistics import clean_accuracy
from bnnsim.campaign.settings import SeriesEntry
from bnnsim.checks import check_probability, check_sequence
from bnnsim.faults import BitFlips, parse_fault
from bnnsim.faults.by_layer import chosen
from bnnsim.files.brief import Brief
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.blocks import check_labelled
from bnnsim.packed.graph_pass import clean_pass_of
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource, root_seed, stream_key
from bnnsim.statistics.intervals import Interval
from bnnsim.statistics.rare_shares import RareShare, Splitting, reweighted_share, split_to
from bnnsim.statistics.yields import reaches, yield_interval

if TYPE_CHECKING:
    from bnnsim.campaign.card import CardSweep
    from bnnsim.datasets.split import LabelledImages

Masks = tuple[np.ndarray, ...]              # of each layer of the words' shape: 1 where a bit is wrong


@dataclass(frozen=True, repr=False)
class Yields(Brief):
    """Shares of chips that fail: a row a series and rate.

    Attributes
    ----------
    axis : str
        What rates are: see `bnnsim.faults.axis`.
    drop : float
        What a good chip may lose of the clean accuracy, a share of 1.
    rows : list of dict
        series, rate (of a device sweep the place, a condition by its name), limit (least accuracy of a good chip),
        share, low and high (of chips that fail), n (chips, or trials), effective (failures that show it), weight (1 if
        chips were run that tell it).
    """

    axis: str
    drop: float
    rows: list[dict[str, Any]]

    def table(self) -> str:
        """Text: a line a series and rate."""
        first = max(8, *(len(row["series"]) for row in self.rows))
        head, rates = axis.in_words(self.axis), [self._rate(row["rate"]) for row in self.rows]
        wide = max(9, len(head), *map(len, rates))
        lines = [f"chips that lose more than {100 * self.drop:g} points", "",
                 f"{'series':<{first}}  {head:>{wide}}  {'limit %':>8}  {'fail':>9}  {'from':>9}  {'to':>9}  "
                 f"{'chips':>7}  failures  weight"]
        for row, rate in zip(self.rows, rates):
            lines.append(f"{row['series']:<{first}}  {rate:>{wide}}  {100 * row['limit']:>8.2f}"
                         f"  {row['share']:>9.3g}  {row['low']:>9.3g}  {row['high']:>9.3g}  {row['n']:>7,}  "
                         f"{row['effective']:>8.1f}  {row['weight']:>6.2g}")
        return "\n".join(lines)

    def _rate(self, rate: float | str) -> str:
        return rate if isinstance(rate, str) else f"{rate:.3g}" if axis.is_probability(self.axis) else f"{rate:g}"


def chip_yields(result: SweepResult, drop: float = 0.01, level: float = 0.95) -> Yields:
    """Count the chips of a campaign that lose more than `drop`, at each of its rates.

    Parameters
    ----------
    result : SweepResult
        With rate 0 among its rates; of `bnnsim.sweep_card` take `CardSweep.yields`.
    drop : float
        A share of 1: 0.01 is one percent point.
    level : float
        Of the exact binomial intervals: see `bnnsim.statistics.share_interval`.
    """
    result, drop, rows = _checked(result), check_probability("drop", drop), list[dict[str, Any]]()
    for s, limit in enumerate(_limits(result, drop)):
        for r, rate in enumerate(result.rates.tolist()):
            if rate:
                good = yield_interval(result.accuracy[s, r], limit, level)
                rows.append(_row(result.names[s], rate, limit, 1 - good.mean, 1 - good.high, 1 - good.low, good.n,
                                 round((1 - good.mean) * good.n)))
    return Yields(result.axis, drop, rows)


def card_yields(sweep: "CardSweep", drop: float = 0.01, level: float = 0.95) -> Yields:
    """As `chip_yields`, at each place of a device sweep, which knows the clean accuracy: see `CardSweep.yields`."""
    drop, rows, columns = check_probability("drop", drop), list[dict[str, Any]](), sweep.columns()
    _check_drop(drop, min(row["clean"] for row in sweep.rows))
    for i, row in enumerate(sweep.rows):
        s, limit = i // len(columns), row["clean"] - drop
        name = ", ".join((row["network"], row["cell"], row["code"]))
        good = yield_interval(sweep.result.accuracy[s, columns[i % len(columns)]], limit, level)
        rows.append(_row(name.removesuffix(", none"), row["place"], limit, 1 - good.mean, 1 - good.high, 1 - good.low,
                         good.n, round((1 - good.mean) * good.n)))
    return Yields(sweep.result.axis, drop, rows)


def rare_yields(result: SweepResult, networks: PackedNetwork | Mapping[str, PackedNetwork], rates: Sequence[float],
                drop: float = 0.01, level: float = 0.95) -> Yields:
    """The share of chips that lose more than `drop` at other bit error rates than a campaign's, from its chips.

    Nothing is run: every chip that failed is weighted by how often its number of wrong bits occurs, as
    `bnnsim.statistics.reweighted_share` has it. That tells rates at which the numbers of wrong bits are those of chips
    that were run: of 576 bits in a first layer a campaign at 1e-4 to 1e-2 tells 1e-8, since one or two are wrong there
    and here; of ten million bits one at 1e-4 does not tell 1e-5. ``weight`` is near 1 where it does, and ``effective``
    says how many failures speak.

    Parameters
    ----------
    result : SweepResult
        Of `BitFlips` at one rate, in all layers or some, with rate 0 among its rates.
    networks : PackedNetwork, or dict of str to PackedNetwork
        Those of the campaign.
    rates : sequence of float
        Bit error rates.
    drop, level : float
        As for `chip_yields`.
    """
    drop, rows, named = check_probability("drop", drop), list[dict[str, Any]](), _named(_checked(result), networks)
    limits, run = _limits(result, drop), result.rates > 0
    rates = check_sequence("rates", rates, "bit error rates, such as [1e-6]")
    for s, (name, limit) in enumerate(zip(result.names, limits)):
        ran, n_bits = result.ran[s].all(axis=0), _bits_that_err(result.settings["series"][s], named[name])
        accuracy, shares = (of[s][run][:, ran] for of in (result.accuracy, result.ber))
        n_wrong = np.rint(shares * named[name].n_bits).astype(np.int64)
        for rate in rates:
            found = reweighted_share(~reaches(accuracy, limit), n_wrong, result.rates[run], n_bits, rate, level)
            rows.append(_row(name, float(rate), limit, found.share, found.low, found.high, found.n, found.effective,
                             found.weight))
    return Yields(result.axis, drop, rows)


def _row(name: str, rate: float | str, limit: float, share: float, low: float, high: float, n: int, effective: float,
         weight: float = 1.0) -> dict[str, Any]:
    return {"series": name, "rate": rate, "limit": float(limit), "share": share, "low": max(low, 0.0), "high": high,
            "n": n, "effective": float(effective), "weight": weight}


def _checked(result: SweepResult) -> SweepResult:
    if not isinstance(result, SweepResult):
        raise TypeError("result must be a SweepResult, as bnnsim.sweep gives it, or SweepResult.load from a file, got "
                        f"{type(result).__name__}")
    return result


def _limits(result: SweepResult, drop: float) -> np.ndarray:
    """Least accuracy of a good chip (S,)."""
    clean = np.array([clean_accuracy(result, s, "a yield") for s in range(len(result.names))])
    _check_drop(drop, clean.min())
    if len(result.rates) < 2:
        raise ValueError("a yield needs another rate than 0 among the rates, at which chips have errors, got 0 alone")
    return clean - drop


def _check_drop(drop: float, clean: float) -> None:
    if drop > clean:
        raise ValueError(f"drop must be at most the clean accuracy, {clean:g}, got {drop:g}: every chip is good")


def _named(result: SweepResult, networks: PackedNetwork | Mapping[str, PackedNetwork]) -> Mapping[str, PackedNetwork]:
    """The networks by the names of their series."""
    named = dict.fromkeys(result.names, networks) if isinstance(networks, PackedNetwork) else networks
    if not isinstance(named, Mapping):
        raise TypeError("networks must be the PackedNetwork of the campaign, or a dict of those of its series by their "
                        f"names, got {type(named).__name__}")
    for series in result.settings["series"]:
        if series["name"] not in named or named[series["name"]].checksum != series["network"]:
            raise ValueError(f"networks must hold that of each series, by name; that of {series['name']!r} is missing "
                             "or another one")
    return named


def _bits_that_err(series: SeriesEntry, network: PackedNetwork) -> int:
    """How many bits a series breaks, all at one rate."""
    fault = parse_fault(series["fault"])
    if type(fault) is not BitFlips or isinstance(fault.p, Sequence):
        raise ValueError("rare_yields weighs chips of independent bit errors at one rate, BitFlips(p) in all layers or "
                         f"some, but {series['name']!r} is of {series['fault']}; count its chips with chip_yields")
    return sum(network.layers[i].n_bits for i in chosen(fault.layers, len(network.layers)))


# ---------------------------------------------------------------- splitting

@dataclass(frozen=True)
class RareFailures:
    """The share of chips that fail, by multilevel splitting.

    Attributes
    ----------
    share : RareShare
        With its interval; `n` counts the chips that were evaluated.
    limit : float
        Least accuracy of a good chip.
    splitting : Splitting
        Levels in right answers, and the shares that passed them.
    n_images : int
    """

    share: RareShare
    limit: float
    splitting: Splitting
    n_images: int

    @property
    def good(self) -> Interval:
        """The yield: the share of chips that reach the limit."""
        return Interval(1 - self.share.high, 1 - self.share.low, 1 - self.share.share, self.share.n)

    def table(self) -> str:
        """Text: a line a level, and the share of chips that fail."""
        lines = ["accuracy of at most %   passed %   bits drawn anew by a move %"]
        for level, passed in zip(self.splitting.levels, self.splitting.passed.mean(axis=0)):
            reached = 100 * level.value / self.n_images
            lines.append(f"{reached:>23.2f}   {100 * passed:>8.1f}   {100 * level.moved:>6.2g}")
        one = self.share
        lines.append(f"fail: {one.share:.3g} ({one.low:.3g} to {one.high:.3g}) of all chips, from {one.n:,} evaluated; "
                     f"counting them would take {one.effective / max(one.share, 1e-300):,.0f}")
        return "\n".join(lines)


def rare_failures(network: PackedNetwork, split: "LabelledImages", fault: BitFlips, limit: float, n_chips: int = 40,
                  repetitions: int = 10, rng: RandomSource = None, *, level: float = 0.95, keep: float = 0.25,
                  moves: int = 4) -> RareFailures:
    """The share of chips whose accuracy is below a limit, where it is too small to be counted.

    Multilevel splitting, `bnnsim.statistics.split_to`: chips of low accuracy are copied, and parts of their errors
    drawn anew. About ``repetitions * n_chips * (1 + moves * levels)`` chips are evaluated, a level for each factor of
    ``1 / keep``.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
    fault : BitFlips
        Independent bit errors, at one rate or one a layer.
    limit : float
        Least accuracy of a good chip.
    n_chips, repetitions : int
    rng : None, int, SeedSequence or Generator
    level, keep : float
    moves : int

    Returns
    -------
    RareFailures
        The same for any number of threads.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_cnn")
    >>> test = bnnsim.load_embedded()[1][:50]
    >>> found = rare_failures(network, test, bnnsim.faults.BitFlips(0.02), 0.8, n_chips=4, repetitions=2, rng=0)
    >>> found.good.low <= found.good.mean <= found.good.high
    True
    """
    check_labelled(network, split)
    if type(fault) is not BitFlips:
        raise TypeError("fault must be bnnsim.faults.BitFlips(rate): splitting draws parts of a chip's independent "
                        f"errors anew, got {fault!r}")
    limit, root = check_probability("limit", limit), root_seed(rng)
    n_images = len(split.images)
    right = np.arange(n_images + 1)
    worst = int(right[~reaches(right / n_images, limit)].max(initial=-1))
    if worst < 0:
        raise ValueError(f"limit must be above 0, so that a chip can be below it, got {limit}")
    found = split_to(_Broken(network, split, fault, root), worst, n_chips, repetitions, root, level, keep, moves)
    return RareFailures(found.share, limit, found, n_images)


class _Broken:
    """Chips of a network as `split_to` asks for them: a chip is its masks of wrong bits."""

    def __init__(self, network: PackedNetwork, split: "LabelledImages", fault: BitFlips, root: int) -> None:
        self.network, self.labels, self.root = network, check_labelled(network, split), root
        self.rates = [rate for rate, in fault.rates(len(network.layers))]
        self.clean = clean_pass_of(network, split.images)

    def draw(self, *ids: int) -> Masks:
        """Errors at the fault's rates; streams of (root, "splitting draw", repetition, level, chip, layer)."""
        return self._masks(self.rates, "splitting draw", *ids)

    def moved(self, chip: Masks, share: float, *ids: int) -> Masks:
        """Which bits are drawn anew, and what of them is wrong then: streams of (root, name, ids, layer)."""
        chosen = self._masks([share] * len(self.rates), "splitting choice", *ids)
        fresh = self._masks(self.rates, "splitting move", *ids)
        return tuple((old & ~here) | (new & here) for old, new, here in zip(chip, fresh, chosen))

    def value(self, chip: Masks) -> int:
        """Right answers."""
        words = {i: layer.words ^ mask for i, (layer, mask) in enumerate(zip(self.network.layers, chip)) if mask.any()}
        return int(np.sum(self.clean.predict(self.network.with_words(words)) == self.labels))

    def _masks(self, rates: Sequence[float], name: str, *ids: int) -> Masks:
        rows = [layer.words.reshape(-1, layer.words.shape[-1]) for layer in self.network.layers]
        return tuple(flip_masks(len(each), layer.n_in, rate, stream_key(self.root, name, *ids, i))
                     .reshape(layer.words.shape)
                     for i, (layer, each, rate) in enumerate(zip(self.network.layers, rows, rates)))
