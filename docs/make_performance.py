"""Write docs/performance.rst, its figure and README's table from benchmarks that were run and stored.

    python -m bnnsim.bench --full --out docs/performance.json --scaling scaling.png --compare ... --peer-python ...
    python -m bnnsim.bench --isa avx2 --full --out docs/performance-avx2.json --compare ... --peer-python ...
    python -m bnnsim.bench --isa generic --only inference --out docs/performance-generic.json --compare ...
    python docs/make_performance.py            # writes them from the first, and from the others where they are there
    python docs/make_performance.py --check    # exits 1 where the page is not what would be written

No time and no speed is typed by hand: what the JSON has not, stands nowhere.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))                                             # this clone, whatever is installed

from bnnsim.benchmarks.networks import RATES  # noqa: E402
from bnnsim.benchmarks.peer import gflops  # noqa: E402
from bnnsim.benchmarks.sizes import TEST_IMAGES, WORKS  # noqa: E402
from bnnsim.benchmarks.timing import in_words, with_prefix  # noqa: E402

SOURCES = {"docs/performance.json": "all", "docs/performance-avx2.json": "avx2",
           "docs/performance-generic.json": "generic"}                                  # and their --isa
PAGE = "docs/performance.rst"
FIGURE = "docs/figures/scaling.png"
README, BEGIN, END = "README.rst", ".. times begin: docs/make_performance.py writes them\n", ".. times end\n"
SMALL = [WORKS[name].title for name in ("fcnn", "cnn")]
SHORT = (*(f"{work.title}: epoch of {work.epoch_images:,} images" for work in WORKS.values()),
         *(f"{work.title}: {TEST_IMAGES:,} images" for work in WORKS.values()),
         *(f"{title}: one image, 1 thread" for title in SMALL),
         *(f"{title}: one chip at BER {RATES[0]:g}, {TEST_IMAGES:,} images" for title in SMALL))
TITLES = {"kernels": "Kernels", "training": "Training", "inference": "Inference", "sweep": "Sweeps",
          "geometry": "Geometry", "startup": "Start-up", "memory": "Peak memory", "scaling": "Scaling"}
TRIED = """
Tried, and left out
-------------------

Gradients of 10 to 13.7 bits, on AVX-512 (one Zen 5 core, CPU time in turns). The trial's code is not in the project and
no command prints its figures, so none stand here. Sums of six by ``vpermi2w`` and 16-bit additions hold 10-bit
gradients for ten groups, 11-bit ones for five: such tiles were faster than that of 16-bit gradients (``vpermi2d``),
and, widened every four groups, hardly so. An epoch is more than the product of gradients, and would have become shorter
by little. Accuracy does not speak against them: means of three seeds, after a few epochs of the FCNN and the CNN, lay
within what the seeds themselves made. But that does not pay for one more precision, in tiles of its own on each kind of
CPU.
"""
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


def instructions_of(report: Json) -> str:
    """The widest vectors that bnnsim's kernels used."""
    used = report["circumstances"].get("instructions", [])
    names = {"avx512": "AVX-512", "avx2": "AVX2", "neon": "NEON"}
    return next((name for start, name in names.items() if any(one.startswith(start) for one in used)),
                "A generic CPU" if report.get("isa") == "generic" else f"{report.get('isa', 'all')} instructions")


def products_of(report: Json) -> str:
    """The peers' float32 matrix products: which instructions they really used shows in them."""
    found = [peer["gflops"] for row in report["comparison"] for peer in row["peers"].values() if peer.get("gflops")]
    return f" (its float32 matrix product: {min(found):.0f} to {max(found):.0f} GFLOP/s)" if found else ""


def where(report: Json) -> str:
    """A sentence: what was measured, with what, on what."""
    c = report["circumstances"]
    commit = f" (commit {c['commit']})" if c["commit"] else ""
    busy = f" Other work ran beside it (load {c['load_average']})." if (c["load_average"] or 0) > 0.5 else ""
    unfinished = "" if report["complete"] else " It was stopped before its end."
    peers = sorted({row["peer"] for row in report["comparison"]})
    beside = f", in turns with {', '.join(peers)}{products_of(report)}" if peers else ""
    isa = report.get("isa", "all")
    least = "what every x86-64 has" if isa == "generic" else instructions_of(report)
    limited = "" if isa == "all" else f" limited to {least},"
    return (f"Measured on {c['created'][:10]} by {SIZES[report['size']]} of bnnsim {c['library']}{commit}{beside},\n"
            f"on {c['cpu']},{limited} {c['threads']} threads; Python {c['python']}, NumPy {c['numpy']}, "
            f"Numba {c['numba']}.\nMedians.{busy}{unfinished}")


