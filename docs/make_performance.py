"""Write docs/performance.rst, its figure, and README's table, from a benchmark that was run and stored.

    python -m bnnsim.bench --full --out docs/performance.json --scaling scaling.png --compare ... --peer-python ...
    python docs/make_performance.py            # writes them from docs/performance.json
    python docs/make_performance.py --check    # exits 1 where a text is not what would be written

No figure is typed by hand: what the JSON has not, stands nowhere. README's part is between the lines
".. performance begins" and ".. performance ends".
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                             # this clone, whatever is installed

from bnnsim.benchmarks.timing import in_words, with_prefix  # noqa: E402

SOURCE, PAGE, README = "docs/performance.json", "docs/performance.rst", "README.rst"
FIGURE = "docs/figures/scaling.png"
BLOCK = re.compile(r"(?<=^\.\. performance begins\n\n).*?(?=^\.\. performance ends$)", re.MULTILINE | re.DOTALL)
IN_README = ("binary GEMM", "16-bit gradient dX", "ber_sweep without arguments", "warmup(), cold", "fit: ")
TITLES = {"kernels": "Kernels", "training": "Training", "inference": "Inference", "sweep": "Sweeps",
          "startup": "Start-up", "memory": "Peak memory", "scaling": "Scaling"}
Json = dict[str, Any]               # a part of the report
SIZES = {"quick": "a quick run", "full": "a full run", "tiny": "a tiny run, whose times mean nothing"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]], widths: str | None = None) -> str:
    """A list-table."""
    lines = [".. list-table::", "   :header-rows: 1", *([f"   :widths: {widths}"] if widths else []), ""]
    for row in (header, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def time_of(statistics: Json, share: float = 1.0) -> str:
    """Median in words; with a mark where it was extrapolated."""
    return in_words(statistics["median"]) + (r" \*" if share < 1 else "")


def spread_of(statistics: Json) -> str:
    return f"{in_words(statistics['q1'])} to {in_words(statistics['q3'])}" if statistics["n"] > 1 else "one run"


def speed_of(measured: Json) -> str:
    """Throughput and share of the limit, as far as they were measured."""
    if "peak" in measured["values"]:
        return ", ".join(f"{key} {value / 1e6:,.0f} MB" for key, value in measured["values"].items() if value)
    if not measured["amount"]:
        return ""
    limit = f", {100 * measured['throughput'] / measured['limit']:.0f} % of the limit" if measured["limit"] else ""
    return f"{with_prefix(measured['throughput'])}{measured['unit']}/s{limit}"


def where(report: Json) -> str:
    """A sentence: what was measured, with what, on what."""
    c = report["circumstances"]
    commit = f" (commit {c['commit']})" if c["commit"] else ""
    busy = f" Other work ran beside it (load {c['load_average']})." if (c["load_average"] or 0) > 0.5 else ""
    unfinished = "" if report["complete"] else " It was stopped before its end."
    peers = sorted({row["peer"] for row in report["comparison"]})
    beside = f", in turns with {', '.join(peers)}" if peers else ""
    return (f"Measured on {c['created'][:10]} by {SIZES[report['size']]} of bnnsim {c['library']}{commit}{beside},\n"
            f"on {c['cpu']}, {c['threads']} threads; Python {c['python']}, NumPy {c['numpy']}, Numba {c['numba']}.\n"
            f"Medians.{busy}{unfinished}")


def ratio_of(peer: Json) -> str:
    """How many times bnnsim's time a peer takes: median of the pairs, and their range."""
    ratio = peer["ratio"]
    return f"{ratio['median']:.3g} ({ratio['min']:.3g} to {ratio['max']:.3g})"


# ---------------------------------------------------------------- README

def readme_table(report: Json) -> str:
    """Whole works beside the peers' where they were compared, else bnnsim's alone; some kernels and starts."""
    setups = list(dict.fromkeys(setup for row in report["comparison"] for setup in row["peers"]))
    rows, extrapolated = [], False
    for row in report["comparison"]:
        cells = [f"{time_of(row['peers'][setup]['statistics'], row['share'])}, "
                 f"{row['peers'][setup]['ratio']['median']:.3g} x" if setup in row["peers"] else "" for setup in setups]
        rows.append((row["name"], time_of(row["bnnsim"]["statistics"], row["share"]), *cells))
        extrapolated |= row["share"] < 1
    compared = {row["name"] for row in report["comparison"]}
    for measured in report["measurements"]:
        whole = measured["section"] in ("training", "inference", "sweep") and measured["name"] not in compared
        if whole or measured["name"].startswith(IN_README):
            time, speed = time_of(measured["statistics"], measured["share"]), speed_of(measured)
            rows.append((measured["name"], time + (f": {speed}" if speed else ""),
                         *[""] * len(setups)))
            extrapolated |= measured["share"] < 1
    peers = sorted({row["peer"] for row in report["comparison"]})
    header = ("work", "bnnsim", *(f"{', '.join(peers)}, {setup}" for setup in setups))
    text = table(header, rows) + "\n" + where(report)
    return text + (r" \* extrapolated from a part of the work." if extrapolated else "") + "\n\n"


