"""What all reproductions share: rows of networks by arm and setting, checks, the record that is left.

A claim's script names its criterion, takes rows by `Study.groups`, asks what it claims of them by `Study.ask`, trained
or not, and ends with `Study.finish`. At quick size it trains what it needs; at full size it reads the rows that
`networks.py` left, and what is not trained is open.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from criteria import DECIDED, Check, decide, overall
from matplotlib.figure import Figure
from networks import FULL, QUICK, Row, arguments, commit, kept, row_of
from plan import PAIRS, STAGES, Recipe

from bnnsim.campaign.provenance import cpu_name
from bnnsim.figures.scales import draw_curve, rate_axis
from bnnsim.figures.style import legend_below, line_style, new_axes, save_figure
from bnnsim.files.atomic import replaced

Arms = dict[str, list[Row]]                 # {arm: rows by seed}, the same seeds for every arm
NOT_TRAINED = "not trained yet"
DATA = {"fashion": "Fashion-MNIST", "mnist": "MNIST", "cifar10": "CIFAR-10", "fashion-subset": "part of Fashion-MNIST"}


class Study:
    """One claim's run."""

    def __init__(self, claim: str, text: str | None, source: str, argv: Sequence[str] | None = None) -> None:
        self.options, self.start = arguments(text or claim).parse_args(argv), time.perf_counter()
        self.claim, self.source = claim, source
        self.text, _, self.criterion = (part.strip() for part in (text or claim).partition("\n"))
        self.criterion = self.criterion.split("\n\n", 1)[1].strip()          # behind the command
        self.size = FULL if self.options.full else QUICK
        self.checks: list[Check] = []
        self.notes: list[str] = []
        self.tables: list[list[list[str]]] = []                              # each its header, then its rows
        self.used: dict[tuple[str, int], Row] = {}

    # ------------------------------------------------------------------------------------------ rows

    def groups(self, net: str, *arms: str, only: Collection[str] = ()) -> Iterator[tuple[str, Arms]]:
        """(setting, arms) of every setting for which the plan has all these arms of a network; {} where one is left.

        Or of settings that are in `only`.

        Seeds are those that all arms have.
        """
        if net not in self.size.specs:
            return
        planned: dict[str, dict[str, tuple[Recipe, int]]] = {}
        for stage in STAGES:
            for recipe in map(self.size.of, stage.recipes):
                if recipe.net == net and recipe.arm in arms:
                    planned.setdefault(recipe.setting, {}).setdefault(recipe.arm, (recipe, self.size.n_seeds(stage)))
        for found in planned.values():
            if set(found) == set(arms) and ((setting := self.words(found[arms[0]][0])) in only or not only):
                yield setting, self._rows({arm: found[arm] for arm in arms})

    def words(self, recipe: Recipe) -> str:
        """The setting of a recipe, with its network and data."""
        data = DATA[self.size.data[recipe.data]]
        return f"{recipe.net}{'' if data in recipe.net else f' on {data}'}, {recipe.setting}"

    def pairs(self, *arms: str) -> Iterator[tuple[str, Arms, Arms]]:
        """(setting, the FCNN's arms, the CNN's) as the plan pairs them; {} and {} where one is left."""
        wanted = [self.words(self.size.of(recipe)) for two in PAIRS for recipe in two]
        fcnn, cnn = (dict(self.groups(net, *arms, only=wanted)) for net in ("FCNN", "CNN"))
        for one, other in dict.fromkeys((self.size.of(a), self.size.of(b)) for a, b in PAIRS):
            found, its = fcnn.get(self.words(one), {}), cnn.get(self.words(other), {})
            setting = (f"FCNN, {one.epochs} epochs ({one.schedule}), against CNN, {other.epochs} epochs "
                       f"({other.schedule}), code {one.code}")
            yield setting, found if its else {}, its if found else {}

    def _rows(self, planned: dict[str, tuple[Recipe, int]]) -> Arms:
        by_seed: list[dict[str, Row]] = []
        for seed in range(max(n for _, n in planned.values())):
            rows = {arm: self._row(recipe, seed) for arm, (recipe, n) in planned.items() if seed < n}
            found = {arm: row for arm, row in rows.items() if row is not None}
            if len(found) == len(planned):
                by_seed.append(found)
        for row in (row for rows in by_seed for row in rows.values()):
            self.used[row["name"], row["seed"]] = row
        return {arm: [rows[arm] for rows in by_seed] for arm in planned} if by_seed else {}

    def _row(self, recipe: Recipe, seed: int) -> Row | None:
        if self.size is QUICK:
            return row_of(recipe, seed, self.size, self.options.folder)
        path = Path(self.options.folder) / self.size.name / f"{recipe.name}-seed-{seed}.json"
        there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return kept().get((recipe.name, seed), there)

    # ------------------------------------------------------------------------------------------ checks

    def ask(self, about: str, setting: str, quantity: str, arms: Arms, measure: Callable[[Arms], np.ndarray],
            wanted: str, than: float) -> None:
        """Ask of arms whether the mean of a quantity is above (">") or below ("<") a number; {} is open.

        measure : of the arms, by seed (S,), or by seed and chip (S, T), of which the seeds' means are taken, or the
            chips of the only seed
        """
        check = Check(about, setting, quantity, wanted, than)
        if arms:
            found = np.asarray(measure(arms), float)
            alone = found.ndim == 2 and len(found) == 1
            check.values = (found[0] if alone else found.reshape(len(found), -1).mean(axis=1)).tolist()
            check.of = "chips of one network" if alone else "seeds"
        else:
            check.why_open = NOT_TRAINED
        self.checks.append(check)

    def ask_estimate(self, about: str, setting: str, quantity: str, estimate: tuple[float, float, float], wanted: str,
                     than: float, n: str) -> None:
        """Ask of a quantity with an error of its own: (value, standard error, degrees of freedom)."""
        value, error, df = map(float, estimate)
        self.checks.append(Check(about, setting, quantity, wanted, than, of=n, mean=value, error=error, df=df))

    def ask_difference(self, about: str, setting: str, quantity: str, first: np.ndarray, second: np.ndarray,
                       wanted: str, than: float) -> None:
        """Ask what the means of two sets of networks differ by, by seed (S,) each, whose variances may differ (Welch).

        Where one set is a single network, it is taken to vary as the other does, and the verdict is for that network.
        """
        n = len(first), len(second)
        variances = [float(values.var(ddof=1)) for values in (first, second) if len(values) > 1]
        if not any(variances):
            return self.leave(about, setting, quantity, wanted, than, why_open=f"{n[0]} and {n[1]} seeds")
        parts = variances[0] / n[0], variances[-1] / n[1]
        df = max(n) - 1 if 1 in n else sum(parts) ** 2 / sum(part**2 / (k - 1) for part, k in zip(parts, n))
        self.ask_estimate(about, setting, quantity, (first.mean() - second.mean(), math.sqrt(sum(parts)), df), wanted,
                          than, f"{n[0]} and {n[1]} seeds{', so for one network' * (1 in n)}")

    def leave(self, about: str, setting: str, quantity: str, wanted: str, than: float, why_open: str = "",
              why_undecided: str = "") -> None:
        """Note what is claimed and not decided: not measured, or not measurable by this design."""
        self.checks.append(Check(about, setting, quantity, wanted, than, why_open=why_open,
                                 why_undecided=why_undecided))

    def check_worst(self, about: str, setting: str, quantity: str, worst: float, wanted: str, than: float) -> None:
        """Note a quantity that a theorem bounds: the worst value found, without an interval of chance."""
        self.checks.append(Check(about, setting, quantity, wanted, than, [], "exact", mean=float(worst)))

    # ------------------------------------------------------------------------------------------ the record

    def _same(self) -> list[str]:
        """Networks that are one another, bit for bit."""
        found: dict[str, list[str]] = {}
        for (_, seed), row in self.used.items():
            found.setdefault(row["checksum"], []).append(f"{label(row)}, seed {seed}")
        return [f"One network, bit for bit: {'; '.join(names)}." for names in found.values()
                if len(names) > 1]

    def finish(self, figure: Figure) -> None:
        """Write the record and the figure into the folder; print the verdicts."""
        folder = self.options.folder / self.size.name
        folder.mkdir(parents=True, exist_ok=True)
        decide(self.checks)
        self.notes += self._same()
        record: dict[str, Any] = {
            "claim": self.claim, "text": self.text, "criterion": self.criterion, "source": self.source,
            "size": self.size.name, "checks": [asdict(check) for check in self.checks],
            "notes": list(dict.fromkeys(self.notes)), "verdict": overall(self.checks), "date": date.today().isoformat(),
            "commit": commit(), "cpu": cpu_name(), "figure": f"{self.claim}.png",
            "chips": sorted({row["chips"] for row in self.used.values()}), "tables": self.tables,
            "networks": {f"{name}-seed-{seed}": [row[key] for key in ("training_seconds", "commit", "data_sha256",
                                                                      "images", "checksum")]
                         for (name, seed), row in self.used.items()},
            "seconds": round(time.perf_counter() - self.start)}
        save_figure(figure, folder / record["figure"])
        with replaced(folder / f"{self.claim}.json") as temporary:
            Path(temporary).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for check in self.checks:
            print(f"{check.verdict:28s} {check.about}, {check.setting}: {check.quantity} {in_words(check)}")
        for note in record["notes"]:
            print(f"{'':28s} {note}")
        decided = sum(check.verdict in DECIDED for check in self.checks)
        print(f"({self.claim}) {self.text} {record['verdict'].upper()}; {self.size.name} size, "
              f"{decided} of {len(self.checks)} checks decided: {folder / self.claim}.json and .png")


