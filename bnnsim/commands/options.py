"""Options of the command lines: each is written once, with its help, its default, and the rule that its value obeys.

A command has a table of options. From the table come its flags (`command_line.parser`), the keys of its configuration
file (`config.load_config`), the values that hold (`settle`: what was typed, over the file's, over the defaults, all
checked by one rule before the work starts), and the command line that is stored with results (`words`).

Below the machinery stand the options that several commands have; what one command alone has stands in its module.
"""

import argparse
import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import bnnsim.files.atomic as atomic
from bnnsim.checks import check_choice, check_int, check_probability, check_real, integer_of, real_of
from bnnsim.commands.number_lists import parse_rates
from bnnsim.datasets.catalogue import CATALOGUE
from bnnsim.datasets.own import WHAT, check_dataset, is_path
from bnnsim.datasets.reading import ORDERS, check_size

if TYPE_CHECKING:
    from bnnsim.datasets.split import Split
    from bnnsim.faults.array_mapping import ArrayMapping
    from bnnsim.faults.protocol import Fault

Rule = Callable[[str, Any], Any]    # (name, value) -> the value in its clean form; ValueError, TypeError for a bad one


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
    outputs: Callable[[str, argparse.Namespace], list[str]] | None = None

    @property
    def typed(self) -> str:
        """What stands before its value on a command line."""
        return f"--{self.name.replace('_', '-')}" if self.flag is None else self.flag

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser know it; what is not typed is None there, or []."""
        hidden = self.default in (None, False) or self.several
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

    def checked(self, value: Any) -> Any:
        """The value in its clean form; a list of one from one item, where there may be several."""
        if not self.several:
            return self.rule(self.name, value)
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError(f"{self.name} must have at least one value, got []")
        return [self.rule(f"{self.name}[{i}]", item) for i, item in enumerate(values)]

    def words(self, value: Any) -> list[str]:
        """What is typed for this value."""
        if self.rule is switch:
            return [self.typed] if value else []
        if self.typed == "":
            return list(value) if self.several else [value]
        return [word for item in (value if self.several else [value])
                for word in (self.typed, ",".join(map(str, item)) if isinstance(item, list) else str(item))]


def settle(options: argparse.Namespace, table: Iterable[Option], found: dict[str, Any]) -> None:
    """Put the value that holds in place: what was typed, else what was `found` in a file, else the default; checked.

    ``options.given`` are the names of those that were typed or found.
    """
    options.given = {option.name for option in table if getattr(options, option.name) not in (None, [])} | {*found}
    for option in table:
        value = getattr(options, option.name)
        if value in (None, []) and option.name in found:
            setattr(options, option.name, found[option.name])                # checked there, where the file is named
            continue
        value = option.default if value in (None, []) else value
        if value in (None, []) and option.typed == "" and option.nargs in (None, "+"):
            raise ValueError(f"{option.metavar} must be given: {option.help}")
        setattr(options, option.name, value if value in (None, []) else option.checked(value))


def check_read(options: argparse.Namespace, names: Iterable[str], read: object, by: str) -> None:
    """Options that nothing reads unless `read`, which is so with the option `by`, are refused where they are given."""
    for name in sorted(options.given.intersection(names)) if not read else ():
        raise ValueError(f"--{name.replace('_', '-')} goes with {by}, and nothing else reads it: give both, or neither")


def words(options: argparse.Namespace, table: Iterable[Option]) -> list[str]:
    """The words of a command line that gives the same results."""
    return [word for option in table if option.scope == "result"
            and (value := getattr(options, option.name)) not in (None, []) for word in option.words(value)]


def check_outputs(options: argparse.Namespace, table: Iterable[Option]) -> list[str]:
    """The files that are to be made: all can be, and none is there or made twice; before the work, not after it."""
    made: dict[str, Option] = {}
    for option in table if not getattr(options, "dry_run", False) else ():
        value = getattr(options, option.name)
        for path in option.outputs(value, options) if option.outputs and value else ():
            target = atomic.check_creatable(path)
            if os.path.exists(target) and not options.force:
                raise FileExistsError(f"{option.typed}: {path} exists: --force replaces it")
            if os.path.exists(target) and _took_hours(target):
                raise FileExistsError(f"{option.typed}: {path} is a checkpoint, or the results of a sweep, which "
                                      "--force does not replace: move it away, or give another name")
            if target in made:
                raise ValueError(f"{made[target].typed} and {option.typed} must be two files, got {path} for both")
            made[target] = option
    return list(made)


def _took_hours(path: str) -> bool:
    """Whether a file is a checkpoint or the results of a sweep."""
    import bnnsim.files.file_format as file_format
    import bnnsim.files.hdf5 as hdf5

    try:
        with hdf5.open_file(path) as file:
            return file_format.read_kind(file) in ("bnnsim-checkpoint", "bnnsim-results")
    except (ValueError, OSError):                                # anything else, damaged or not
        return False


@contextlib.contextmanager
def claimed_outputs(options: argparse.Namespace, table: Iterable[Option]) -> Iterator[None]:
    """Inside, the files that are to be made are this process's: two that make one file would lose one of them."""
    import bnnsim.files.locks as locks

    with contextlib.ExitStack() as held:
        for target in check_outputs(options, table):
            held.callback(locks.close_and_remove, locks.open_locked(f"{target}.lock"))
        check_outputs(options, table)                            # what the last holder has made is there by now
        yield


