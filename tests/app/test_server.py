"""The app's server: predict's answers, also to many at once, and one sentence to whatever is wrong."""

import base64
import contextlib
import dataclasses
import http.client
import io
import json
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import linen
from PIL import Image

from experiments.train import main as train
from jaxnets import data
from jaxnets.app import handler
from jaxnets.app.address import find_address
from jaxnets.app.examples import find_examples
from jaxnets.app.handler import MOST_BYTES
from jaxnets.app.server import Page, serve
from jaxnets.data import Features
from jaxnets.data.formats.drawings import Drawn, read_image
from jaxnets.errors import UserError
from jaxnets.runs import Run, describe_features
from jaxnets.runs.predict import load_image_run


class Plain(linen.Module):
    """A network that compiles quickly."""

    @linen.compact
    def __call__(self, x):
        return linen.Dense(10)(x.reshape(len(x), -1))


def untrained(shape, ink):
    features, model = Features(shape, "uint8", tuple("0123456789")), Plain()
    variables = model.init(jax.random.key(0), np.zeros((1, *shape), np.float32))
    return Run(describe_features("plain", features, ink, "unit"), features, model, variables)


@pytest.fixture(scope="module")
def page():
    with Page({"it": untrained((28, 28, 1), "light")}, 0) as page:
        threading.Thread(target=page.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield page
        page.shutdown()


def ask(page, method="GET", path="/", body=None, **headers):
    """Returns (status, headers, content) of one request; a header given as None is left out."""
    connection = http.client.HTTPConnection("127.0.0.1", page.server_port, timeout=120)
    names = {key.replace("_", "-"): value for key, value in headers.items() if value is not None}
    connection.putrequest(method, path, skip_host="Host" in headers)
    if body is not None and "Content_Length" not in headers:
        names["Content-Length"] = str(len(body))
    for name, value in names.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def raw(page, content):
    """Sends bytes as they are, says no more, and returns the answer."""
    with socket.create_connection(("127.0.0.1", page.server_port), 120) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def as_png(image):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    return file.getvalue()


def bomb():
    """20,000 x 20,000 white pixels in some fifty kilobytes."""
    rows = zlib.compress(b"\0" + b"\xff" * 2500, 9)

    def chunk(kind, content):
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    head = (20_000).to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_the_files_of_the_page_are_in_the_package_and_ask_nothing_of_others(page):
    for path, kind, name in (
        ("/", "text/html", "page.html"),
        ("/page.css", "text/css", "page.css"),
        ("/page.js", "text/javascript", "page.js"),
        ("/paper.js", "text/javascript", "paper.js"),
    ):
        status, headers, content = ask(page, path=path)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
        assert content == resources.files("jaxnets.app").joinpath(name).read_bytes()
        assert b"http://" not in content
        assert b"https://" not in content
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, _, content = ask(page, "HEAD")
    assert (status, content) == (200, b"")


def test_many_at_once_get_what_predict_computes(page, tmp_path):
    digits = data.load("digits").test.x
    pictures = [as_png(255 - digits[0]), *(as_png(image) for image in digits[1:12])]
    expected = []
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(picture)
        seen = read_image(tmp_path / f"{number}.png", (28, 28, 1), drawn=Drawn("light"))
        logits = page.runs["it"].model.apply(page.runs["it"].variables, seen[None] / np.float32(255))
        expected.append((seen, np.asarray(jax.nn.softmax(logits[0]))))
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda picture: ask(page, "POST", "/answer", picture), pictures * 4))
    for (status, _, content), (seen, probabilities) in zip(answers, expected * 4, strict=True):
        assert status == 200
        answer = json.loads(content)
        assert answer["seen"].startswith("data:image/png;base64,")
        shown = Image.open(io.BytesIO(base64.b64decode(answer["seen"].split(",")[1])))
        np.testing.assert_array_equal(np.asarray(shown), seen[..., 0])
        labels = [int(guess["label"]) for guess in answer["guesses"]]
        found = [guess["probability"] for guess in answer["guesses"]]
        assert sorted(labels) == list(range(10))
        assert found == sorted(found, reverse=True)
        np.testing.assert_allclose(found, probabilities[labels], rtol=1e-5)  # equal ones in either order


