"""Write the table of docs/frontier.rst from what its examples measured and left in docs/frontier/*.json.

    python docs/make_frontier.py               # in place
    python docs/make_frontier.py --check       # writes nothing; exits 1 where the page is not what would be written

An example writes one file: its item, what the literature says, the source, what was measured, and the command. Nothing
of the table is typed by hand.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE, FOLDER = HERE / "frontier.rst", HERE / "frontier"
BEGIN, END = ".. the table begins: docs/make_frontier.py writes it\n", ".. the table ends\n"
FIELDS = ("item", "literature", "measured", "source", "command")


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


def plain(text: str) -> str:
    return " ".join(text.split()).replace("*", r"\*").replace("|", r"\|")


def split(text: str) -> list[str]:
    """What semicolons separate, but for those inside of brackets."""
    parts, depth = [""], 0
    for word in re.split("(; |[()])", text):
        depth += (word == "(") - (word == ")")
        if word == "; " and depth == 0:
            parts.append("")
        else:
            parts[-1] += word
    return parts


def cells(row: dict[str, str]) -> list[list[str]]:
    """The paragraphs of a row's three cells: its item and source; the literature; what was measured, and by what."""
    measured = split(plain(row["measured"]))
    return [[f":doc:`{plain(row['item'])} <{row['page']}>`", plain(row["source"])], [plain(row["literature"])],
            [f"- {part}" for part in measured] + [f"``{' '.join(row['command'].split())}``"]]


def table() -> str:
    """A list table, a row an item."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 16 28 56", ""]
    for row in ([[""], ["the literature says"], ["bnnsim measures"]], *map(cells, rows())):
        for i, paragraphs in enumerate(row):
            for j, text in enumerate(paragraphs):
                first = "       " if j else "     - " if i else "   * - "
                rest = "         " if text.startswith("- ") else "       "
                between = [""] * (j > 0 and not text.startswith("- "))
                lines += between + (textwrap.wrap(text, 118, initial_indent=first, subsequent_indent=rest,
                                                  break_long_words=False, break_on_hyphens=False)
                                    or [first.rstrip()])
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
