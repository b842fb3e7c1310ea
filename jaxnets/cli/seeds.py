"""Several trainings that differ in nothing but their seed, and how far their results are apart."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxnets.errors import UserError

History = list[dict[str, Any]]
PARTS = {"held out": "val_", "test": "test_"}


def train_all(
    seeds: Sequence[int],
    seed: int,
    workdir: Path | None,
    best: str | None,
    train: Callable[[int, Path | None], History],
    say: Callable[[str], Any],
) -> History:
    """Trains once for each seed, each in a folder of its own, and prints mean and spread.

    Args:
        seeds: The seeds.
        seed: The one of a single training, which is 0 unless it was asked for.
        workdir: Folder for the folders seed0, seed1, ... By default each seed has its own default folder.
        best: The measure whose best epoch counts; with None the last counts.
        train: Trains with a seed in a folder, and returns the records.
        say: Prints a line.

    Returns:
        The records of all, each with its seed.

    Raises:
        UserError: If a seed is given twice, --seed as well, or the folder is that of a run.
    """
    if seed:
        raise UserError(f"--seed {seed} --seeds: leave one of them out")
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise UserError(f"--seeds: {twice[0]} is given twice")
    if workdir is not None and (workdir / "config.json").exists():
        raise UserError(f"{workdir} holds a run itself: give --seeds another --workdir")
    from jaxnets.train import improvements  # imports jax, which takes a while: not for --help

    records: History = []
    results = []
    for one in seeds:
        say(f"seed {one}:")
        history = train(one, None if workdir is None else workdir / f"seed{one}")
        results.append(history[improvements(history, best)[-1] if best else -1])
        records += [{**record, "seed": one} for record in history]
    done = dict.fromkeys(str(result["epoch"]) for result in results)
    say(f"seeds {', '.join(map(str, seeds))} after {' or '.join(done)} epochs:")
    say("  mean +- standard deviation (lowest to highest)")
    for part, prefix in PARTS.items():
        for name in ("loss", "accuracy"):
            if values := [result[prefix + name] for result in results if prefix + name in result]:
                say(f"  {part}: {name} {spread(values)}")
    return records


def spread(values: Sequence[float]) -> str:
    """Returns mean, standard deviation (of the sample, with n - 1) and range in words.

    Examples:
        >>> spread([1.0, 2.0, 3.0])
        '2.0000 +- 1.0000 (1.0000 to 3.0000)'
    """
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.4f} +- {deviation:.4f} ({min(values):.4f} to {max(values):.4f})"