def in_words(check: Check) -> str:
    """What a check measured, and what is claimed."""
    if check.mean is None:
        return check.why_undecided or f"not measured: {check.why_open}"
    n = f"{len(check.values)} {check.of}" if check.values else check.of
    error = "" if check.error is None else f" +- {check.error:.2g} (standard error; {n})"
    return f"{check.mean:.3g}{error}, claimed {check.wanted} {check.than:g}"


# ---------------------------------------------------------------------------------------------- of rows

def percent(rows: Sequence[Row], rate: float, what: str = "correct") -> np.ndarray:
    """Percent right at a bit error rate, by seed and chip (S, T)."""
    return np.array([100 * np.array(row[what][at(row, rate)]) / row["images"] for row in rows])


def lost(rows: Sequence[Row], rate: float) -> np.ndarray:
    """Points of accuracy lost at a bit error rate, by seed and chip (S, T)."""
    return percent(rows, 0.0) - percent(rows, rate)


def curves(rows: Sequence[Row], what: str = "correct") -> np.ndarray:
    """Percent right by seed and rate (S, R): means over chips."""
    return np.array([(100 * np.array(row[what]) / row["images"]).mean(axis=1) for row in rows])


def at(row: Row, rate: float) -> int:
    """Number of a rate of a row."""
    return row["rates"].index(rate)


