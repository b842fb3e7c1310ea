"""The long description in a package's metadata: README.md with links that work outside the repository."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s]+)\)")


def portable(text: str, root: Path, source: str | None) -> str:
    """Markdown whose links to files of the repository lead to `source`, or become plain text without it.

    Args:
        text: the Markdown.
        root: of the repository; what looks like a link and leads to no file below it stays as it is, and so
            do links within the page.
        source: the repository's address, below which pages are at /blob/HEAD/ and pictures at /raw/HEAD/, as
            GitHub has them.
    """

    def rewrite(link: re.Match[str]) -> str:
        picture, name, path = link["picture"], link["text"], link["path"]
        if path.startswith("#") or not (root / path).exists():
            return link[0]
        if source:
            kind = "raw" if picture else "blob"
            return f"{picture}[{name}]({source.rstrip('/')}/{kind}/HEAD/{path})"
        return f"*Picture: {name}*" if picture else name

    return LINK.sub(rewrite, text)


class Readme(MetadataHookInterface):
    """Fills in `readme`, which pyproject.toml declares dynamic, from README.md and the URL named Source."""

    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        text = portable((root / "README.md").read_text("utf-8"), root, metadata.get("urls", {}).get("Source"))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