def ratio_of(peer: Json) -> str:
    """How many times bnnsim's time a peer takes: median of the pairs, and their range."""
    ratio = peer["ratio"]
    return f"{ratio['median']:.3g} ({ratio['min']:.3g} to {ratio['max']:.3g})"


# ---------------------------------------------------------------- in short

def short_columns(report: Json) -> tuple[list[str], dict[str, list[str]]]:
    """(header, {work: cells}): bnnsim, each of the peer's setups, and the last one's time in bnnsim's."""
    setups = list(dict.fromkeys(setup for row in report["comparison"] for setup in row["peers"]))
    cells = {name: ["not measured"] for name in SHORT}
    cells |= {measured["name"]: [time_of(measured["statistics"], measured["share"])]
              for measured in report["measurements"]}
    for row in report["comparison"]:
        times = [time_of(row["peers"][setup]["statistics"], row["share"]) if setup in row["peers"] else "not measured"
                 for setup in setups]
        ratio = f"{row['peers'][setups[-1]]['ratio']['median']:.3g}" if setups[-1] in row["peers"] else ""
        cells[row["name"]] = [time_of(row["bnnsim"]["statistics"], row["share"]), *times, ratio]
    peers = " or ".join(sorted({row["peer"] for row in report["comparison"]}))
    header = ["bnnsim", *(f"{peers}, {setup}" for setup in setups), *(["ratio"] if setups else [])]
    return header, {name: found + ["not measured"] * (len(header) - len(found)) for name, found in cells.items()}


def in_short(reports: Sequence[Json]) -> str:
    """A dozen works, or "not measured": times of bnnsim, and of a peer where there is one, for each report."""
    columns = [short_columns(report) for report in reports]
    rows = [(name, *(cell for _, cells in columns for cell in cells[name])) for name in SHORT]
    header = [f"{instructions_of(report)}: {name}" for report, (names, _) in zip(reports, columns) for name in names]
    text = table(("work", *header), rows) + "\n" + "\n".join(map(where, reports))
    if any(report["comparison"] for report in reports):
        text += "\nRatio: the last peer's time divided by bnnsim's, median over the pairs."
    return text + r" \* extrapolated from a part of the work." * (r"\*" in table(header, rows)) + "\n"


