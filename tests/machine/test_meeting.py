"""Processes meet, or each of them learns in a sentence why not: here, threads in their place."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxnets.machine import meeting


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def meet(port, *members):
    """What each of (count, index) gets: the indices that it is connected to, or why it refuses."""

    def one(member):
        try:
            found = meeting.meet("localhost", port, *member)
        except ValueError as error:
            return str(error)
        for peer in found.values():
            peer.close()
        return sorted(found)

    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(one, members))


def test_process_0_is_connected_to_all_and_they_to_it(port):
    assert meet(port, (3, 1), (3, 0), (3, 2)) == [[0], [1, 2], [0]]
    with socket.create_server(("localhost", port)):  # JAX's service can take the port over at once
        pass


def test_those_who_do_not_belong_together_are_all_told(port):
    assert set(meet(port, (2, 0), (3, 1))) == {
        "process 1 says that there are 3 processes, and process 0 says 2"
    }
    assert set(meet(port, (3, 0), (3, 1), (3, 1))) == {"two processes say that they are process 1 of 3"}


def test_who_waits_in_vain_is_told(port, monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE", 0.2)
    (said,) = meet(port, (3, 0))
    assert said.startswith("process 1, 2 of 3 did not come in 0.2 seconds to localhost:")
    (said,) = meet(port, (3, 1))
    assert said == f"no answer from localhost:{port} in 0.2 seconds: Connection refused"


@pytest.mark.slow
def test_a_port_of_another_program_is_told(port, monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE", 0.2)
    with socket.create_server(("", port)) as other, ThreadPoolExecutor(1) as pool:
        (said,) = meet(port, (2, 0))
        assert said == f"process 0 cannot listen at port {port}: Address already in use; choose another"
        answer = pool.submit(reply, other, b"HTTP/1.1 400 Bad Request\r\n")
        assert meet(port, (2, 1)) == [f"what answers at localhost:{port} is not process 0 of such a run"]
        answer.result()


def test_a_stranger_and_one_that_comes_again_do_no_harm(port):
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(meet, port, (3, 0))
        for hello in (b"GET / HTTP/1.1\r\n", b"jaxnets of 3 index 1\n"):  # the second comes, and is stopped
            connected(port, hello).close()
        with connected(port, b"jaxnets of 3 index 2\n") as second:
            assert second.recv(100) == b"welcome\n"  # process 0 now knows of both, and of the stopped one
            assert meet(port, (3, 1)) == [[0]]
            assert second.recv(100) == b"go\n"
            assert found.result() == [[1, 2]]


def reply(listener, words):
    with listener.accept()[0] as connection:
        connection.sendall(words)


def connected(port, hello):
    while True:
        try:
            connection = socket.create_connection(("localhost", port))
        except OSError:
            continue
        connection.sendall(hello)
        return connection
