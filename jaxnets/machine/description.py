"""A description of this machine in words."""

import os
import platform
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import jax


def hardware() -> str:
    """Returns the GPU, if there is one, the processor, and how many of its cores this process may use."""
    return ", ".join([*gpus(), processor()])


def devices() -> str:
    """Returns what JAX computes on: its accelerators, "2 x NVIDIA H100 80GB HBM3", or else the processor."""
    found = jax.devices()
    if found[0].platform == "cpu":
        return processor()
    return ", ".join(f"{count} x {kind}" for kind, count in Counter(one.device_kind for one in found).items())


def processor() -> str:
    """Returns the processor's name, and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.processor()}, {cores} {'core' if cores == 1 else 'cores'}"


def gpus() -> list[str]:
    """Returns the names of this machine's NVIDIA GPUs."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
