"""The app's server: predict's answers, also to many at once, and one sentence to whatever is wrong."""

import base64
import http.client
import io
import json
import signal
import socket
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import jax
import numpy as np
import pytest
from flax import linen
from PIL import Image

from experiments.train import main as train
from jaxnets import data
from jaxnets.app.server import MOST_BYTES, Page
from jaxnets.data import Features
from jaxnets.data.formats.images import read_image
from jaxnets.runs import Run, describe_features


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
    with Page(untrained((28, 28, 1), "light"), 0) as page:
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
        seen = read_image(tmp_path / f"{number}.png", (28, 28, 1), wanted="light")
        logits = page.run.model.apply(page.run.variables, seen[None] / np.float32(255))
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
    with Page(untrained((32, 32, 3), None), 0) as page:
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        answer = page.answer(as_png(picture))
        shown = Image.open(io.BytesIO(base64.b64decode(answer["seen"].split(",")[1])))
        np.testing.assert_array_equal(np.asarray(shown), picture)
        assert page.about()["ink"] is None


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
        (70_000, "port 70000: it must be 0 to 65535"),
    ):
        code, _, err = run("app", workdir, "--port", port)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_what_learned_no_images_is_refused(run, tmp_path):
    train(model="perceptron", dataset="iris", epochs=1, workdir=tmp_path / "iris", devices=1)
    code, _, err = run("app", tmp_path / "iris")
    assert (code, err.count("\n")) == (2, 1)
    assert "was trained on iris, whose examples are not images" in err


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
