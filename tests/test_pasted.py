"""Every block of the pages for users can be pasted, in order, in an empty folder with an installed wheel.

Blocks that need a checkout say so in the paragraph before; `test_documented_commands.py` runs those.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documented import PAGES, ROOT, read
from tests.test_documented_commands import finish, free_port, start, visit
from tests.test_wheel import build, pip

WALKED = ("README.md", "README.zh.md", "docs/app.md", "docs/keras_weights.md")
DOWNLOADS = "load_pretrained("
BLOCKS = {name: read(PAGES[name].read_text(encoding="utf-8")) for name in WALKED}


def in_checkout(block: list[str] | str) -> bool:
    return not isinstance(block, str) and any(
        line.startswith(("make", "python -m pip")) or "experiments/" in line for line in block
    )


@pytest.mark.parametrize("name", WALKED)
def test_blocks_that_need_a_checkout_say_so(name):
    page = BLOCKS[name]
    for block, before in zip(page.blocks, page.before, strict=True):
        assert not in_checkout(block) or any(word in before for word in ("checkout", "源码")), block


@pytest.mark.parametrize("name", WALKED)
def test_blocks_can_be_pasted_without_filling_anything_in(name):
    for block in BLOCKS[name].blocks:
        for line in () if isinstance(block, str) else block:
            assert not re.search(r"[A-Z]{3,}|\.\.\.|[<>\[]|path/to", line), line


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What the wheel holds, and the command that it installs; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build(ROOT, tmp_path_factory.mktemp("wheel"))
    pip(sys.executable, "install", "--no-deps", "--target", folder, wheel)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", WALKED)
def test_every_block_runs_in_order_in_an_empty_folder(name, installed, tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", "import jaxnets; print(jaxnets.__file__)"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout).is_relative_to(installed)
    port = free_port()
    for block in BLOCKS[name].blocks:
        if isinstance(block, str):
            if DOWNLOADS not in block:
                (tmp_path / "pasted.py").write_text(block, encoding="utf-8")
                finish(block, start(tmp_path, f"{sys.executable} pasted.py", installed, port=port))
        elif not in_checkout(block):
            for line in block:
                process = start(tmp_path, line, installed, port=port)
                (visit if line.startswith("jaxnets app") else finish)(line, process)
