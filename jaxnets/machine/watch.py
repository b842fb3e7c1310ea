"""The processes of a run learn at once when one of them ends.

JAX alone can leave the others of a process that failed waiting for minutes. On the connections that are left
from their meeting, a process says that it is done or has failed; where one closes without a word, its process
was killed.
"""

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Mapping
from typing import NoReturn

from jaxnets.errors import UserError
from jaxnets.machine.meeting import Peer

GRACE = 4  # seconds for the others of a process that failed to fail with messages of their own
WHY = {
    "failed": "has stopped: see its message",
    "gone": "was killed, or its machine is lost: give all of them the same command again to continue",
}


class Watch:
    """Ends this process with a sentence when another of the run ends too early, and tells of its own end.

    Args:
        index: Index of this process.
        peers: Its connections; process 0 passes on what it hears.
    """

    def __init__(self, index: int, peers: Mapping[int, Peer]):
        self._index, self._peers = index, peers
        self._error: BaseException | None = None  # that ends this process
        self._failing, self._told = threading.Event(), False
        self._ends = threading.Condition()
        self._ended: dict[int, str] = {}  # the others: done, failed or gone
        self._stopped = set[int]()  # those that wait for all to stop
        self._all_stopped = threading.Event()
        for number in peers:
            threading.Thread(target=self._follow, args=(number,), name="watch", daemon=True).start()

    def fail(self, error: BaseException) -> None:
        """Tells the others that this process ends with an error, and sees to it that it does end.

        An error that is not the user's may come from the end of another process, which then has the word.
        """
        if isinstance(error, Exception) and not isinstance(error, UserError):
            self._failing.wait(2 * GRACE)
        if self._error is None:
            self._error = error
            self._failing.set()
            self._say_all("failed")
            threading.Thread(target=self._end, name="watch", daemon=True).start()

    def stop(self, error: BaseException) -> None:
        """Returns if all processes stop at this moment, as they agreed; else this one alone fails.

        It is for an error within a training, which may be the caller's to handle in all of them.
        """
        self._all_stopped.clear()
        if self._index:
            self._say_all("stopped")
        else:
            self._note_stopped(0)
        if not self._all_stopped.wait(GRACE):
            self.fail(error)

    def leave(self) -> None:
        """Ends the part of this process: returns if all end alike, and JAX can shut down with all of them.

        Process 0 goes last, since JAX aborts the others when its service goes.
        """
        self._told = True
        if self._error is None:
            self._say_all("done")
            return
        with self._ends:
            self._ends.wait_for(self._all_ended, 2 * GRACE if self._index == 0 else GRACE / 2)
            alike = all(self._ended.get(number) == "failed" for number in self._peers)
        if not alike:
            self._exit("")

    def _all_ended(self) -> bool:
        return self._ended.keys() >= self._peers.keys()

    def _say_all(self, how: str) -> None:
        for peer in self._peers.values():
            peer.say(how, self._index)

    def _end(self) -> None:
        """Ends this process if it waits for others on its way out: they have ended without it by then."""
        time.sleep(3 * GRACE)
        error = self._error
        said = (
            f"error: {error}\n"
            if isinstance(error, UserError)
            else "".join(traceback.format_exception(error))
        )
        self._exit("" if self._told else said)

    def _follow(self, number: int) -> None:
        peer = self._peers[number]
        while words := peer.hear():
            how, who = words
            if how == "stopped":
                self._note_stopped(int(who))
                continue
            self._note(int(who), how)
            if how != "done":
                self._lost(how, who, number)
        if number not in self._ended:
            self._note(number, "gone")
            self._lost("gone", str(number), number)
        self._note(number, "gone")

    def _note_stopped(self, who: int) -> None:
        """Notes that a process has stopped; process 0 says it for itself when all the others have, too."""
        with self._ends:
            self._stopped.add(who)
            if self._stopped < {0, *self._peers} if self._index == 0 else who:
                return
            self._stopped.clear()
        if self._index == 0:
            self._say_all("stopped")
        self._all_stopped.set()

    def _note(self, who: int, how: str) -> None:
        with self._ends:
            self._ended[who] = how
            self._ends.notify_all()

    def _lost(self, how: str, who: str, heard_from: int) -> None:
        for number, peer in self._peers.items():
            if number != heard_from:
                peer.say(how, who)
        grace = GRACE + (self._index == 0)
        if not self._failing.wait(grace if how == "failed" else 0):  # else it has a message of its own
            self._exit(f"error: process {who} {WHY[how]}\n")

    def _exit(self, said: str) -> NoReturn:
        """Ends the process at once, even while it waits in code that no exception can leave."""
        with contextlib.suppress(OSError):
            os.write(2, said.encode(errors="backslashreplace"))
        os._exit(2 if self._error is None or isinstance(self._error, UserError) else 1)