def test_colour_images_are_answered_in_colour():
    with Page({"it": untrained((32, 32, 3), None)}, 0) as page:
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        answer = page.answer(as_png(picture))
        shown = Image.open(io.BytesIO(base64.b64decode(answer["seen"].split(",")[1])))
        np.testing.assert_array_equal(np.asarray(shown), picture)
        assert page.about()["runs"][0]["ink"] is None


@pytest.mark.parametrize(
    "request_, status, sentence",
    [
        ({"path": "/nothing"}, 404, "there is nothing at /nothing"),
        ({"path": "/../server.py"}, 404, "there is nothing at /../server.py"),
        ({"method": "POST", "path": "/", "body": b"x"}, 405, "/ takes GET, HEAD only"),
        ({"path": "/answer"}, 405, "/answer takes POST only"),
        ({"method": "DELETE", "path": "/answer"}, 405, "/answer takes POST only"),
        ({"method": "BREW"}, 501, "Unsupported method ('BREW'): not a request of this page"),
        ({"Host": "evil.example:80"}, 403, "this page answers only to itself"),
        ({"Host": "127.0.0.1"}, 403, "this page answers only to itself"),
        ({"Host": None}, 403, "this page answers only to itself"),
        ({"Origin": "http://evil.example"}, 403, "this page answers only to itself"),
        ({"Origin": "null"}, 403, "this page answers only to itself"),
        ({"Origin": "https://127.0.0.1"}, 403, "this page answers only to itself"),
        (
            {"method": "POST", "path": "/answer", "body": b"x", "Origin": "http://127.0.0.1.evil.example"},
            403,
            "itself",
        ),
        ({"method": "POST", "path": "/answer", "body": b"no image"}, 400, "the picture: not an image"),
        ({"method": "POST", "path": "/answer", "body": bomb()}, 400, "the picture: "),
        ({"method": "POST", "path": "/answer"}, 411, "a picture must come with its Content-Length"),
        ({"method": "POST", "path": "/answer", "body": b""}, 400, "Content-Length 0: it must be"),
        ({"method": "POST", "path": "/answer", "Content_Length": "-5"}, 400, "Content-Length -5: it must be"),
        ({"method": "POST", "path": "/answer", "Content_Length": "9" * 5000}, 400, "Content-Length 9999"),
        ({"method": "POST", "path": "/answer", "body": bytes(MOST_BYTES + 1)}, 413, "10,000,001 bytes"),
        ({"method": "POST", "path": "/answer", "Content_Length": str(10**12)}, 413, "is too large"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_wrong_is_refused_in_one_sentence_and_the_server_goes_on(page, request_, status, sentence):
    found, headers, content = ask(page, **request_)
    assert (found, headers["Content-Type"]) == (status, "application/json; charset=utf-8")
    error = json.loads(content)["error"]
    assert sentence in error
    assert "\n" not in error
    assert ask(page)[0] == 200


@pytest.mark.parametrize(
    "content, status",
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\xff\r\n\r\n", b"400"),  # TLS
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 9\r\n\r\nabc", b"400"),  # cut off
    ],
)
def test_what_is_no_request_is_refused_too(page, content, status):
    answer = raw(page, content.replace(b"%d", b"%d" % page.server_port))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert list(json.loads(answer.split(b"\r\n\r\n")[1])) == ["error"]
    assert ask(page)[0] == 200


def test_its_own_names_are_the_only_ones(page):
    port = page.server_port
    for name in ("127.0.0.1", "localhost"):
        assert ask(page, Host=f"{name}:{port}", Origin=f"http://{name}:{port}")[0] == 200
    twice = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: evil.example\r\n\r\n" % port
    assert raw(page, twice).startswith(b"HTTP/1.1 403")


def test_blank_paper_is_answered_nothing_is_seen(page):
    blank = np.random.default_rng(0).normal(230, 3, (300, 300)).astype(np.uint8)
    status, _, content = ask(page, "POST", "/answer", as_png(blank))
    assert (status, json.loads(content)["error"][:26]) == (400, "the picture: no ink found:")


def test_a_picture_of_one_colour_has_no_ink_for_networks_of_photographs_either():
    with (
        Page({"it": untrained((32, 32, 3), None)}, 0) as page,
        pytest.raises(UserError, match=r"^the picture: no ink found: all of it has one colour$"),
    ):
        page.answer(as_png(np.full((40, 40, 3), (10, 200, 30), np.uint8)))


def test_of_several_runs_each_answers_for_itself(page):
    other = untrained((32, 32, 3), None)
    digit = as_png(255 - data.load("digits").test.x[0])
    with Page({"runs/a": page.runs["it"], "runs/b": other}, 0) as both:
        threading.Thread(target=both.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        told = json.loads(ask(both, path="/about")[2])["runs"]
        assert [(one["name"], one["shape"]) for one in told] == [
            ("runs/a", [28, 28, 1]),
            ("runs/b", [32, 32, 3]),
        ]
        for number, side in enumerate((28, 32)):
            answer = json.loads(ask(both, "POST", f"/answer?run={number}", digit)[2])
            shown = Image.open(io.BytesIO(base64.b64decode(answer["seen"].split(",")[1])))
            assert shown.size == (side, side)
            assert answer == both.answer(digit, number)
        for asked in ("2", "-1", "", "0&run=1", "%0a", "9" * 400):
            status, _, content = ask(both, "POST", f"/answer?run={asked}", digit)
            assert (status, json.loads(content)["error"].endswith("it must be 0 to 1")) == (400, True)
        both.shutdown()


@pytest.fixture(scope="module")
def shared():
    """A page that other devices may reach."""
    with Page({"it": untrained((28, 28, 1), "light")}, 0, "0.0.0.0") as page:
        threading.Thread(target=page.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield page
        page.shutdown()


def test_without_the_token_there_is_nothing_but_403(shared):
    token = shared.token
    assert re.fullmatch("[a-z]{14}", token)
    assert shared.url.endswith(f":{shared.server_port}/{token}/")
    wrong = (
        "",
        token[:-1],
        f"{token}a",
        token.upper(),
        f"x/{token}",
        f"%{ord(token[0]):x}{token[1:]}",
    )
    paths = ["/page.css", "/about", "/answer", "/nothing", f"/?{token}", f"/?token={token}"]
    for path in [*(f"/{one}/" for one in wrong), *(f"/{one}" for one in wrong), *paths]:
        for method in ("GET", "POST", "DELETE", "BREW"):
            if path != f"/{token}/":
                status, _, content = ask(shared, method, path, b"x")
                assert (status, json.loads(content)) == (403, {"error": handler.UNINVITED}), (method, path)
    for content in (
        b"GET /\xff/ HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ):
        answer = raw(shared, content)
        assert answer.startswith(b"HTTP/1.1 403")
        assert token.encode() not in answer


def test_with_the_token_there_is_all_of_the_page(shared):
    base = f"/{shared.token}"
    status, headers, _ = ask(shared, path=base)
    assert (status, headers["Location"]) == (308, f"{base}/")
    for path in ("/", "/page.css", "/page.js", "/paper.js", "/about", "/examples"):
        assert ask(shared, path=base + path)[0] == 200
    digit = as_png(255 - data.load("digits").test.x[0])
    status, _, content = ask(shared, "POST", f"{base}/answer?run=0", digit)
    assert (status, json.loads(content)) == (200, shared.answer(digit))
    assert ask(shared, path=f"{base}/nothing")[0] == 404


def test_other_sites_are_refused_with_the_token_too(shared):
    """No name but its own leads here, so no site can make one of its names do so (DNS rebinding)."""
    port, path = shared.server_port, f"/{shared.token}/"
    own = shared.url.split("/")[2]
    numbers = (
        f"127.0.0.1:{port}",
        f"192.168.1.20:{port}",
        "192.168.1.20:9000",
        f"[fe80::1]:{port}",
        "10.0.0.1",
    )
    for host in (own, f"localhost:{port}", *numbers):
        assert ask(shared, path=path, Host=host)[0] == 200
        assert ask(shared, path=path, Host=host, Origin=f"http://{host}")[0] == 200
        for origin in (
            "null",
            "http://evil.example",
            "http://192.168.1.21",
            "https://127.0.0.1",
            f"http://{host}0",
        ):
            status, _, content = ask(shared, path=path, Host=host, Origin=origin)
            assert (status, shared.token in content.decode()) == (403, False)
    for host in (
        f"evil.example:{port}",
        "evil.example",
        f"1.2.3.4.evil.example:{port}",
        "",
        None,
        f"[evil]:{port}",
    ):
        assert ask(shared, path=path, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_this_machine_alone_needs_no_token(host):
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    address = find_address(host)
    assert address.token == ""
    shown = "[::1]" if host == "::1" else host
    assert address.url(8000) == f"http://{shown}:8000/"
    assert f"{shown}:8000" in address.names(8000)


def test_every_page_has_a_token_of_its_own():
    tokens = {find_address("0.0.0.0").token for _ in range(20)}
    assert len(tokens) == 20


@pytest.mark.parametrize(
    "host, message",
    [
        (
            "192.0.2.7",
            "--host 192.0.2.7: this machine has no such address; 0.0.0.0 stands for all that it has",
        ),
        ("no.such.invalid", "--host no.such.invalid: no machine has this address or name"),
        ("0.0.0.0:80", "--host 0.0.0.0:80: no machine has this address or name"),
        ("a" * 70 + ".x", "no machine has this address or name"),
        ("", "--host is empty"),
    ],
)
def test_a_host_that_is_not_this_machine_is_one_line(run, workdir, host, message):
    code, _, err = run("app", workdir, "--host", host, "--port", "0")
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_who_lets_others_in_is_warned(page, capsys, monkeypatch):
    monkeypatch.setattr(Page, "serve_until", lambda *_: None)
    serve(page.runs, 0, host="0.0.0.0")
    out, err = capsys.readouterr()
    assert re.search(r": http://[^/]+:\d+/[a-z]{14}/ ", out)
    assert err.startswith("warning: other devices in this network can reach this page.")
    assert err.count("\n") == 1
    serve(page.runs, 0)
    assert capsys.readouterr().err == ""


def test_examples_are_held_out_images_or_else_the_one_that_the_run_kept(workdir, tmp_path):
    learned, held_out = load_image_run(workdir), data.load("digits").test
    found = find_examples(workdir, learned)
    rows = [
        next(row for row in range(len(held_out)) if (held_out[row]["x"] == one.image).all()) for one in found
    ]
    assert len(rows) == 8
    assert [one.label for one in found] == [str(held_out[row]["y"]) for row in rows]
    elsewhere = dataclasses.replace(
        learned, config=learned.config | {"dataset": "not_here", "data_dir": str(tmp_path)}
    )
    (kept,) = find_examples(workdir, elsewhere)
    assert kept.label is None
    np.testing.assert_array_equal(kept.image, held_out[0]["x"])
    assert find_examples(tmp_path, elsewhere) == []  # nothing is there, and nothing is downloaded


def test_who_sends_slowly_is_refused_when_the_time_is_up_however_often_a_byte_comes(page, monkeypatch):
    monkeypatch.setattr(handler, "SECONDS", 0.5)
    head = b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 1000\r\n" % page.server_port
    for start, expected in ((head + b"\r\n", b"HTTP/1.1 408"), (head, b"")):  # a slow body, and a slow head
        with socket.create_connection(("127.0.0.1", page.server_port), 120) as connection:
            connection.sendall(start)
            answer = b""
            for _ in range(100):  # ten seconds at most
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")
                if select.select([connection], [], [], 0.1)[0]:
                    with contextlib.suppress(ConnectionError):
                        answer = connection.recv(65536)
                    break
            else:
                raise AssertionError("it waits on")
        assert answer[:12] == expected
    assert ask(page)[0] == 200


def test_names_reach_the_page_as_text_alone():
    """The page takes them from JSON and shows them by textContent (test_browser.py)."""
    names = (
        '<img src=x onerror="alert(1)">',
        "</script><script>alert(2)</script>",
        "$\\frac{$",
        "\x1b[31mred",
    )
    features = Features((8, 8, 1), "uint8", (*names, *"abcdef"))
    model = Plain()
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    with Page(
        {"it": Run(describe_features(names[0], features, "light", "unit"), features, model, variables)}, 0
    ) as page:
        threading.Thread(target=page.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        for path, method, body in (
            ("/about", "GET", None),
            ("/answer", "POST", as_png(np.eye(8, dtype=np.uint8) * 255)),
        ):
            status, headers, content = ask(page, method, path, body)
            assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff")
            assert headers["Content-Type"] == "application/json; charset=utf-8"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            found = json.loads(content)
            shown = (
                found["runs"][0]["classes"]
                if path == "/about"
                else [guess["label"] for guess in found["guesses"]]
            )
            assert set(shown) == set(features.classes)
        page.shutdown()
    for path in ("page.js", "paper.js", "page.html"):
        script = resources.files("jaxnets.app").joinpath(path).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", script)


@pytest.mark.slow
def test_fifty_clients_for_a_minute_get_answers_and_memory_stays(workdir):
    """Some send much, some slowly, some nonsense: `figures` are in docs/reliability.md."""
    command = [sys.executable, "-m", "jaxnets", "app", str(workdir), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
        server = SimpleNamespace(server_port=port)

        def memory():
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

        rng = np.random.default_rng(0)
        digit = as_png(255 - data.load("digits").test.x[0])
        large = as_png(rng.integers(0, 256, (1500, 1500), np.uint8))
        bodies = [digit] * 6 + [large, b"no image", bytes(MOST_BYTES + 1), bytes(MOST_BYTES)]
        ended, statuses, peak = time.monotonic() + 60, Counter(), []

        def client(number):
            while time.monotonic() < ended:
                statuses[ask(server, "POST", "/answer", bodies[number % len(bodies)])[0]] += 1

        def slow(_):
            while time.monotonic() < ended:
                with socket.create_connection(("127.0.0.1", port), 120) as connection:
                    head = (
                        b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 999\r\n\r\n" % port
                    )
                    connection.sendall(head)
                    while time.monotonic() < ended + 30 and not select.select([connection], [], [], 1)[0]:
                        connection.sendall(b"x")
                    statuses[int(connection.recv(65536)[9:12])] += 1

        for _ in range(20):
            ask(server, "POST", "/answer", large)
        before = memory()
        with ThreadPoolExecutor(50) as pool:
            waiting = [pool.submit(client, number) for number in range(45)]
            waiting += [pool.submit(slow, number) for number in range(5)]
            while not all(one.done() for one in waiting):
                peak.append(memory())
                time.sleep(0.5)
            for one in waiting:
                one.result()
        after = memory()
        process.send_signal(signal.SIGINT)
    figures = f"{dict(statuses)}; {before:.0f} MB before, {max(peak):.0f} at most, {after:.0f} after"
    print(figures)
    assert set(statuses) == {200, 400, 408, 413}, figures
    assert max(peak) - peak[len(peak) // 3] < 100, figures  # threads have got their first memory by then
    assert max(peak) - before < 400, figures


def test_who_hangs_up_leaves_no_trace(page, capfd):
    for content in (b"", b"GET / HT", b"POST /answer HTTP/1.1\r\n"):
        with socket.create_connection(("127.0.0.1", page.server_port)) as connection:
            connection.sendall(content)
            connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )  # ends with a reset
    assert ask(page)[0] == 200
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_or_is_none_is_one_line(run, workdir, page):
    for port, message in (
        (page.server_port, f"port {page.server_port} of 127.0.0.1 is not available (Address already in use)"),
        (70_000, "--port 70000: it must be 0 to 65,535"),
    ):
        code, _, err = run("app", workdir, "--port", port)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_what_learned_no_images_is_refused(run, tmp_path):
    train(model="perceptron", dataset="iris", epochs=1, workdir=tmp_path / "iris", devices=1)
    code, _, err = run("app", tmp_path / "iris")
    assert (code, err.count("\n")) == (2, 1)
    assert "was trained on iris, whose examples are not images" in err


def test_images_of_an_unknown_range_are_refused(workdir, monkeypatch):
    learned = load_image_run(workdir)
    features = dataclasses.replace(learned.features, dtype="float32")
    floats = dataclasses.replace(learned, features=features)
    monkeypatch.setattr("jaxnets.runs.predict.load_run", lambda workdir: floats)
    with pytest.raises(UserError, match="was trained on images of float32, and those in files are bytes"):
        load_image_run(workdir)


def test_ctrl_c_ends_it_with_0_and_a_quiet_line(workdir):
    command = [sys.executable, "-m", "jaxnets", "app", str(workdir), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert "trained on digits: http://127.0.0.1:" in line
    port = int(line.split("127.0.0.1:")[1].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)):  # a browser's, which it keeps open
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out.strip(), err) == (0, "ended", "")