def longest(drawn: Sequence[list[Row]]) -> list[list[Row]]:
    """Of each network, arm and code those that were trained longest."""
    def kind(rows: list[Row]) -> tuple[str, str, int]:
        return rows[0]["net"], rows[0]["arm"], rows[0]["code"]
    most = {kind(rows): rows[0]["epochs"] for rows in sorted(drawn, key=lambda rows: rows[0]["epochs"])}
    return [rows for rows in drawn if rows[0]["epochs"] == most[kind(rows)]]


def curve_figure(drawn: Iterable[Sequence[Row]]) -> Figure:
    """Accuracy over BER of networks of several seeds: the mean, and from the least to the largest; each once."""
    labelled = {label(rows[0]): rows for rows in drawn}
    figure, axes = new_axes()
    for i, rows in enumerate(labelled.values()):
        rates, values = np.array(rows[0]["rates"]), curves(rows)
        bounds = np.array([values.min(axis=0), values.max(axis=0)])
        draw_curve(axes, rate_axis(axes, rates), rates, values.mean(axis=0), bounds, line_style(i))
    axes.set_ylabel("test accuracy (%)")
    if not labelled:
        axes.text(0.5, 0.5, "none of its networks is trained yet", transform=axes.transAxes, ha="center")
        return figure
    chips = " or ".join(map(str, sorted({rows[0]["chips"] for rows in labelled.values()})))
    axes.set_title(f"all test images, mean over {chips} chips and over seeds; band: least to largest seed", fontsize=9)
    legend_below(figure, labelled)
    return figure


def label(row: Row) -> str:
    """What a curve is called in a legend."""
    data = "" if DATA[row["data"]] in row["net"] else f"{DATA[row['data']]}, "
    recipe = Recipe(**{one.name: row[one.name] for one in fields(Recipe) if one.name in row})
    words, *numbers = row["arm"].split()
    arm = f"{words} (lambda {numbers[0]}, T* {numbers[1]})" if words == "regulariser" else row["arm"]
    return f"{data}{row['net']}, {arm}, {recipe.setting}"
