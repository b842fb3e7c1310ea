"""Runs all of Keras's tests that concern us, and writes the table of docs/keras_differences.md."""

import re
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from jaxnets.cli import commandline
from jaxnets.errors import UserError
from tests.keras_suite.run import GROUPS, KNOWN, PROJECT, counts, downloaded, files, package, run, unexpected

PAGE = PROJECT / "docs" / "keras_differences.md"
MARKS = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def main(*, download: bool = False) -> None:
    """Write the table; it is an error if a test fails that is not known to.

    Args:
        download: Take the tests from the package index, if Keras is installed without them.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = package() or (downloaded(Path(work)) if download else None)
        if folder is None:
            raise UserError("the installed keras comes without its tests: try --download")
        records = {name: run(folder, files(folder, patterns)) for name, patterns in GROUPS.items()}
    PAGE.write_text(MARKS.sub(lambda _: table(records), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    if failed := unexpected(record for group in records.values() for record in group):
        raise SystemExit("\n".join(failed))


def table(records: dict[str, list[dict[str, str]]]) -> str:
    """Returns the table, the failures and what is asked for most often and missing, as Markdown."""
    lines = [
        f"Keras {version('keras')}:",
        "",
        "| tests of | that concern us | equal | unsupported | failed |",
        "|---|---|---|---|---|",
    ]
    total: Counter[str] = Counter()
    for name, group in records.items():
        found = counts(group)
        total.update(found)
        lines.append(_row(name, found))
    lines += [_row("all", total), "", "What fails, and why:", ""]
    names = sorted(r["test"] for group in records.values() for r in group if r["outcome"] == "failed")
    for test in names:
        reason = next((reason for name, reason in KNOWN.items() if test.endswith(name)), "not yet known")
        lines.append(f"- `{test.rpartition('/')[2]}`: {reason}")
    missing = Counter(
        _missing(r["why"]) for group in records.values() for r in group if r["outcome"] == "unsupported"
    )
    often = ", ".join(f"{what} ({count})" for what, count in missing.most_common(20))
    return "\n".join([*lines, "", f"What is asked for most often and missing: {often}.", ""])


def _row(name: str, found: dict[str, int]) -> str:
    cells = (found["equal"], found["unsupported"], found["failed"])
    return f"| {name} | {sum(cells)} | {cells[0]} | {cells[1]} | {cells[2]} |"


def _missing(why: str) -> str:
    what, equals, _ = why.removeprefix("jaxnets has no ").partition("\n")[0].partition("=")
    return f"`{what}=...)`" if equals else f"`{what.partition(':')[0]}`"


if __name__ == "__main__":
    commandline.run(main)
