"""The process and the machine that a training runs on: what is set, and which processes take part."""

from jaxnets.machine.description import gpus, hardware
from jaxnets.machine.distributed import is_writer, join, make_mesh
from jaxnets.machine.process import memory_options, set_up

__all__ = ["gpus", "hardware", "is_writer", "join", "make_mesh", "memory_options", "set_up"]
