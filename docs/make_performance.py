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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                             # this clone, whatever is installed

from bnnsim.benchmarks.timing import in_words, with_prefix  # noqa: E402

SOURCE, PAGE, README = "docs/performance.json", "docs/performance.rst", "README.rst"
FIGURE = "docs/figures/scaling.png"
BLOCK = re.compile(r"(?<=^\.\. performance begins\n\n).*?(?=^\.\. performance ends$)", re.MULTILINE | re.DOTALL)
IN_README = ("binary GEMM", "16-bit gradient dX", "ber_sweep without arguments", "warmup(), cold", "fit: ")
TITLES = {"kernels": "Kernels", "training": "Training", "inference": "Inference", "sweep": "Sweeps",
          "startup": "Start-up", "memory": "Peak memory", "scaling": "Scaling"}
SIZES = {"quick": "a quick run", "full": "a full run", "tiny": "a tiny run, whose times mean nothing"}


def table(header, rows, widths=None):
    """A list-table."""
    lines = [".. list-table::", "   :header-rows: 1", *([f"   :widths: {widths}"] if widths else []), ""]
    for row in (header, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def time_of(statistics, share=1.0):
    """Median in words; with a mark where it was extrapolated."""
    return in_words(statistics["median"]) + (r" \*" if share < 1 else "")


def spread_of(statistics):
    return f"{in_words(statistics['q1'])} to {in_words(statistics['q3'])}" if statistics["n"] > 1 else "one run"


def speed_of(one):
    """Throughput and share of the limit, as far as they were measured."""
    if "peak" in one["values"]:
        return ", ".join(f"{key} {value / 1e6:,.0f} MB" for key, value in one["values"].items() if value)
    if not one["amount"]:
        return ""
    limit = f", {100 * one['throughput'] / one['limit']:.0f} % of the limit" if one["limit"] else ""
    return f"{with_prefix(one['throughput'])}{one['unit']}/s{limit}"


def where(report):
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


def ratio_of(found):
    """How many times bnnsim's time a peer takes: median of the pairs, and their range."""
    ratio = found["ratio"]
    return f"{ratio['median']:.3g} ({ratio['min']:.3g} to {ratio['max']:.3g})"


# ---------------------------------------------------------------- README

def readme_table(report):
    """Whole works beside the peers' where they were compared, else bnnsim's alone; some kernels and starts."""
    setups = list(dict.fromkeys(setup for row in report["comparison"] for setup in row["peers"]))
    rows, extrapolated = [], False
    for row in report["comparison"]:
        cells = [f"{time_of(row['peers'][setup]['statistics'], row['share'])}, "
                 f"{row['peers'][setup]['ratio']['median']:.3g} x" if setup in row["peers"] else "" for setup in setups]
        rows.append((row["name"], time_of(row["bnnsim"]["statistics"], row["share"]), *cells))
        extrapolated |= row["share"] < 1
    compared = {row["name"] for row in report["comparison"]}
    for one in report["measurements"]:
        whole = one["section"] in ("training", "inference", "sweep") and one["name"] not in compared
        if whole or one["name"].startswith(IN_README):
            speed = speed_of(one)
            rows.append((one["name"], time_of(one["statistics"], one["share"]) + (f": {speed}" if speed else ""),
                         *[""] * len(setups)))
            extrapolated |= one["share"] < 1
    peers = sorted({row["peer"] for row in report["comparison"]})
    header = ("work", "bnnsim", *(f"{', '.join(peers)}, {setup}" for setup in setups))
    text = table(header, rows) + "\n" + where(report)
    return text + (r" \* extrapolated from a part of the work." if extrapolated else "") + "\n\n"


# ---------------------------------------------------------------- the page

def comparison(report):
    """Both sides, their spread and the ratios."""
    rows = []
    for row in report["comparison"]:
        ours = row["bnnsim"]["statistics"]
        rows.append((row["name"], "bnnsim", time_of(ours, row["share"]), spread_of(ours), "1", ""))
        rows += [("", f"{row['peer']}: {found['setup']}", time_of(found["statistics"], row["share"]),
                  spread_of(found["statistics"]), ratio_of(found), f"{found['checked']} agree")
                 for found in row["peers"].values()]
    header = ("work", "with", "median", "quartiles", "times bnnsim's", "checked")
    return ("\nIn turns\n--------\n\nbnnsim, peer, bnnsim, peer, in one run, both warm; the ratio is the median over "
            "the pairs, with its range.\n\n" + table(header, rows))


def section(report, name):
    """All measurements of a section."""
    rows = []
    for one in (one for one in report["measurements"] if one["section"] == name):
        part = f"extrapolated from {100 * one['share']:.2g} % of it; " if one["share"] < 1 else ""
        rows.append((one["name"], time_of(one["statistics"], one["share"]), spread_of(one["statistics"]),
                     speed_of(one), (part + one["note"]).replace("`", "``").strip()))
    head = f"\n{TITLES[name]}\n{'-' * len(TITLES[name])}\n\n"
    image = ".. image:: figures/scaling.png\n\n" if name == "scaling" else ""
    return head + image + table(("what", "median", "quartiles", "speed", "remarks"), rows)


def page(report):
    """docs/performance.rst."""
    text = ("Performance\n===========\n\nMade by ``python docs/make_performance.py`` from ``performance.json``, "
            f"which\n\n::\n\n    {report['command']}\n\nwrote. {where(report)}\n"
            "Times with \\* are extrapolated from a part of the work, which the remarks name.\n")
    if report["comparison"]:
        text += comparison(report)
    present = {one["section"] for one in report["measurements"]}
    return text + "".join(section(report, name) for name in TITLES if name in present)


def texts(report):
    """{file: text} of what is to be written."""
    readme = (ROOT / README).read_text(encoding="utf-8")
    if not BLOCK.search(readme):
        sys.exit(f"{README} has no lines '.. performance begins' and '.. performance ends'")
    return {README: BLOCK.sub(lambda _: readme_table(report), readme), PAGE: page(report)}


def main(argv):
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
    points = [one for one in report["measurements"] if one["section"] == "scaling"]
    if points:
        import bnnsim.figures.benchmarks as benchmarks
        benchmarks.scaling_curves(points, ROOT / FIGURE)


if __name__ == "__main__":
    main(sys.argv[1:])
