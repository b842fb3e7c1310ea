"""The process and the machine that a training runs on: what is set, and which processes take part."""

from jaxnets.machine.distributed import is_writer, join, make_mesh
from jaxnets.machine.process import memory_options, set_up

__all__ = ["is_writer", "join", "make_mesh", "memory_options", "set_up"]
