"""Run the commands and the code that README, tour, tutorials and gallery show; put in what they print and draw.

    python docs/make_tour.py                       # all files, in place, and the figures that they show
    python docs/make_tour.py docs/tour.rst         # one of them
    python docs/make_tour.py --check               # writes nothing; exits 1 where a text is not what comes out

A block of commands (or of Python, in a `code-block:: python`) that is followed by

    .. prints

    ::

        anything

is run, and what it prints on standard output replaces that anything. Python blocks of a file, with or without an
output, run one after the other as one program; all of it in an empty folder that has the examples. A figure that a file
shows, `figures/x.png`, is the x.png that was written there. The full Fashion-MNIST must be found (`load_dataset`).
"""

import contextlib
import difflib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FILES = ("README.rst", "docs/tour.rst", "docs/tutorial_devices.rst", "docs/tutorial_networks.rst",
         "docs/tutorial_edge.rst", "docs/gallery.rst")
BLOCK = r"(?:    .*\n|\n(?=\n*    ))+"                                     # indented lines, with empty ones between
CODE = re.compile(rf"(?P<head>\.\. code-block:: python|::)\n\n(?P<code>{BLOCK})"
                  rf"(?P<between>\n\.\. prints\n\n::\n\n)?(?(between)(?P<output>{BLOCK}))")


def unindented(block: str) -> str:
    return "\n".join(line[4:] for line in block.rstrip("\n").split("\n"))


def indented(text: str) -> str:
    return "".join(f"    {line.rstrip()}".rstrip() + "\n" for line in text.strip("\n").split("\n"))


def run_commands(text: str, folder: str) -> str:
    """What commands print on standard output, one after the other; an error, or the small data set, is the end."""
    printed = []
    for line in filter(None, (line.split(" #")[0].strip() for line in text.split("\n"))):
        words = shlex.split(line)
        if words[0] != "python":
            sys.exit(f"only python commands can be run here, got {line!r}")
        print(f"  {line}", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, *words[1:]], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
                              capture_output=True, text=True)
        if done.returncode or "embedded subset of 10,000" in done.stderr:
            sys.exit(f"{line}\n{done.stderr}")
        printed.append(done.stdout)
    return "".join(printed)


def run_python(code: str, names: dict[str, Any]) -> str:
    """What code prints, run in a namespace that it shares with the code before it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "tour", "exec"), names)
    return printed.getvalue()


def filled(text: str, folder: str) -> str:
    """A file's text with new outputs."""
    names: dict[str, Any] = {"__name__": "tour"}

    def replaced(match: re.Match[str]) -> str:
        python, shown = match["head"].endswith("python"), match["between"] is not None
        if not python and not shown:                                      # a command to read, or an output
            return match[0]
        code = unindented(match["code"])
        printed = run_python(code, names) if python else run_commands(code, folder)
        return f"{match['head']}\n\n{match['code']}{match['between']}{indented(printed)}" if shown else match[0]

    with contextlib.chdir(folder):
        return CODE.sub(replaced, text)


def copy_figures(text: str, file: str, folder: Path) -> None:
    """Take the figures that a file shows from the folder where its commands left them."""
    for shown in re.findall(r"^\.\. (?:image|figure):: (\S+\.png)$", text, re.MULTILINE):
        found = sorted(folder.rglob(Path(shown).name))
        if len(found) != 1:
            sys.exit(f"{file} shows {shown}, but its commands left {len(found)} files of that name")
        target = (ROOT / file).parent / shown
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[0], target)


def main(argv: list[str]) -> None:
    check, stale = "--check" in argv, False
    sys.path.insert(0, str(ROOT))
    for file in [name for name in argv if name != "--check"] or FILES:
        print(file, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "examples").symlink_to(ROOT / "examples")
            before = (ROOT / file).read_text(encoding="utf-8")
            after = filled(before, folder)
            if not check:
                copy_figures(after, file, Path(folder))
                (ROOT / file).write_text(after, encoding="utf-8")
            elif after != before:
                stale = True
                shown, printed = (text.splitlines(keepends=True) for text in (before, after))
                sys.stdout.writelines(difflib.unified_diff(shown, printed, file, "now"))
    if stale:
        sys.exit("what is shown is not what comes out: run  python docs/make_tour.py")


if __name__ == "__main__":
    main(sys.argv[1:])
