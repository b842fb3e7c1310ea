"""Keras's own tests, with our parts in the place of Keras's: none fails that is not known to, and why."""

import re

import pytest

from tests.keras_suite.run import GROUPS, PROJECT, counts, files, package, run, unexpected

FOLDER = package()


@pytest.mark.slow
@pytest.mark.skipif(
    FOLDER is None, reason="the installed keras has no tests: python -m tests.keras_suite --download"
)
@pytest.mark.parametrize("group", GROUPS)
def test_keras_tests_of_our_parts_pass_or_are_refused_by_name(group):
    records = run(FOLDER, files(FOLDER, GROUPS[group]))
    assert not unexpected(records)
    page = (PROJECT / "docs" / "keras_differences.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {group} \| \d+ \| (\d+) \|", page, re.MULTILINE)
    assert row is not None
    # other releases of Keras have other tests: no tenth of them may be lost
    assert counts(records)["equal"] >= 0.9 * int(row[1])
