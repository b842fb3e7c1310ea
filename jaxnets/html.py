"""Tables that a notebook shows in place of an object's text."""

from collections.abc import Iterable, Sequence
from html import escape


def table(title: str, rows: Iterable[Sequence[object]], header: Sequence[object] = ()) -> str:
    """Returns an HTML table; whatever stands in it is text, never markup.

    Args:
        title: Its caption.
        rows: The cells of every row; numbers are aligned to the right and get commas.
        header: Names of the columns. By default none, and the first cell of every row names the row.

    Examples:
        >>> table("a <b>", [["loss", 0.5]])
        '<table><caption>a &lt;b&gt;</caption><tr><th>loss</th><td>0.5</td></tr></table>'
    """
    head = "".join(f"<th>{escape(str(name))}</th>" for name in header)
    lines = [f"<tr>{head}</tr>"] if header else []
    for first, *others in rows:
        start = _cell(first) if header else f"<th>{escape(str(first))}</th>"
        lines.append(f"<tr>{start}{''.join(map(_cell, others))}</tr>")
    return f"<table><caption>{escape(title)}</caption>{''.join(lines)}</table>"


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="text-align: right">{value:,}</td>'
    return f"<td>{escape(str(value))}</td>"
