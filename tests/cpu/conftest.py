"""What the tests of formulations share."""

import pytest

from tests.cpu.plain import RNG

START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    """Every test draws the numbers that it would draw alone."""
    RNG.bit_generator.state = START
