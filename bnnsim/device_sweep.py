"""Accuracy of stored networks in a memory technology: along an axis of its device card, with what it costs.

    python -m bnnsim.device_sweep
    python -m bnnsim.device_sweep teaching --axis cycles --at condition=weak --cell 1T1R,2T2R --ecc none,secded
    python -m bnnsim.device_sweep my_cells.json --axis voltage --networks mine.h5 --dataset fashion --drop 0.5 --yields
    python -m bnnsim.device_sweep stored.h5 --plot again.png --format csv

Without arguments: what the FCNNs that come with the library still get right in the HfO2 2T2R memory of Hirtzlin et al.
2019, at its reference, low and ultra-low power conditions, on the embedded 2,000 test images of Fashion-MNIST. Given
what --out left: printed and drawn again.
"""

import argparse
import bisect
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.files.hdf5_structure as hdf5_structure
from bnnsim.checks import check_choice
from bnnsim.commands.executors import check_one_place, checked_only, chosen_executor
from bnnsim.commands.number_lists import parse_places
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted, print_plan

if TYPE_CHECKING:
    from bnnsim.campaign.card import CardSweep, CardTolerated

NETWORKS = ("fashion_fcnn", "fashion_fcnn_flip")
CODES = {"none": "none", "secded": "secded(72,64)"}


def check_axis(name: str, value: Any) -> str:
    """An axis of device cards."""
    from bnnsim.devices import AXES

    return check_choice(name, value, AXES)


OPTIONS = (
    Option("card", "a device card: a JSON file, or one that comes with the library: ddr3_temperature, ddr3_trcd, "
           "fefet, fpga_bram, hfo2_2t2r, pcm_drift, rram_macros, rram_relaxation, rram_unverified, stt_mram; teaching, "
           "sram_synthetic, dram_synthetic; or a file that --out left",
           rules.path, "hfo2_2t2r", metavar="CARD", flag="", nargs="?"),
    Option("axis", "what changes, such as condition, cycles, time, voltage (default: the first that the card has)",
           check_axis),
    Option("values", "places on it: v,v,... or start:stop:count, in log steps where the axis is logarithmic; of "
           "conditions, names (default: all that the card covers)", rules.text, metavar="LIST", parameter="places"),
    Option("at", "where on another axis, such as condition=weak, cycles=1e4, time=1e7, temperature=358; may be "
           "repeated", rules.text, [], metavar="AXIS=PLACE", several=True),
    Option("cell", "1T1R, 2T2R or both, separated by a comma (default: the card's own)", rules.text, metavar="LIST"),
    Option("ecc", "none, secded (which is secded(72,64)), or codes such as 'secded(8,4)' or 'repetition(3)', separated "
           "by semicolons or commas", rules.text, "none", metavar="LIST"),
    replace(shared.NETWORKS, flag=None, nargs="+",
            help=shared.NETWORKS.help.replace("fashion_fcnn", "fashion_fcnn and fashion_fcnn_flip")),
    shared.DATASET, shared.DATA, shared.SIZE, shared.ORDER, shared.LIMIT,
    replace(shared.TRIALS, help="chips a place"),
    shared.SEED,
    Option("drop", "report how far the axis can go at this loss of accuracy, in percent points", rules.positive(100),
           1.0, float, "POINTS"),
    Option("yields", "print at each place the share of chips that lose more than --drop, too; --drop alone is of the "
           "mean over chips", rules.switch, False),
    Option("extrapolate", "allow places outside the card's data", rules.switch, False),
    shared.WORKERS, shared.DASK, replace(shared.out("store the campaign, resumable", ".h5"), outputs=None),
    shared.RESUME,
    replace(shared.PLOT, help=f"draw accuracy, error rates and energy along the axis: {shared.FIGURE_HELP}"),
    replace(shared.PLOT, name="pareto", help=f"draw accuracy over energy and over devices: {shared.FIGURE_HELP}"),
    replace(shared.PUBLISHED, help="points to draw as well: columns accuracy (a share of 1), citation, and for "
            "--pareto energy_joule, for --plot the axis by its key (cycles, time_second, voltage_volt)"),
    shared.WIDTH, shared.form("table", "csv", "json"), shared.DRY_RUN)
