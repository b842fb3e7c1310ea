"""Broken files by the thousand, read in a process that is watched for time and memory."""

import faulthandler
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxnets.errors import UserError

SECONDS = 10  # for a file
MEMORY = 1 << 20  # kB, above what the process took before
ROOT = Path(__file__).parent.parent


def mutated(content: bytes, seed: int, moving: bool = True) -> bytes:
    """Returns the content changed at one to four places; if `moving`, parts are also put in or left out."""
    rng = np.random.default_rng(seed)
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at, length = int(rng.integers(len(data) or 1)), int(rng.integers(1, 40))
        match rng.integers(8 if moving else 5):
            case 0 | 1:
                data[at : at + 1] = bytes([data[at] ^ 1 << rng.integers(8)]) if data else b"x"
            case 2:
                data[at : at + length] = rng.bytes(len(data[at : at + length]))
            case 3:
                data[at : at + length] = bytes(len(data[at : at + length]))
            case 4:
                data[at : at + 8] = b"\xff" * len(data[at : at + 8])
            case 5:
                del data[at:]
            case 6:
                del data[at : at + length]
            case 7:
                other = int(rng.integers(len(data) or 1))
                data[at:at] = data[other : other + length]
    return bytes(data)


def try_all(check: Callable[[Path, int], bool], first: int, last: int) -> None:
    """Calls `check(folder, seed)` for every seed; prints how many files were read, and how many refused.

    A UserError of one line refuses a file. Anything else ends the process, and so does more time or memory.
    """
    counts = [0, 0]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(first, last):
        with tempfile.TemporaryDirectory() as folder:
            print(seed, flush=True)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                counts[check(Path(folder), seed)] += 1
            except UserError as error:
                counts[0] += 1
                if "\n" in str(error):
                    raise AssertionError(f"more than a line: {error}") from error
            faulthandler.cancel_dump_traceback_later()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < MEMORY, f"seed {seed} took {grown} kB"
    print(f"refused {counts[0]}, read {counts[1]}")


def watch(code: str, first: int, last: int) -> str:
    """Runs a check (code that defines `check`) for these seeds in another process; returns its last line."""
    program = f"{code}\nfrom tests.mutations import try_all\ntry_all(check, {first}, {last})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)},
    )
    printed = done.stdout.splitlines() or [""]
    assert done.returncode == 0, f"seed {printed[-1]}: {done.returncode}\n{done.stderr[-3000:]}"
    return printed[-1]
