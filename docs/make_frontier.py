"""Write the table of docs/frontier.rst from what its examples measured and left in docs/frontier/*.json.

    python docs/make_frontier.py               # in place
    python docs/make_frontier.py --check       # writes nothing; exits 1 where the page is not what would be written

An example writes one file: its item, what the literature says, the source, what was measured, and the command. Nothing
of the table is typed by hand.
"""

import json
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE, FOLDER = HERE / "frontier.rst", HERE / "frontier"
BEGIN, END = ".. the table begins: docs/make_frontier.py writes it\n", ".. the table ends\n"
FIELDS = {"item": "", "literature": "the literature says", "measured": "bnnsim measures", "source": "source",
          "command": "made by"}


def rows() -> list[dict[str, str]]:
    """What examples left, by name of the file."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        missing = [name for name in FIELDS if not isinstance(row.get(name), str) or not row[name].strip()]
        if missing:
            sys.exit(f"{path} must have {', '.join(FIELDS)} as texts: {', '.join(missing)} is missing")
        found.append({**{name: row[name] for name in FIELDS}, "page": f"frontier/{path.stem}"})
    return found


def cell(name: str, row: dict[str, str]) -> str:
    text = " ".join(row[name].split())
    if name == "item":
        return f":doc:`{text} <{row['page']}>`"
    return f"``{text}``" if name == "command" else text.replace("*", r"\*").replace("|", r"\|")


def table() -> str:
    """A list table, a row an item."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 12 28 38 12 20", ""]
    for entries in (list(FIELDS.values()), *([cell(name, row) for name in FIELDS] for row in rows())):
        for i, entry in enumerate(entries):
            first, rest = ("   * - ", "       ") if i == 0 else ("     - ", "       ")
            lines += textwrap.wrap(entry, 118, initial_indent=first, subsequent_indent=rest, break_long_words=False,
                                   break_on_hyphens=False) or [first.rstrip()]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its table made anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    made = page(text)
    if "--check" in sys.argv[1:]:
        sys.exit(int(made != text))
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