# ---------------------------------------------------------------- the page

def comparison(report: Json) -> str:
    """Both sides, their spread and the ratios."""
    rows = []
    for row in report["comparison"]:
        ours = row["bnnsim"]["statistics"]
        rows.append((row["name"], "bnnsim", time_of(ours, row["share"]), spread_of(ours), "1", ""))
        rows += [("", f"{row['peer']}: {peer['setup']}", time_of(peer["statistics"], row["share"]),
                  spread_of(peer["statistics"]), ratio_of(peer), f"{peer['checked']} agree")
                 for peer in row["peers"].values()]
    header = ("work", "with", "median", "quartiles", "times bnnsim's", "checked")
    return ("\nIn turns\n--------\n\nbnnsim, peer, bnnsim, peer, in one run, both warm; the ratio is the median over "
            "the pairs, with its range.\n\n" + table(header, rows))


def section(report: Json, name: str) -> str:
    """All measurements of a section."""
    rows = []
    for measured in (each for each in report["measurements"] if each["section"] == name):
        part = f"extrapolated from {100 * measured['share']:.2g} % of it; " if measured["share"] < 1 else ""
        remarks = (part + measured["note"]).replace("`", "``").strip()
        rows.append((measured["name"], time_of(measured["statistics"], measured["share"]),
                     spread_of(measured["statistics"]), speed_of(measured), remarks))
    head = f"\n{TITLES[name]}\n{'-' * len(TITLES[name])}\n\n"
    image = ".. image:: figures/scaling.png\n\n" if name == "scaling" else ""
    return head + image + table(("what", "median", "quartiles", "speed", "remarks"), rows)


def page(report: Json) -> str:
    """docs/performance.rst."""
    text = ("Performance\n===========\n\nMade by ``python docs/make_performance.py`` from ``performance.json``, "
            f"which\n\n::\n\n    {report['command']}\n\nwrote. {where(report)}\n"
            "Times with \\* are extrapolated from a part of the work, which the remarks name.\n")
    if report["comparison"]:
        text += comparison(report)
    present = {measured["section"] for measured in report["measurements"]}
    return text + "".join(section(report, name) for name in TITLES if name in present)


def texts(report: Json) -> dict[str, str]:
    """{file: text} of what is to be written."""
    readme = (ROOT / README).read_text(encoding="utf-8")
    if not BLOCK.search(readme):
        sys.exit(f"{README} has no lines '.. performance begins' and '.. performance ends'")
    return {README: BLOCK.sub(lambda _: readme_table(report), readme), PAGE: page(report)}


def main(argv: list[str]) -> None:
    if argv not in ([], ["--check"]):
        sys.exit(__doc__)
    if not (ROOT / SOURCE).is_file():
        sys.exit(f"no {SOURCE}: run  python -m bnnsim.bench --full --out {SOURCE}")
    report = json.loads((ROOT / SOURCE).read_text(encoding="utf-8"))
    if (report.get("format"), report.get("format_version")) != ("bnnsim benchmark", 1):
        sys.exit(f"{SOURCE} was not written by python -m bnnsim.bench --out")
    made = texts(report)
    if argv:
        stale = [name for name, text in made.items()
                 if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text]
        if stale:
            sys.exit(f"{', '.join(stale)}: not what {SOURCE} says: run  python docs/make_performance.py")
        return
    for name, text in made.items():
        (ROOT / name).write_text(text, encoding="utf-8")
    points = [measured for measured in report["measurements"] if measured["section"] == "scaling"]
    if points:
        import bnnsim.figures.benchmarks as benchmarks
        benchmarks.scaling_curves(points, ROOT / FIGURE)


if __name__ == "__main__":
    main(sys.argv[1:])
