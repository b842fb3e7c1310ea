"""Devices for the tests that need several: CPUs have eight here (`conftest.py`), GPUs may have one."""

import jax
import pytest


def take_devices(count):
    """Returns the first `count` devices; the test is skipped where there are fewer."""
    if jax.device_count() < count:
        pytest.skip(f"it takes {count} devices, and there are {jax.device_count()}")
    return jax.devices()[:count]