def times(reports: Sequence[Json]) -> str:
    """README's table: of the short one the works without residual networks, a line each."""
    found = [(instructions_of(report), *short_columns(report)) for report in reports]
    side = ("default", "best", "ratio")
    rows = [["work", *(name for title, header, _ in found for name in (title, *side)[:len(header)])]]
    rows += [[name.replace(f", {TEST_IMAGES:,} images", ""),
              *("-" if cell in ("", "not measured") else cell for _, _, cells in found for cell in cells[name])]
             for name in SHORT if not name.startswith(WORKS["residual"].title)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    edge = "  ".join("=" * width for width in widths)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([edge, lines[0], edge, *lines[1:], edge]) + "\n"


def readme(text: str, reports: Sequence[Json]) -> str:
    """README with its table made anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{times(reports)}\n{END}{rest.split(END)[1]}"


# ---------------------------------------------------------------- the page

def comparison(report: Json) -> str:
    """Both sides, their spread and the ratios."""
    rows = []
    for row in report["comparison"]:
        ours = row["bnnsim"]["statistics"]
        tiles = ", ".join(f"{name} {tile}" for name, tile in row["bnnsim"].get("tiles", {}).items())
        rows.append((row["name"], "bnnsim", time_of(ours, row["share"]), spread_of(ours), "1",
                     f"tiles: {tiles}" if tiles else ""))
        rows += [("", f"{row['peer']}: {peer['setup']}", time_of(peer["statistics"], row["share"]),
                  spread_of(peer["statistics"]), ratio_of(peer), f"{peer['checked']} agree{gflops(peer)}")
                 for peer in row["peers"].values()]
    header = ("work", "with", "median", "quartiles", "times bnnsim's", "checked; instructions")
    return ("\nIn turns\n~~~~~~~~\n\nbnnsim, peer, bnnsim, peer, in one run, both warm; the ratio is the median over "
            "the pairs, with its range.\n\n" + table(header, rows))


def section(report: Json, name: str) -> str:
    """All measurements of a section."""
    rows = []
    for measured in (each for each in report["measurements"] if each["section"] == name):
        part = f"extrapolated from {100 * measured['share']:.2g} % of it; " if measured["share"] < 1 else ""
        remarks = (part + measured["note"]).replace("`", "``").strip()
        rows.append((measured["name"], time_of(measured["statistics"], measured["share"]),
                     spread_of(measured["statistics"]), speed_of(measured), remarks))
    head = f"\n{TITLES[name]}\n{'~' * len(TITLES[name])}\n\n"
    image = ".. image:: figures/scaling.png\n\n" if name == "scaling" and report.get("isa", "all") == "all" else ""
    grown = growth(report) if name == "scaling" else ""
    return head + image + grown + table(("what", "median", "quartiles", "speed", "remarks"), rows)


def growth(report: Json) -> str:
    """A table of the series of the section "scaling": how time, work and memory grow."""
    values = {(one["values"]["axis"], one["values"]["series"]): one["values"]
              for one in report["measurements"] if one["section"] == "scaling"}
    keys = ("exponent", "work_exponent", "memory_exponent")
    rows = [(*names, *(f"{found[key]:.2f}" for key in keys)) for names, found in values.items()
            if all(found.get(key) is not None for key in keys)]
    return ("Growth exponents, slopes of log time over log x in the last decade of x: 1 where twice as much takes\n"
            "twice as long.\n\n" + table(("axis", "series", "time", "work", "memory"), rows) + "\n") if rows else ""


def part(report: Json) -> str:
    """All of one report."""
    text = f"::\n\n    {report['command']}\n\nwrote it. {where(report)}\n"
    if report["comparison"]:
        text += comparison(report)
    present = {measured["section"] for measured in report["measurements"]}
    return text + "".join(section(report, name) for name in TITLES if name in present)


def page(reports: Sequence[Json]) -> str:
    """docs/performance.rst."""
    isas = [report.get("isa", "all") for report in reports]
    names = [f"``{Path(source).name}``" for source, isa in SOURCES.items() if isa in isas]
    text = ("Performance\n===========\n\nMade by ``python docs/make_performance.py`` from "
            f"{', '.join(names)}.\n"
            "Times with \\* are extrapolated from a part of the work, which the remarks name.\n"
            "A limit is what a chain of counts of bits (binary products) or of 16-bit multiply-adds (gradients)\n"
            "reaches in registers; kernels that look sums up in tables use neither, and may be above 100 % of it.\n"
            f"\nIn short\n--------\n\n{in_short([one for one in reports if one.get('isa') != 'generic'])}")
    for report in reports:
        title = instructions_of(report)
        text += f"\n{title}\n{'-' * len(title)}\n\n{part(report)}"
    return text + TRIED


def read() -> list[Json]:
    """The reports, each checked to be what its name says; all but the first may be absent."""
    if not (ROOT / next(iter(SOURCES))).is_file():
        sys.exit(f"no {next(iter(SOURCES))}: run  python -m bnnsim.bench --full --out {next(iter(SOURCES))}")
    reports = []
    for source, isa in SOURCES.items():
        if not (ROOT / source).is_file():
            continue
        report = json.loads((ROOT / source).read_text(encoding="utf-8"))
        if (report.get("format"), report.get("format_version")) != ("bnnsim benchmark", 1):
            sys.exit(f"{source} was not written by python -m bnnsim.bench --out")
        if report.get("isa", "all") != isa:
            sys.exit(f"{source} is of --isa {report['isa']}, not of {isa}: it belongs elsewhere")
        reports.append(report)
    return reports


def main(argv: list[str]) -> None:
    if argv not in ([], ["--check"]):
        sys.exit(__doc__)
    reports = read()
    usual = [one for one in reports if one.get("isa") != "generic"]
    made = {PAGE: page(reports), README: readme((ROOT / README).read_text(encoding="utf-8"), usual)}
    for name, text in made.items():
        if argv and (not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text):
            sys.exit(f"{name}: not what {' and '.join(SOURCES)} say: run  python docs/make_performance.py")
        if not argv:
            (ROOT / name).write_text(text, encoding="utf-8")
    if argv:
        return
    points = [measured for measured in reports[0]["measurements"] if measured["section"] == "scaling"]
    if points:
        import bnnsim.figures.benchmarks as benchmarks
        benchmarks.scaling_curves(points, ROOT / FIGURE)


if __name__ == "__main__":
    main(sys.argv[1:])
