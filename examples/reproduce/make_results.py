"""Write RESULTS.rst from the records that the reproductions left, and keep those records and figures beside it.

    python examples/reproduce/networks.py --keep                # rows of out/reproduce/full, into rows.jsonl
    for script in examples/reproduce/[a-h]_*.py; do python $script --full; done
    python examples/reproduce/make_results.py out/reproduce/full
    python examples/reproduce/make_results.py                   # writes it again from results.json
    python examples/reproduce/make_results.py --check           # exits 1 where it is not what would be written

Nothing in the table is typed by hand.
"""

import argparse
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from criteria import DECIDED, OPEN, UNDECIDED, in_words
from scipy.special import stdtrit

HERE = Path(__file__).resolve().parent
SOURCE, PAGE, FIGURES = HERE / "results.json", HERE / "RESULTS.rst", HERE / "figures"
HEAD = """Reproductions
=============

What the papers claim, and what bnnsim measured. Written by ``python examples/reproduce/make_results.py`` from
``results.json``. A claim is a script of this folder, such as ``python examples/reproduce/{script} --full``, which
reads the rows of ``rows.jsonl``, one a trained network, that ``networks.py`` measured.

A setting is an architecture, a length of training with its schedule ("40 + 4 epochs": all arms but the standard one go
on from its network, for 4), and the number that black enters as (code 0: pixels 0 to 255, code 128: -128 to 127), with
what else differs. A check is a quantity whose mean over seeds is claimed to lie above or below a number. Its t test
takes the variance between seeds of all checks that ask the same quantity at the same code, of any network, where
Bartlett's test does not tell these apart, which of two or three seeds each it seldom does: "pooled". So a network that
varies less than others, as those of MNIST do, is judged too strictly, and one that varies more too mildly. Where such
checks share a standard network, they are not independent, and the pooled degrees of freedom are somewhat too many. Two
architectures are compared with the variance of each (Welch's test). Holm's correction holds over all checks of a claim
that are measured: at 5 % a check holds or is contradicted, any other is not decided. A claim holds under a setting
where all of its checks do, is contradicted where one is, is open where a network is not trained, and is not decided
else, or where this design cannot tell, for the reason that is named. Where there is one network, accuracies are judged
over its chips, for that network only; other quantities are open. The interval is at 95 %, without Holm's correction;
"decides" is the distance from the claimed number that this design decides even as Holm's strictest check. "Points" are
percent points of accuracy; [V] was read in the paper, [C] in the authors' code, [R] is reconstructed, [D] derived.

Criteria are the scripts'. All but those of (c) and (h) were revised when rows were in view.

{networks} networks, {distinct} without those that are another one bit for bit (which count once in (d), and each time
elsewhere), trained in {hours} hours in sum, on machines that did other work beside it (commits {commits}).

"""
CLAIMS = "abcdefgh"
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
    """How many checks of how many have which verdict."""
    verdicts = [check["verdict"] for check in record["checks"]]
    told = [f"{verdicts.count(verdict)} {verdict}" for verdict in (*DECIDED, UNDECIDED, OPEN)
            if verdict in verdicts]
    return f"of {len(verdicts)}: {', '.join(told)}"


def section(record: Record) -> str:
    """One claim: its criterion, what was run, its figure, its checks and notes."""
    title = f"({record['claim']}) {record['text']}"
    verdict = record["verdict"][0].upper() + record["verdict"][1:]
    text = f"{title}\n{'-' * len(title)}\n\n**{verdict}.** {record['source']}.\n\n"
    text += f"{record['criterion']}\n\n{record['date']}, commit {record['commit']}, {record['cpu']}"
    if record["networks"]:
        images = sorted({told[3] for told in record["networks"].values()})
        text += (f"; {len(record['networks'])} networks, {' or '.join(f'{n:,}' for n in images)} test images, "
                 f"{' or '.join(map(str, record['chips']))} chips a rate")
    text += (f".\n\n.. image:: figures/{record['figure']}\n   :alt: figure of claim {record['claim']}\n"
             "   :width: 600\n\n")
    rows = [(check["setting"], check["about"], check["quantity"], *measured(check), check["verdict"])
            for check in record["checks"] if check["mean"] is not None]
    if rows:
        text += table(("setting", "of", "quantity", "mean, interval, and what it decides", "claimed", "verdict"), rows,
                      "24 14 22 22 8 10")
    for header, *cells in record["tables"]:
        text += table(header, cells, " ".join(["30", *["7"] * (len(header) - 1)]))
    return text + "".join(f"* {note}\n" for note in (*record["notes"], *left(record))) + "\n"


def left(record: Record) -> list[str]:
    """What is claimed and was not measured, by the reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for check in record["checks"]:
        if check["mean"] is None:
            why = check["verdict"].capitalize(), check["why_undecided"] or check["why_open"]
            found.setdefault(why, []).append(check["setting"])
    return [f"{verdict}, {why}: {in_words(dict.fromkeys(settings))}." for (verdict, why), settings in found.items()]


def measured(check: dict[str, Any]) -> tuple[str, str]:
    """Two cells: what was found, and what is claimed."""
    told = number(check["mean"])
    if check["decides"] is not None:
        n = f"{len(check['values'])} {check['of']}" if check["values"] else check["of"]
        half = -check["error"] * float(stdtrit(check["df"], 0.025))
        pooled = f", pooled: {check['df']:.0f} degrees of freedom" if check["pooled"] else ""
        told += (f" ({number(check['mean'] - half)} to {number(check['mean'] + half)}; {n}{pooled}; decides "
                 f"{number(check['decides'])})")
    return told, f"{'above' if check['wanted'] == '>' else 'below'} {check['than']:.3g}"


def page(records: Sequence[Record]) -> str:
    """All of RESULTS.rst."""
    rows = [(f"({record['claim']})", record["text"], record["verdict"], counted(record)) for record in records]
    networks = {name: told for record in records for name, told in record["networks"].items()}
    head = HEAD.format(script=min(path.name for path in HERE.glob("a_*.py")), networks=len(networks),
                       distinct=len({told[4] for told in networks.values()}),
                       hours=f"{sum(told[0] for told in networks.values()) / 3600:.1f}",
                       commits=", ".join(sorted({told[1] for told in networks.values()})))
    return (head + table(("", "claim", "verdict", "checks"), rows, "5 35 45 15") + "".join(map(section, records))
            ).rstrip() + "\n"


def collect(folder: Path) -> None:
    """Records and figures of a folder, kept here."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("[a-h].json"))]
    missing = set(CLAIMS) - {record["claim"] for record in records}
    if missing:
        raise SystemExit(f"{folder} has no record of claim {', '.join(sorted(missing))}: run those scripts first")
    if {record["size"] for record in records} != {"full"}:
        raise SystemExit(f"{folder} must have records of one full run: run all scripts with --full")
    FIGURES.mkdir(exist_ok=True)
    for record in records:
        shutil.copyfile(folder / record["figure"], FIGURES / record["figure"])
    SOURCE.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the reproductions left their records")
    parser.add_argument("--check", action="store_true",
                        help="write nothing; end with an error where the page is another")
    options = parser.parse_args(argv)
    if options.folder and options.check:
        parser.error("--check writes nothing: leave out the folder")
    if options.folder:
        collect(options.folder)
    text = page(json.loads(SOURCE.read_text(encoding="utf-8")))
    if options.check:
        if PAGE.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{PAGE} is not what {SOURCE.name} says: run this script without --check")
    else:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
