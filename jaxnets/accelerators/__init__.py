"""Programs for GPUs and TPUs that are not there: compiled, read and planned for before one is rented."""

from jaxnets.accelerators.chips import CHIPS, Chip, count_chips
from jaxnets.accelerators.planning import Plan, largest_batch, plan
from jaxnets.accelerators.reading import Reading, read_program

__all__ = ["CHIPS", "Chip", "Plan", "Reading", "count_chips", "largest_batch", "plan", "read_program"]
