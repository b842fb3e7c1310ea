"""What README.md and docs/ show to be typed: shell commands and Python."""

import ast
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOUND = (ROOT / "README.md", ROOT / "README.zh.md", *sorted(ROOT.glob("docs/**/*.md")))
# Pages of the API are made of docstrings.
PAGES = {page.relative_to(ROOT).as_posix(): page for page in FOUND if page.parent.name != "api"}
SHELLS = ("bash", "sh", "shell", "console")
# In a sentence, a table or what a program prints: a program's name and something for it to do.
COMMAND = re.compile(r"(?:\S*/)?(?:python[\d.]*|pip|make|srun|git|jaxnets|tensorboard) +\S.*")
SPAN = re.compile(r"`([^`]+)`")
OPTIONAL = re.compile(r" \[(-[^]]+)\]")
BLOCKS = re.compile(
    r"^ {0,3}```(?P<language>\w*)[^\n]*\n(?P<fenced>.*?)^ *```"
    r"|(?P<indented>^ {4}[^\n]*\n(?:\n*^ {4}[^\n]*\n)*)"
    r"|(?P<text>^[^\n]*\n)",
    re.DOTALL | re.MULTILINE,
)


@dataclass
class Page:
    """What a page shows, from top to bottom.

    Attributes:
        commands: the lines to type, without their comments.
        python: the blocks of Python.
        blocks: what stands in blocks of its own, in order: a list of commands, or Python.
        before: the paragraph before each of them.
    """

    commands: list[str] = field(default_factory=list)
    python: list[str] = field(default_factory=list)
    blocks: list[list[str] | str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)


def read(text: str) -> Page:
    """Takes a page apart: blocks between fences, indented ones, and spans of code in everything else."""
    page, paragraph, ended = Page(), "", False
    for block in BLOCKS.finditer(text.rstrip("\n") + "\n"):
        language, fenced, indented = block["language"], block["fenced"], block["indented"]
        if language == "python" or (indented and is_python(textwrap.dedent(indented))):
            page.python.append(textwrap.dedent(fenced or indented))
            page.blocks.append(page.python[-1])
        elif indented or language in SHELLS:
            page.blocks.append(lines_of(fenced or indented))
            page.commands += page.blocks[-1]
        elif fenced:
            page.commands += [line for line in lines_of(fenced) if COMMAND.fullmatch(line)]
        else:
            line = (block["text"] or "").strip()
            paragraph = paragraph if not line else line if ended else f"{paragraph} {line}"
            ended = not line
            page.commands += [span for span in SPAN.findall(block["text"] or "") if COMMAND.fullmatch(span)]
        if len(page.before) < len(page.blocks):
            page.before.append(paragraph)
    return page


def lines_of(block: str) -> list[str]:
    """The lines of a shell's block without prompts, comments and the ends of lines that go on."""
    lines = block.replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s+)#\s.*", "", line).strip().removeprefix("$ ") for line in lines]
    return [line for line in bare if line]


def is_python(block: str) -> bool:
    try:
        ast.parse(block)
    except SyntaxError:
        return False
    return True


def variants(command: str) -> list[str]:
    """The command without what stands in brackets, [--json], and with all of it."""
    return list(dict.fromkeys((OPTIONAL.sub("", command), OPTIONAL.sub(r" \1", command))))