def itself(value: str, options: argparse.Namespace) -> list[str]:
    """The outputs of an option whose value is the path of one."""
    return [value]


# ---------------------------------------------------------------- rules

def switch(name: str, value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {value!r}")
    return value


def text(name: str, value: Any) -> str:
    """Some text."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be text, got {value!r}")
    return value


def path(name: str, value: Any) -> str:
    """A path, of whatever there is, which can be printed and stored with results."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a path, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be a path in UTF-8, as it is printed or stored, got {value!a}: rename it"
                         ) from None
    return value


def writable(*endings: str) -> Rule:
    """A path of a file to be written: a known ending, a folder that takes it; found out before the work, not after."""
    def rule(name: str, value: Any) -> str:
        """A path of a file to be written."""
        if not path(name, value).lower().endswith(endings):
            raise ValueError(f"{value!r} must end in {' or '.join(endings)}")
        atomic.check_creatable(value)
        return value
    return rule


def integer(low: int, high: int | None = None) -> Rule:
    """An integer in [low, high]."""
    return lambda name, value: check_int(name, value, low, high)


def positive(high: float | None = None) -> Rule:
    """A number in (0, high]."""
    return lambda name, value: check_real(name, value, 0, high, open_low=True)


def one_of(choices: Iterable[str]) -> Rule:
    """One of these words."""
    return _known(choices, lambda name, value: check_choice(name, value, choices))


def some_of(choices: Iterable[str]) -> Rule:
    """Words of these, separated by commas; a tuple without repeats."""
    return _known(choices, lambda name, value: tuple(check_choice(name, word, choices)
                                                     for word in dict.fromkeys(text(name, value).split(","))))


def _known(choices: Iterable[str], rule: Rule) -> Rule:
    """A rule that has these words as its `choices`, for completion."""
    setattr(rule, "choices", tuple(choices))
    return rule


def rates_text(name: str, value: Any) -> str:
    """Rates as `parse_rates` takes them; from a file also a number, or a list of them."""
    if not isinstance(value, str):
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError(f"{name} must have at least one value, got []")
        value = ",".join(repr(check_probability(f"{name}[{i}]", item)) for i, item in enumerate(values))
    parse_rates(value)
    return value


def lines_text(name: str, value: Any) -> str:
    """Rows and columns of an array, "64x128"."""
    words = text(name, value).lower().split("x")
    if len(words) != 2 or not all(re.fullmatch(r"[0-9]{1,8}", word) and 0 < int(word) <= 2**16 for word in words):
        raise ValueError(f"{name} must be ROWSxCOLUMNS of 1 to 65536 each, such as 64x64, got {value!r}")
    return "x".join(words)


def dataset_text(name: str, value: Any) -> str:
    """A known data set by name, or data of one's own by their path."""
    if is_path(value) and value not in CATALOGUE:
        return path(name, value)
    return check_dataset(name, value)


_known(CATALOGUE, dataset_text)


def size_text(name: str, value: Any) -> str:
    """Rows and columns of images, "32x32"."""
    size_of(text(name, value))
    return value.lower()


def size_of(value: str | None) -> tuple[int, int] | None:
    """The (H, W) of --size."""
    if value is None:
        return None
    words = value.lower().split("x")
    if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 9 for word in words):
        raise ValueError(f"size must be ROWSxCOLUMNS, such as 32x32, got {value!r}")
    return check_size(tuple(map(int, words)))


def limited(half: "Split", options: argparse.Namespace) -> "Split":
    """What --limit leaves of a half; without it, the half itself, under its own name."""
    return half if options.limit is None else half[:options.limit]


def progress(options: argparse.Namespace) -> "bool | Literal['log']":
    """Of --quiet and --log, as `sweep` takes it."""
    return "log" if options.log else not options.quiet


def mapping_of(options: argparse.Namespace) -> "ArrayMapping":
    """The arrays that --arrays and --units-on say, or 64 x 64."""
    from bnnsim.faults.array_mapping import ArrayMapping

    rows, columns = map(int, (options.arrays or "64x64").split("x"))
    return ArrayMapping(rows, columns, options.units_on or "rows")


def fault_text(name: str, value: Any) -> str:
    """A fault as `make_fault` takes it, without line breaks."""
    make_fault(text(name, value))
    return " ".join(value.split())


def make_fault(value: str) -> "Fault":
    """The fault that a text names, such as "StuckAt(0.01, 0.01)"."""
    from bnnsim.faults.spec import parse_fault

    return parse_fault(value)


# ---------------------------------------------------------------- options of several commands

FIGURE = writable(".png", ".svg", ".pdf")
FIGURE_HELP = ".png, .svg or .pdf"

NETWORKS = Option("networks", "files written by PackedNetwork.save (default: the network that comes with the library)",
                  path, [], metavar="NETWORK.h5", flag="", nargs="*", several=True)
NETWORK = Option("network", NETWORKS.help.replace("files", "a file"), path, metavar="NETWORK.h5", flag="", nargs="?")
OWN_DATA = f"{', '.join(CATALOGUE)}, or a path of your own data: {WHAT}"
DATASET = Option("dataset", f"{OWN_DATA} (default: what the network was trained on; fashion-subset for the one that "
                 "comes with the library)", dataset_text, metavar="NAME")
DATA = Option("data", "where the files of a known data set are", path, metavar="FOLDER")
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
