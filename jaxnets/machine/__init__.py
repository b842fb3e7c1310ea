"""The process and the machine of a training: its settings, its devices and the processes that take part."""

from jaxnets.machine.description import devices, gpus, hardware
from jaxnets.machine.distributed import is_writer, join, make_mesh
from jaxnets.machine.process import memory_options, set_up, set_up_compilers

__all__ = [
    "devices",
    "gpus",
    "hardware",
    "is_writer",
    "join",
    "make_mesh",
    "memory_options",
    "set_up",
    "set_up_compilers",
]