OF_STORED = ("card", "plot", "pareto", "published", "width", "drop", "yields", "format", "force", "config", "quiet",
             "log", "debug")


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("device_sweep", __doc__, OPTIONS)


def split_codes(text: str) -> list[str]:
    """Codes separated by semicolons, or by commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter in ",;" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [CODES.get(part.strip(), part.strip()) for part in parts]


def places_on(axis: str, text: str) -> list[Any]:
    """Places on an axis: names of conditions, or numbers."""
    from bnnsim.devices import AXES

    return ([part.strip() for part in text.split(",")] if axis == "condition"
            else parse_places(text, AXES[axis].log, "--values"))


def parse_at(texts: Sequence[str]) -> dict[str, Any]:
    """{"condition": "weak", "time_second": 1e7} from AXIS=PLACE."""
    from bnnsim.devices import AXES

    found = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or name not in AXES:
            raise ValueError(f"--at must be AXIS=PLACE with an axis of {', '.join(AXES)}, got {text!r}")
        numbers = [place] if name == "condition" else parse_places(place, False, f"--at {name}")
        if len(numbers) != 1 or AXES[name].key in found:
            raise ValueError(f"--at {name} must be one place, got {' and '.join(texts)}: --axis {name} has several")
        found[AXES[name].key] = numbers[0]
    return found


def show(found: "CardSweep", options: argparse.Namespace) -> None:
    """Print the table, and how far the axis can go."""
    if options.format == "csv":
        print(found.csv(), end="")
        return
    if options.format == "json":
        print(as_json({"card": found.card.name, "card_sha256": found.card.checksum, "axis": found.axis, "at": found.at,
                       "checksum": found.result.checksum, "rows": found.rows}))
        return
    print(f"{found.card!r}")
    result, trials = found.result, found.result.n_trials().max()
    print(f"{result.split}: all {counted(result.n_images, 'image')}, {counted(trials, 'chip')} a place, "
          f"seed {result.seed}\n")
    print(found.table())
    for note in found.card.notes(found.at.get("condition")):
        print(f"note on {found.card.name}: {note}")
    if options.yields:
        print(f"\n{found.yields(options.drop / 100).table()}")
    if found.axis == "condition":
        return
    print()
    for one in found.tolerated(options.drop / 100):
        print(_tolerated_line(one, found, options.drop))


def _tolerated_line(one: "CardTolerated", found: "CardSweep", drop: float) -> str:
    from bnnsim.devices.card_schema import place_text
    from bnnsim.devices.marks import said

    points = "point" if drop == 1 else "points"
    name = ", ".join((one["network"], one["cell"], *([] if one["code"] == "none" else [one["code"]])))
    if one["where"] == "below":
        return said(f"{name}: loses more than {drop:g} {points} at every place that was run", one["mark"])
    if one["where"] == "at least":
        return said(f"{name}: loses at most {drop:g} {points} at every place that was run", one["mark"])
    if one["place"] is None:
        return said(f"{name}: a loss of {drop:g} {points} at BER of cells {one['ber']:.2g}; the card's rates along "
                    f"{found.axis} rise and fall, so no one place belongs to a rate", one["mark"])
    at, low, high = ("" if place is None else place_text(found.axis, place, 4)
                     for place in (one["place"], one["place_low"], one["place_high"]))
    interval = f" (95 %: {low} to {high}, straight between the places run)" if low else ""
    place = f"{found.axis} {at}{interval}, BER of cells {one['ber']:.2g}"
    return said(f"{name}: a loss of {drop:g} {points} at {place}", one["mark"]) + _coarse(one, found, drop)


def _coarse(one: "CardTolerated", found: "CardSweep", drop: float) -> str:
    """A line that says to run more places, where the loss between two of them grows by more than what is asked."""
    from bnnsim.devices import AXES

    if 100 * one["step"] <= drop:
        return ""
    of = one["network"], one["cell"], one["code"]
    rates = sorted((row["ber"], float(row["place"])) for row in found.rows
                   if row["ber"] > 0 and (row["network"], row["cell"], row["code"]) == of)
    behind = min(bisect.bisect_right(rates, (one["ber"], math.inf)), len(rates) - 1)
    low, high = sorted(place for _, place in rates[behind - 1:behind + 1])
    typed = f" and {high!r}" if low <= 0 and AXES[found.axis].log else f" and {high!r},  --values {low!r}:{high!r}:9"
    return (f"\n  from one place run to the next the loss grows there by {100 * one['step']:.1f} points, along a line "
            f"that need not be straight: run more between {low!r}{typed}")


def work(options: argparse.Namespace) -> None:
    """Load, sweep, print, draw."""
    import bnnsim.commands.inputs as inputs
    import bnnsim.devices as devices
    from bnnsim.campaign import sweep_card

    shared.check_read(options, ["width", "published"], options.plot or options.pareto, "--plot or --pareto FIGURE")
    shared.check_read(options, ["yields"], options.format == "table", "--format table")
    if is_stored(options.card):
        draw_and_show(stored(options), options)
        return
    check_one_place(options.workers, options.dask)
    card = devices.load_card(options.card)
    at = parse_at(options.at)
    axis = options.axis or next(iter(card.axes()))
    check_published(axis, options)
    places = None if options.values is None else places_on(axis, options.values)
    networks = inputs.load_networks(options.networks or [inputs.shipped_file(name) for name in NETWORKS])
    split = inputs.load_test(options, options.networks, networks)
    cells = [cell.strip() for cell in options.cell.split(",")] if options.cell else None
    codes = split_codes(options.ecc)
    sweep = partial(sweep_card, card, networks, axis=axis, places=places, cells=cells, codes=codes, at=at,
                    trials=options.trials, rng=options.seed, extrapolate=options.extrapolate)
    if options.dry_run:
        with checked_only() as executor:
            sweep(split=split[:1], executor=executor, workers=1, progress=False)
        print_plan(options, {
            "card": card.name, "axis": axis, "places": places or "all that the card covers", "at": at,
            "cells": cells or "the card's own", "codes": codes, "networks": list(networks),
            "split": split.name, "n_images": len(split), "chips_a_place": options.trials},
            {"plot": options.plot, "pareto": options.pareto, "out": options.out})
        return
    with chosen_executor(options.workers, options.dask) as executor:
        found = sweep(split=split, executor=executor, workers=options.workers, out=options.out, resume=options.resume,
                      progress=shared.progress(options), provenance={"command": options.command})
    draw_and_show(found, options)


def draw_and_show(found: "CardSweep", options: argparse.Namespace) -> None:
    """The figures that were asked for, and the text."""
    if options.plot:
        found.plot(options.plot, width=options.width, published=options.published)
    if options.pareto:
        found.plot_pareto(options.pareto, width=options.width, published=options.published)
    show(found, options)


def check_published(axis: str, options: argparse.Namespace) -> None:
    """The points of --published can be drawn: found out before the sweep."""
    import bnnsim.figures.published as published

    if options.plot:
        published.read_along(options.published, axis)
    if options.pareto:
        published.read_published(options.published, "energy_joule", check=published.positive)


def is_stored(path: str) -> bool:
    """Whether a card is none, but the sweep of one: told by its ending, or by what is in it."""
    if path.lower().endswith(".h5") or not os.path.isfile(path):
        return path.lower().endswith(".h5")
    with open(path, "rb") as file:
        return file.read(len(hdf5_structure.SIGNATURE)) == hdf5_structure.SIGNATURE


def stored(options: argparse.Namespace) -> "CardSweep":
    """The sweep in a file that --out left; nothing of it can be asked for anew."""
    from bnnsim.campaign import CardSweep

    given = sorted(options.given.difference(OF_STORED))
    if given:
        flag = f"--{given[0].replace('_', '-')}"
        raise ValueError(f"{flag} must not be given with {options.card}, which holds a sweep: draw and print it "
                         "by --plot, --pareto, --drop and --format, or name its card to sweep anew")
    return CardSweep.load(options.card)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
