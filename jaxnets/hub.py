"""Trained networks on the Hugging Face Hub: weights as safetensors, settings, and a card with measurements.

Needs the extra `hub`. Nothing that is loaded can run: the weights are arrays, and the network is one of
`jaxnets.models`, by its name.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jaxnets import hints
from jaxnets.errors import UserError, reason
from jaxnets.export import export_safetensors
from jaxnets.files import complete
from jaxnets.runs import WEIGHTS, Run, load_exported, load_run
from jaxnets.train.io.workdir import METRICS, write_metrics

# Settings that tell of a machine and its user rather than of the network.
PRIVATE = ("data_dir", "start", "command", "device", "continued")
PICTURES = ("curves.png", "confusion.png")  # the others show examples, which may be nobody else's business
SPEED = ("seconds", "examples_per_second")  # of the machine, not of the network
READ = ["config.json", WEIGHTS, METRICS]


def push_to_hub(
    workdir: Path | str, repo: str, *, private: bool | None = None, token: str | None = None
) -> str:
    """Uploads a finished run to the Hub as `save_for_hub` writes it, and returns the repository's address.

    Args:
        workdir: The run's folder.
        repo: Name of the repository, "USER/NAME"; it is created if there is none.
        private: Whether a new repository is private. By default as the Hub has it: public.
        token: The Hub's access token. By default that of `hf auth login`.

    Raises:
        UserError: If the folder holds no trained network, huggingface_hub is missing, or the Hub refuses.
    """
    hub = _huggingface_hub()
    with TemporaryDirectory() as folder:
        run = save_for_hub(workdir, folder, repo)
        with _asking(repo):
            api = hub.HfApi(token=token)
            api.create_repo(repo, private=private, exist_ok=True)
            message = f"{run.config['model']} trained with jaxnets"
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    return f"https://huggingface.co/{repo}"


def load_from_hub(repo: str, *, revision: str | None = None, token: str | None = None) -> Run:
    """Returns a run from the Hub, downloaded once: `run.model`, `run.variables`, `run.probabilities(x)`.

    Args:
        repo: Name of the repository, "USER/NAME".
        revision: A branch, tag or commit. By default the newest.
        token: The Hub's access token, if the repository is private. By default that of `hf auth login`.

    Raises:
        UserError: If there is no such run, huggingface_hub is not installed, or the Hub cannot be reached.
    """
    hub = _huggingface_hub()
    with _asking(repo):
        folder = hub.snapshot_download(repo, revision=revision, token=token, allow_patterns=READ)
    return load_exported(folder)


def save_for_hub(workdir: Path | str, folder: Path | str, repo: str = "USER/NAME") -> Run:
    """Writes what the Hub gets of a run into a folder, which `load_run` reads too, and returns the run.

    That is the weights that were evaluated best (or last), config.json without what tells of this machine,
    the records, curves and confusion matrix if they were drawn, and a card; no checkpoints and no examples.

    Args:
        workdir: The run's folder.
        folder: The folder to write into; made if it is missing.
        repo: Name that the repository will have, for the card.

    Raises:
        UserError: If the folder holds no trained network, or cannot be written.
    """
    run, folder = load_run(workdir), Path(folder)
    export_safetensors(folder / WEIGHTS, run.model, run.variables, run.features.shape)
    config = {key: value for key, value in run.config.items() if key not in PRIVATE}
    drawn = [name for name in PICTURES if (Path(workdir) / name).is_file()]
    for name, text in (("config.json", json.dumps(config, indent=2)), ("README.md", card(run, repo, drawn))):
        with complete(folder / name) as part:
            part.write_text(text + "\n", encoding="utf-8")
    write_metrics(folder / METRICS, run.history, known=False)
    for name in drawn:
        with complete(folder / name) as part:
            shutil.copyfile(Path(workdir) / name, part)
    return run


def card(run: Run, repo: str, pictures: Any = ()) -> str:
    """Returns the text of a model card: what the network is, what was measured, and how to load it."""
    network, dataset = run.config["model"], run.config["dataset"] or "unknown"
    is_images = len(run.features.shape) == 3 and bool(run.features.classes)
    task = "image-classification" if is_images else "other"
    measured = dict(run.history[-1]) if run.history else {}
    figures = {key: value for key, value in measured.items() if key.startswith("val_")}
    results = {
        "task": {"type": task},
        "dataset": {"type": dataset, "name": dataset},
        "metrics": [{"type": key.removeprefix("val_"), "value": value} for key, value in figures.items()],
    }
    about: dict[str, Any] = {
        "library_name": "jaxnets",
        "tags": ["jax", "flax", network],
        "pipeline_tag": task,
    }
    if figures:
        about["model-index"] = [{"name": network, "results": [results]}]
    kinds = f" of {len(run.features.classes):,} classes" if run.features.classes else ""
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in about.items()),  # JSON is YAML
        "---",
        "",
        f"# {network} on {dataset}",
        "",
        f"The network `{network}` of jaxnets, trained on `{dataset}`: examples {run.features.shape} "
        f"({run.features.dtype}){kinds}.",
        "",
        "```python",
        "from jaxnets.hub import load_from_hub",
        "",
        f"run = load_from_hub({json.dumps(repo)})",
        "run.probabilities(x)  # examples as they are stored: images as bytes",
        "```",
    ]
    if measured:
        lines += ["", "| measured | value |", "|---|---|"]
        lines += [f"| {key} | {value:.6g} |" for key, value in measured.items() if key not in SPEED]
    return "\n".join([*lines, *(f"\n![]({name})" for name in pictures)])


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(f"the Hub needs huggingface_hub: {hints.install('hub')}") from error
    return huggingface_hub


@contextmanager
def _asking(repo: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # its client's, or one of those of the HTTP library that this happens to use
        raise UserError(
            f"the Hub did not do what was asked of {repo!r} ({reason(error)}): check the name, the "
            "connection and the token (hf auth login)"
        ) from error
