"""Options of the command lines: each is written once, with its help, its default, and the rule that its value obeys.

A command has a table of options. From the table come its flags (`command_line.parser`), the keys of its configuration
file (`config.load_config`), the values that hold (`settle`: what was typed, over the file's, over the defaults, all
checked by one rule before the work starts), and the command line that is stored with results (`words`).

Below that stand the options that several commands have; what one command alone has stands in its module. The rules are
those of `rules`; `outputs` looks after the files that are made.
"""

import argparse
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bnnsim.checks import integer_of, real_of
from bnnsim.commands.rules import (Rule, dataset_text, fault_text, integer, lines_text, one_of, path, rates_text,
                                   size_text, switch, text, writable)
from bnnsim.datasets.catalogue import CATALOGUE
from bnnsim.datasets.own import WHAT
from bnnsim.datasets.reading import ORDERS

if TYPE_CHECKING:
    from bnnsim.datasets.split import Split
    from bnnsim.faults.array_mapping import ArrayMapping


@dataclass(frozen=True)
class Option:
    """An option of a command line.

    Parameters
    ----------
    name : str
        What it is called among the parsed options, and in a configuration file: "ci_width", for the flag --ci-width.
    help : str
    rule : function (name, value) -> value
        `switch` makes it a flag without a value.
    default : optional
        What holds where nothing is given. None: the command finds out.
    read : function, optional
        What makes the typed text the value that `rule` takes: int, float.
    metavar : str, optional
    flag : str, optional
        Where it is not the name; "" for what is typed without one.
    nargs : "?", "*" or "+", optional
        How many words there are, if not one: at most one, any number, at least one. What is typed without a flag must
        be given where this is None or "+".
    several : bool
        Whether its value is a list, each item of which `rule` takes; without nargs, it may be repeated.
    scope : "result", "run" or "once"
        What it decides: what comes out; how that is run or shown; this one call. The command line that is stored with
        results has the first kind, a configuration file the first two.
    parameter : str, optional
        What the library calls it in errors, where that is not the name.
    outputs : function (value, options) -> list of paths, optional
        The files that the command replaces: refused where they are there, unless --force is given.
    """

    name: str
    help: str
    rule: Rule = lambda name, value: value
    default: Any = None
    read: Callable[[str], Any] = str
    metavar: str | None = None
    flag: str | None = None
    nargs: Literal["?", "*", "+"] | None = None
    several: bool = False
    scope: Literal["result", "run", "once"] = "result"
    parameter: str = ""
    outputs: Callable[[str, argparse.Namespace], list[str]] | None = None

    @property
    def typed(self) -> str:
        """What stands before its value on a command line."""
        return f"--{self.name.replace('_', '-')}" if self.flag is None else self.flag

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser know it; what is not typed is None there, or []."""
        hidden = self.default is None or self.default is False or self.several            # of 0 it is shown
        text = self.help if hidden else f"{self.help} (default: {self.default})"
        if self.typed == "":                                     # asked for by `settle`: it may stand in a file
            nargs = "*" if self.several else "?"
            parser.add_argument(self.name, nargs=nargs, metavar=self.metavar or self.name.upper(), help=text)
        elif self.rule is switch:
            action = argparse.BooleanOptionalAction if self.default is None else "store_true"
            parser.add_argument(self.typed, dest=self.name, default=None, action=action, help=text)
        else:
            action = "append" if self.several and self.nargs is None else "store"
            parser.add_argument(self.typed, dest=self.name, type=self._read, nargs=self.nargs, metavar=self.metavar,
                                action=action, help=text)

    def _read(self, word: str) -> Any:
        """What a typed word is."""
        read = integer_of if self.read is int else real_of if self.read is float else self.read
        try:
            return read(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    def checked(self, value: Any, called: str) -> Any:
        """The value in its clean form; a list of one from one item, where there may be several.

        called : what whoever gave the value knows the option by: --ci-width on a command line, ci_width in a file
        """
        if not self.several:
            return self.rule(called, value)
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError(f"{called} must have at least one value, got []")
        return [self.rule(f"{called}[{i}]" if len(values) > 1 else called, item) for i, item in enumerate(values)]

    def words(self, value: Any) -> list[str]:
        """What is typed for this value."""
        if self.rule is switch:
            return [self.typed] if value else []
        items = [",".join(map(str, item)) if isinstance(item, list) else str(item)
                 for item in (value if self.several else [value])]
        if self.typed == "":                                     # a file may be called -x.h5
            return [f"./{item}" if item.startswith("-") else item for item in items]
        return [word for item in items
                for word in ([f"{self.typed}={item}"] if item.startswith("-") else [self.typed, item])]


def settle(options: argparse.Namespace, table: Iterable[Option], found: dict[str, Any]) -> None:
    """Put the value that holds in place: what was typed, else what was `found` in a file, else the default; checked.

    ``options.given`` are the names of those that were typed or found, ``options.typed`` of those that were typed.
    """
    options.typed = {option.name for option in table if getattr(options, option.name) not in (None, [])}
    options.given = options.typed | {*found}
    for option in table:
        value = getattr(options, option.name)
        if value in (None, []) and option.name in found:
            setattr(options, option.name, found[option.name])                # checked there, where the file is named
            continue
        value = option.default if value in (None, []) else value
        if value in (None, []) and option.typed == "" and option.nargs in (None, "+"):
            raise ValueError(f"{option.metavar} must be given: {option.help}")
        setattr(options, option.name, value if value in (None, [])
                else option.checked(value, option.typed or str(option.metavar)))


def as_given(said: str, options: argparse.Namespace, table: Iterable[Option]) -> str:
    """An error that begins with an option's name, with the name that whoever gave its value knows it by.

    ``holdout must be in [0, 49]`` is of --holdout where that was typed, of holdout in the file where it stands there,
    and of something else where neither gave it.
    """
    found = re.match(r"--([a-z-]+)|([a-z][a-z_-]*)(?: \(\w\))?(?=(?:\[\d+\])?(?: \([^)]*\))? (?:must|needs) )", said)
    if found is None:
        return said
    word = (found[1] or found[2]).replace("-", "_")
    option = next((one for one in table if word in (one.name, one.parameter) or found[0] == one.typed), None)
    if option is None or option.name not in getattr(options, "given", ()):
        return said
    name = option.typed or str(option.metavar) if option.name in options.typed else f"{options.config}: {option.name}"
    return name + said[found.end():]


def check_read(options: argparse.Namespace, names: Iterable[str], read: object, by: str) -> None:
    """Options that nothing reads unless `read`, which is so with the option `by`, are refused where they are given."""
    for name in sorted(options.given.intersection(names)) if not read else ():
        raise ValueError(f"--{name.replace('_', '-')} goes with {by}, and nothing else reads it: give both, or neither")


def words(options: argparse.Namespace, table: Iterable[Option]) -> list[str]:
    """The words of a command line that gives the same results."""
    return [word for option in table if option.scope == "result"
            and (value := getattr(options, option.name)) not in (None, []) for word in option.words(value)]


# ---------------------------------------------------------------- options of several commands

def itself(value: str, options: argparse.Namespace) -> list[str]:
    """The outputs of an option whose value is the path of one."""
    return [value]


FIGURE = writable(".png", ".svg", ".pdf")
FIGURE_HELP = ".png, .svg or .pdf"

NETWORKS = Option("networks", "files written by PackedNetwork.save, or names of networks that come with the library, "
                  "such as fashion_cnn (default: fashion_fcnn)", path, [], metavar="NETWORK.h5", flag="", nargs="*",
                  several=True)
NETWORK = Option("network", "a file written by PackedNetwork.save, or the name of a network that comes with the "
                 "library, such as fashion_cnn (default: fashion_fcnn)", path, metavar="NETWORK.h5", flag="", nargs="?")
OWN_DATA = f"{', '.join(CATALOGUE)}, or a path of your own data: {WHAT}"
DATASET = Option("dataset", f"{OWN_DATA} (default: what the networks were trained on; where none is named, "
                 "fashion-subset, which comes with the library)", dataset_text, metavar="NAME")
DATA = Option("data", "where the files of a known data set are", path, metavar="FOLDER", parameter="folder")
SIZE = Option("size", "of your own pictures: resize them (default: as in the network's training)", size_text,
              metavar="ROWSxCOLUMNS")
ORDER = Option("order", f"of your own image arrays: what their axes are, {', '.join(ORDERS)}", one_of(ORDERS),
               metavar="AXES")
BINS = Option("bins", "of your own features: pixels a number, of a thermometer code (default: one of 256 levels)",
              integer(1, 1024), None, int)
FAULT = Option("fault", "what goes wrong in the memory, as one of bnnsim.faults is written in Python: \"StuckAt(0.01, "
               "0.01)\", \"Protected(BitFlips(0.001), 'secded(72,64)')\"", fault_text, metavar="FAULT")
RATES = Option("rates", "bit error rates: 1e-3,0.01,0.1 or start:stop:count in log steps; 0 is always added",
               rates_text)
TRIALS = Option("trials", "chips a rate", integer(1), 10, int)
TRIAL = Option("trial", "which chip", integer(0), 0, int)
SEED = Option("seed", "root seed of all that is drawn", integer(0), 0, int)
WORKERS = Option("workers", "N worker processes (default: threads of this one)", integer(1, 4096), None, int, "N",
                 scope="run")
DASK = Option("dask", "workers of a running Dask cluster (needs pip install 'bnnsim[dask]')", text, metavar="ADDRESS",
              scope="run")
RESUME = Option("resume", "go on from --out", switch, False, scope="run")
ARRAYS = Option("arrays", "cells of an array (default: 64x64, or a fault map's)", lines_text, metavar="ROWSxCOLUMNS")
UNITS_ON = Option("units_on", "whether rows or columns of an array hold the weights of a unit: rows, columns",
                  one_of(("rows", "columns")))
PLOT = Option("plot", f"draw it: {FIGURE_HELP}", FIGURE, metavar="FIGURE", scope="run", outputs=itself)
WIDTH = Option("width", "of the figure: one or two columns of a paper (default: what it needs)",
               one_of(("column", "page")), scope="run")
PUBLISHED = Option("published", "points of others to draw as well, with the columns that the figure's axes have, and "
                   "citation", path, metavar="POINTS.csv", scope="run")
FORCE = Option("force", "replace files that are there; never a checkpoint or the .h5 of a sweep, which take hours: "
               "remove those yourself, or go on from them", switch, False, scope="once")
LIMIT = Option("limit", "only the first N images of each half of the data set", integer(1), None, int, "N")
DRY_RUN = Option("dry_run", "check what was asked for, and say what would be done: run and write nothing", switch,
                 False, scope="once")
# every command has these, see `command_line.parser`
CONFIG = Option("config", "options from a file, by their names; those given here win", path, metavar="FILE.json",
                scope="once")
QUIET = Option("quiet", "no progress, and no word of kernels that are compiled", switch, False, scope="run")
LOG = Option("log", "progress as log lines, for batch jobs, also with --quiet", switch, False, scope="run")
DEBUG = Option("debug", "show the traceback of an error, as BNNSIM_DEBUG=1 in the environment does", switch, False,
               scope="once")


def out(what: str, *endings: str) -> Option:
    """--out, of a command that stores this."""
    return Option("out", what, writable(*endings), metavar=f"FILE{endings[0] if len(endings) == 1 else ''}",
                  outputs=itself)


def form(*choices: str) -> Option:
    """--format, of a command that prints in these."""
    return Option("format", f"what is printed: {', '.join(choices)}", one_of(choices), choices[0], scope="run")


# what several of them say

def limited(half: "Split", options: argparse.Namespace) -> "Split":
    """What --limit leaves of a half, with a note where classes lack; without it, the half itself, by its own name."""
    if options.limit is None:
        return half
    left = half[:options.limit]
    n_left, n_all = (len(set(part.labels.tolist())) for part in (left, half))
    if n_left < n_all:
        warnings.warn(f"--limit {options.limit} leaves images of {n_left} of the {n_all} classes of {half.name}, and "
                      "what is said is of these alone: it takes the first, so data sorted by class must be mixed",
                      stacklevel=2)
    return left


def progress(options: argparse.Namespace) -> "bool | Literal['log']":
    """Of --quiet and --log, as `sweep` takes it."""
    return "log" if options.log else not options.quiet


def mapping_of(options: argparse.Namespace) -> "ArrayMapping":
    """The arrays that --arrays and --units-on say, or 64 x 64."""
    from bnnsim.faults.array_mapping import ArrayMapping

    rows, columns = map(int, (options.arrays or "64x64").split("x"))
    return ArrayMapping(rows, columns, options.units_on or "rows")
