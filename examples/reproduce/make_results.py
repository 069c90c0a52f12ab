"""Write RESULTS.rst from the records that the reproductions left, and keep those records and figures beside it.

    python examples/reproduce/make_results.py out/reproduce/full-10-epochs
    python examples/reproduce/make_results.py                   # writes it again from results.json
    python examples/reproduce/make_results.py --check           # exits 1 where it is not what would be written

Nothing in the table is typed by hand.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SOURCE, PAGE, FIGURES = HERE / "results.json", HERE / "RESULTS.rst", HERE / "figures"
HEAD = """Reproductions
=============

What the papers claim, and what bnnsim measured. Written by ``python examples/reproduce/make_results.py`` from
``results.json``; each claim is run by one script of this folder, whose first lines say how its words were made into
numbers: ``python examples/reproduce/{script} --full``.

A claim is split into checks: a quantity that is to be above or below a number. A check holds where the 95 % interval of
its mean lies on the right side whole (Student's t over seeds; over chips where there is one seed), does not where it
lies on the wrong side, and is undecided else; intervals are not corrected for the number of checks. A claim holds where
all of its checks do, does not hold where one does not, and is undecided else. "Points" are percent points of accuracy;
[V] was read in the paper, [R] is reconstructed, [D] derived.

Training all {networks} networks took {minutes} minutes in sum ({commits}), the scripts {script_minutes} minutes more,
where networks were there already.

"""
CLAIMS = "abcdefgh"
# what a claim's script has come to tell in its notes since records were first kept: a word of theirs, and what it is
SINCE = {"g": ("reliability", "the variance of importance without sampling noise, and its reliability")}
Record = dict[str, Any]


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], widths: str) -> str:
    """A list-table."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in (header, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n\n"


def counted(record: Record) -> str:
    """How many checks have which verdict."""
    verdicts = [check["verdict"] for check in record["checks"]]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in sorted(set(verdicts)))


def section(record: Record) -> str:
    """One claim: what was run, its figure, its checks and notes."""
    title = f"({record['claim']}) {record['text']}"
    text = f"{title}\n{'-' * len(title)}\n\n**{record['verdict'].capitalize()}.** {record['source']}.\n"
    text += f"{record['date']}, commit {record['commit']}, {record['cpu']}"
    if record["networks"]:
        text += (f"; {record['networks']} networks, {record['n_images']:,} test images, {record['chips']} chips a "
                 f"rate. In place of the paper's: {'; '.join(record['conditions'])}")
    text += (f".\n\n.. image:: figures/{record['figure']}\n   :alt: figure of claim {record['claim']}\n"
             "   :width: 600\n\n")
    rows = [(check["about"], check["quantity"], *measured(check), check["verdict"]) for check in record["checks"]]
    text += table(("of", "quantity", "mean (95 % interval)", "claimed", "verdict"), rows, "26 34 24 10 10")
    return text + "".join(f"* {note}\n" for note in [*record["notes"], *predates(record)]) + "\n"


def predates(record: Record) -> list[str]:
    """What a record of an earlier version of its script does not tell."""
    word, what = SINCE.get(record["claim"], ("", ""))
    if not word or any(word in note for note in record["notes"]):
        return []
    return [f"Of the version before, commit {record['commit']}: the script now notes {what}, too, which this run did "
            "not measure."]


def measured(check: dict[str, Any]) -> tuple[str, str]:
    """Two cells: what was found, and what is claimed."""
    if check["mean"] is None:
        return f"not measured: {check['n']}", ""
    bounds = "no interval" if check["low"] is None else f"{number(check['low'])} to {number(check['high'])}"
    bounds = f"{bounds}; {check['n']}" if check["values"] else check["n"]
    return f"{number(check['mean'])} ({bounds})", f"{'above' if check['wanted'] == '>' else 'below'} {check['than']:g}"


def page(records: Sequence[Record]) -> str:
    """All of RESULTS.rst."""
    rows = [(f"({record['claim']})", record["text"], record["verdict"],
             counted(record) + "; of the version before" * bool(predates(record)),
             "; ".join(record["conditions"]) or "none") for record in records]
    networks = {name: seconds for record in records for name, seconds in record["training_seconds"].items()}
    commits = sorted({commit for record in records for commit in record["training_commits"]})
    head = HEAD.format(script=min(path.name for path in HERE.glob("a_*.py")), networks=len(networks),
                       minutes=f"{sum(networks.values()) / 60:.0f}", commits=f"commits {', '.join(commits)}",
                       script_minutes=f"{sum(record['seconds'] for record in records) / 60:.0f}")
    header = ("", "claim", "verdict", "checks", "in place of the paper's")
    return (head + table(header, rows, "5 45 12 20 18") + "".join(map(section, records))).rstrip() + "\n"


def collect(folder: Path) -> None:
    """Records and figures of a folder, kept here."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("[a-h].json"))]
    missing = set(CLAIMS) - {record["claim"] for record in records}
    if missing:
        raise SystemExit(f"{folder} has no record of claim {', '.join(sorted(missing))}: run those scripts first")
    runs = {(record["size"], record["epochs"]) for record in records}
    if len(runs) > 1 or runs.pop()[0] != "full":
        raise SystemExit(f"{folder} must have records of one full run: run all scripts with --full")
    FIGURES.mkdir(exist_ok=True)
    for record in records:
        shutil.copyfile(folder / record["figure"], FIGURES / record["figure"])
    SOURCE.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the reproductions left their records")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    if options.folder and options.check:
        parser.error("--check writes nothing: leave out the folder")
    if options.folder:
        collect(options.folder)
    text = page(json.loads(SOURCE.read_text(encoding="utf-8")))
    if options.check:
        sys.exit(PAGE.read_text(encoding="utf-8") != text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
