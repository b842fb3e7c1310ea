"""Stopping a run from outside: it finishes the step, saves, and says how to continue."""

import itertools
import os
import signal
import sys
import threading
from contextlib import AbstractContextManager
from typing import Any

import jax
from jax.experimental.multihost_utils import reached_preemption_sync_point

from jaxnets.machine.distributed import any_process

_CALLS = itertools.count(1)  # of `due` in this process, the same in all of a run


class Interrupts(AbstractContextManager):
    """Context manager within which Ctrl-C and SIGTERM only request a stop; a second one stops at once.

    In a session, such as a notebook's, a second Ctrl-C does what it does there, and the session lives on.
    `asked` is the first signal, None until it comes. It does nothing outside the main thread, where Python
    allows no signal handlers.

    Args:
        sigterm: Whether to handle SIGTERM as well as Ctrl-C.
    """

    def __init__(self, sigterm: bool = True) -> None:
        self._alone = jax.process_count() == 1
        # With several processes, JAX itself catches SIGTERM, tells the others and agrees with them on a step.
        self._signals = [signal.SIGINT, *([signal.SIGTERM] if sigterm and self._alone else [])]
        if threading.current_thread() is not threading.main_thread():
            self._signals = []
        self.asked: signal.Signals | None = None
        self._agreed = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        """Installs its signal handlers."""
        self._before = {number: signal.signal(number, self._ask) for number in self._signals}
        return self

    def __exit__(self, *_: Any) -> None:
        """Restores the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: Any) -> None:
        self.asked = signal.Signals(number)
        for again, before in self._before.items():  # the system's own needs no turn of the interpreter
            signal.signal(again, before if hasattr(sys, "ps1") else signal.SIG_DFL)
        if not self._alone:
            os.kill(os.getpid(), signal.SIGTERM)  # what JAX listens to

    def due(self) -> bool:
        """Returns whether to stop now: at the same call in all processes, whichever got the signal."""
        if self._alone:
            return self.asked is not None
        # JAX has all stop at the number after the greatest that one of them has reached. Calls are counted,
        # not steps: several of those may be one program, and an evaluation has none.
        if not self._agreed and reached_preemption_sync_point(next(_CALLS)):
            self.asked = signal.SIGINT if any_process(self.asked is not None) else signal.SIGTERM
            self._agreed = True
        return self._agreed

    @property
    def exit_code(self) -> int:
        """Returns the exit code of the process: 0 after SIGTERM, 130 after Ctrl-C."""
        return 0 if self.asked == signal.SIGTERM else 130
