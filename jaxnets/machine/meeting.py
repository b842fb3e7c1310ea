"""The processes of a run meet before JAX connects them: each then has connections to the others.

JAX alone aborts a process that waits for others in vain with a native stack trace. So process 0 listens at
the run's address until all have come; only then does JAX's own service take that port over.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import NoReturn

PATIENCE = 45  # seconds for all to come: whatever is wrong is said within a minute
ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # a lost machine is noticed in 30 seconds


class Peer:
    """Another process: lines of words over a connection."""

    def __init__(self, connection: socket.socket):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in ALIVE.items():
            if option := getattr(socket, name, None):
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
        self.connection = connection
        self._lines = connection.makefile("r", encoding="utf-8", errors="replace")

    def say(self, *words: object) -> None:
        with contextlib.suppress(OSError):  # it has ended, which whoever listens to it notices
            self.connection.sendall(f"{' '.join(map(str, words))}\n".encode())

    def hear(self, seconds: float | None = None) -> list[str]:
        """Returns the words of the next line; none if the connection is closed, or nothing comes in time."""
        try:
            self.connection.settimeout(seconds)
            return self._lines.readline(1000).split()
        except OSError:
            return []

    def close(self) -> None:
        self._lines.close()
        self.connection.close()

    def has_ended(self) -> bool:
        """Returns whether the connection is closed."""
        try:
            self.connection.setblocking(False)
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True


def meet(host: str, port: int, count: int, index: int) -> dict[int, Peer]:
    """Returns connections to the others of a run, once all have come: process 0's to all, theirs to it.

    Raises:
        ValueError: If not all come in time, or they do not belong together; in every process that has come.
    """
    return _gather(host, port, count) if index == 0 else {0: _attend(host, port, count, index)}


def _gather(host: str, port: int, count: int) -> dict[int, Peer]:
    deadline, peers = time.monotonic() + PATIENCE, dict[int, Peer]()

    def is_here(index: int) -> bool:
        return index in peers and not peers[index].has_ended()  # one that was stopped may come again

    with _listen(port) as listener:
        while missing := [index for index in range(1, count) if not is_here(index)]:
            try:
                listener.settimeout(max(0.01, deadline - time.monotonic()))
                peer = Peer(listener.accept()[0])
            except TimeoutError:
                some = ", ".join(map(str, missing[:5])) + (", ..." if missing[5:] else "")
                _refuse(
                    peers,
                    f"process {some} of {count} did not come in {PATIENCE} seconds to {host}:{port}, "
                    "which must be an address of the machine of process 0",
                )
            match peer.hear(2):
                case ["jaxnets", "of", of, "index", index] if of.isdecimal() and index.isdecimal():
                    _admit(peers, peer, count, int(of), int(index))
                case _:
                    peer.close()  # a stranger
    for peer in peers.values():
        peer.say("go")
    return peers


def _listen(port: int) -> socket.socket:
    """Returns a socket that listens at a port of all addresses, as the service of JAX will."""
    dual = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port), family=socket.AF_INET6 if dual else socket.AF_INET, dualstack_ipv6=dual
        )
    except OSError as error:
        raise ValueError(
            f"process 0 cannot listen at port {port}: {os.strerror(error.errno or 0)}; choose another"
        ) from error


def _admit(peers: dict[int, Peer], peer: Peer, count: int, of: int, index: int) -> None:
    everyone: Mapping[int, Peer] = {**peers, -1: peer}
    if of != count:
        _refuse(
            everyone,
            f"process {index} says that there are {of} processes, and process 0 says {count}",
        )
    if not 0 < index < count or (index in peers and not peers[index].has_ended()):
        _refuse(everyone, f"two processes say that they are process {index} of {count}")
    if index in peers:
        peers[index].close()  # one that has ended, and comes again
    peers[index] = peer
    peer.say("welcome")


def _refuse(peers: Mapping[int, Peer], why: str) -> NoReturn:
    for peer in peers.values():
        peer.say("refused", why)
        peer.close()
    raise ValueError(why)


def _attend(host: str, port: int, count: int, index: int) -> Peer:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            peer = Peer(socket.create_connection((host, port), timeout=10))
            peer.say("jaxnets of", count, "index", index)
            match peer.hear(10):
                case ["welcome"]:
                    break
                case ["refused", *why]:
                    _refuse({0: peer}, " ".join(why))
            peer.close()
            failure = f"what answers at {host}:{port} is not process 0 of such a run"
        except OSError as error:  # not started yet, or not yet known by that name
            failure = f"no answer from {host}:{port} in {PATIENCE} seconds: {error.strerror or error}"
        if time.monotonic() > deadline:
            raise ValueError(failure)
        time.sleep(0.5)
    match peer.hear(PATIENCE + 10):
        case ["go"]:
            return peer
        case ["refused", *why]:
            _refuse({0: peer}, " ".join(why))
    _refuse({0: peer}, "process 0 has ended")
