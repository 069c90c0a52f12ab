"""What all reproductions share: rows of networks by arm and setting, checks, the record that is left.

A claim's script names its criterion, takes rows by `Study.groups`, notes quantities by `Study.check`, and ends with
`Study.finish`. At quick size it trains what it needs; at full size it reads the rows that `networks.py` left, and what
is not trained is open.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from criteria import CONTRADICTED, HOLDS, Check, decide, overall
from matplotlib.figure import Figure
from networks import FULL, QUICK, Row, arguments, commit, kept, row_of
from plan import STAGES, Recipe

from bnnsim.campaign.provenance import cpu_name
from bnnsim.figures.scales import draw_curve, rate_axis
from bnnsim.figures.style import legend_below, line_style, new_axes, save_figure
from bnnsim.files.atomic import replaced

Arms = dict[str, list[Row]]                 # {arm: rows by seed}, the same seeds for every arm


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
        self.used: dict[tuple[str, int], Row] = {}

    # ------------------------------------------------------------------------------------------ rows

    def groups(self, net: str, *arms: str) -> Iterator[tuple[str, Arms]]:
        """(setting, arms) of every setting for which the plan has all these arms of a network; {} where one is left.

        Seeds are those that all arms have.
        """
        if net not in self.size.specs:
            return
        planned: dict[str, dict[str, tuple[Recipe, int]]] = {}
        for stage in STAGES:
            for recipe in map(self.size.of, stage.recipes):
                if recipe.net == net and recipe.arm in arms:
                    planned.setdefault(recipe.setting, {}).setdefault(recipe.arm, (recipe, self.size.n_seeds(stage)))
        for setting, found in planned.items():
            if set(found) == set(arms):
                yield f"{net}, {setting}", self._rows({arm: found[arm] for arm in arms})

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

    def check(self, about: str, setting: str, quantity: str, values: Iterable[float], wanted: str, than: float,
              of: str = "seeds", chips: Iterable[float] = ()) -> None:
        """Note a quantity, one value a seed, whose mean is to be above (">") or below ("<") a number.

        chips : the same of each chip, for a network of which there is one seed
        """
        by_seed, by_chip = [float(value) for value in values], [float(value) for value in chips]
        if len(by_seed) < 2 and len(by_chip) > 1:
            by_seed, of = by_chip, "chips of one network"
        self.checks.append(Check(about, setting, quantity, wanted, than, by_seed, of))

    def check_estimate(self, about: str, setting: str, quantity: str, estimate: tuple[float, float, float], wanted: str,
                       than: float, n: str) -> None:
        """Note a quantity with an error of its own: (value, standard error, degrees of freedom)."""
        value, error, df = map(float, estimate)
        self.checks.append(Check(about, setting, quantity, wanted, than, [], n, mean=value, error=error, df=df))

    def check_worst(self, about: str, setting: str, quantity: str, worst: float, wanted: str, than: float) -> None:
        """Note a quantity that a theorem bounds: the worst value found, without an interval of chance."""
        self.checks.append(Check(about, setting, quantity, wanted, than, [], "exact", mean=float(worst)))

    def leave_open(self, about: str, setting: str, quantity: str, why: str = "not trained yet") -> None:
        """Note what is claimed and was not measured."""
        self.checks.append(Check(about, setting, quantity, ">", 0.0, [], why_open=why))

    # ------------------------------------------------------------------------------------------ the record

    def finish(self, figure: Figure) -> None:
        """Write the record and the figure into the folder; print the verdicts."""
        folder = self.options.folder / self.size.name
        folder.mkdir(parents=True, exist_ok=True)
        decide(self.checks)
        record: dict[str, Any] = {
            "claim": self.claim, "text": self.text, "criterion": self.criterion, "source": self.source,
            "size": self.size.name, "checks": [asdict(check) for check in self.checks],
            "notes": list(dict.fromkeys(self.notes)), "verdict": overall(self.checks), "date": date.today().isoformat(),
            "commit": commit(), "cpu": cpu_name(), "figure": f"{self.claim}.png", "chips": self.size.chips,
            "networks": {f"{name}-seed-{seed}": [row[key] for key in ("training_seconds", "commit", "data_sha256",
                                                                      "images")]
                         for (name, seed), row in self.used.items()},
            "seconds": round(time.perf_counter() - self.start)}
        save_figure(figure, folder / record["figure"])
        with replaced(folder / f"{self.claim}.json") as temporary:
            Path(temporary).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for check in self.checks:
            print(f"{check.verdict:14s} {check.about}, {check.setting}: {check.quantity} {in_words(check)}")
        for note in record["notes"]:
            print(f"               {note}")
        decided = sum(check.verdict in (HOLDS, CONTRADICTED) for check in self.checks)
        print(f"({self.claim}) {self.text} {record['verdict'].upper()}; {self.size.name} size, "
              f"{decided} of {len(self.checks)} checks decided: {folder / self.claim}.json and .png")


def in_words(check: Check) -> str:
    """What a check measured, and what is claimed."""
    if check.mean is None:
        return f"not measured: {check.why_open}"
    n = f"{len(check.values)} {check.of}" if check.values else check.of
    error = "" if check.error is None else f" +- {check.error:.2g} (standard error; {n})"
    return f"{check.mean:.3g}{error}, claimed {check.wanted} {check.than:g}"


# ---------------------------------------------------------------------------------------------- of rows

def percent(row: Row, what: str = "correct") -> np.ndarray:
    """Percent right by rate and chip (R, T)."""
    return 100 * np.array(row[what]) / row["images"]


def curves(rows: Sequence[Row], what: str = "correct") -> np.ndarray:
    """Percent right by seed and rate (S, R): means over chips."""
    return np.array([percent(row, what).mean(axis=1) for row in rows])


def at(row: Row, rate: float) -> int:
    """Number of a rate of a row."""
    return row["rates"].index(rate)


def keep_longest(drawn: dict[str, list[Row]], label: str, rows: list[Row]) -> None:
    """Of each label the networks that were trained longest, of those that are trained."""
    if label not in drawn or drawn[label][0]["epochs"] < rows[0]["epochs"]:
        drawn[label] = rows


def curve_figure(study: Study, drawn: Mapping[str, Sequence[Row]], title: str = "") -> Figure:
    """Accuracy over BER of {label: rows}: the mean over seeds, and from the least to the largest seed."""
    figure, axes = new_axes()
    for i, rows in enumerate(drawn.values()):
        rates, values = np.array(rows[0]["rates"]), curves(rows)
        bounds = np.array([values.min(axis=0), values.max(axis=0)])
        draw_curve(axes, rate_axis(axes, rates), rates, values.mean(axis=0), bounds, line_style(i))
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(title or f"all test images, mean over {study.size.chips} chips; line: mean over seeds, band: from "
                   "least to largest", fontsize=9)
    if not drawn:
        axes.text(0.5, 0.5, "none of its networks is trained yet", transform=axes.transAxes, ha="center")
    else:
        legend_below(figure, drawn)
    return figure
