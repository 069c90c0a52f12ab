"""Small HTML for notebooks: tables with what they are of above them; all texts are escaped, nothing is fetched."""

from collections.abc import Iterable, Sequence
from html import escape

MOST_ROWS = 40
MOST_LETTERS = 120


def table(caption: str, rows: Iterable[Sequence[object]], head: Sequence[object] = (), note: str = "") -> str:
    """A caption, a table of at most `MOST_ROWS` rows with a head where one is given, and a note under it.

    Numbers stand on the right; of long texts the first `MOST_LETTERS` letters are shown.

    Examples
    --------
    >>> table("<b>", [("a & b",)])
    '<div><b>&lt;b&gt;</b><table><tr><td style="text-align:left">a &amp; b</td></tr></table></div>'
    """
    all_rows = list(rows)
    lines = [_row(head, "th")] * bool(head) + [_row(row, "td") for row in all_rows[:MOST_ROWS]]
    more = [f"and {len(all_rows) - MOST_ROWS:,} more rows"] * (len(all_rows) > MOST_ROWS)
    notes = "".join(f"<div>{_text(line)}</div>" for line in (*more, *filter(None, note.split("\n"))))
    return f"<div><b>{_text(caption)}</b><table>{''.join(lines)}</table>{notes}</div>"


def text(caption: str, lines: str) -> str:
    """A caption, and text as it is printed."""
    return f"<div><b>{_text(caption)}</b><pre>{escape(lines)}</pre></div>"


class Tabled:
    """What has a table, a text: a notebook shows it as a prompt's ``print(result.table())`` does."""

    def table(self) -> str:
        """Its text."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return text(type(self).__name__, self.table())


def _row(values: Sequence[object], tag: str) -> str:
    cells = "".join(f'<{tag} style="text-align:{"left" if isinstance(value, str) else "right"}">'
                    f"{_text(_shown(value))}</{tag}>" for value in values)
    return f"<tr>{cells}</tr>"


def _shown(value: object) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else \
        f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(value: str) -> str:
    return escape(value if len(value) <= MOST_LETTERS else value[:MOST_LETTERS - 1] + "\N{HORIZONTAL ELLIPSIS}")
