"""The app's page in a real browser: draws, reads the answers, drops a picture; by mouse and by keys."""

import base64
import dataclasses
import io
import os
import threading
from pathlib import Path

import chromium
import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.app.examples import Example
from jaxnets.app.server import Page
from jaxnets.runs.predict import guesses, load_image_run, look

pytestmark = pytest.mark.skipif(
    not chromium.installed(), reason="needs a Chromium, of any of these names: " + ", ".join(chromium.NAMES)
)

turn = np.linspace(0, 2 * np.pi, 24)
ZERO = [np.stack([0.4 + 0.17 * np.sin(turn), 0.45 - 0.3 * np.cos(turn)], -1).tolist()]
ONE = [[(0.45, 0.3), (0.6, 0.15), (0.6, 0.85)]]
DIGITS = data.load("digits").test
EXAMPLES = [Example(DIGITS[row]["x"], str(DIGITS[row]["y"])) for row in range(3)]
ANSWERED = "document.querySelector('.best[aria-busy=false]')?.textContent.endsWith('%')"

# Keeps what the page sends.
WATCH = """
  const real = globalThis.fetch;
  globalThis.fetch = (path, options) => {
    if (options?.body) globalThis.sent = options.body;
    return real(path, options);
  };
"""
SENT = """
  new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1]);
    reader.readAsDataURL(globalThis.sent);
  })
"""
BARS = """
  [...document.querySelectorAll(".bars li")].map((row) => [
    row.querySelector(".label").textContent, row.querySelector(".share").textContent])
"""
SMALL = """
  [...document.querySelectorAll("button, .button, .tools input:not([type=file])")]
    .filter((one) => one.offsetParent && Math.min(one.offsetWidth, one.offsetHeight) < 44)
    .map((one) => one.outerHTML)
"""
LOWEST = """
  Math.max(...[...document.querySelectorAll(".best")].map((one) => one.getBoundingClientRect().bottom))
"""
PAPER = "document.querySelector('#paper').toDataURL()"
SEEN = """
  [...document.querySelector(".seen").getContext("2d").getImageData(0, 0, 28, 28).data]
    .filter((_, index) => index % 4 === 0)
"""


@pytest.fixture(scope="module")
def learned(workdir):
    return load_image_run(workdir)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    try:
        opened = chromium.Browser(tmp_path_factory.mktemp("chromium"))
    except chromium.DoesNotStart:
        pytest.skip(f"{chromium.installed()} does not start here")
    with opened:
        yield opened


@pytest.fixture(scope="module")
def browser(learned, tab):
    with Page({"it": learned}, 0, examples=EXAMPLES) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        tab("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        tab.home = page.url
        yield tab
        page.shutdown()


@pytest.fixture
def fresh(browser):
    browser("Page.navigate", url=browser.home)
    browser.until("document.querySelectorAll('.bars li').length === 10")
    return browser


def predicted(learned, picture):
    """What predict says of the bytes of a picture: the image seen, and the bars of the page."""
    seen = look(learned, io.BytesIO(picture), "it").seen
    (found,) = guesses(learned, [seen])
    shares = {guess.label: f"{guess.probability:.1%}" for guess in found}
    return seen, [[label, shares[label]] for label in learned.features.classes], found[0].label


def drop(browser, content, name):
    """Drops a file on the paper."""
    encoded = base64.b64encode(content).decode()
    browser.do(f"""
      const bytes = Uint8Array.from(atob("{encoded}"), (one) => one.charCodeAt(0));
      const moved = new DataTransfer();
      moved.items.add(new File([bytes], "{name}"));
      document.querySelector("#paper").dispatchEvent(
        new DragEvent("drop", {{ dataTransfer: moved, bubbles: true, cancelable: true }}));
    """)


@pytest.mark.parametrize("digit, strokes", [("0", ZERO), ("1", ONE)])
def test_a_drawn_digit_is_framed_and_answered_as_predict_answers_it(fresh, learned, digit, strokes):
    fresh.draw(strokes, "#paper")
    fresh.until(ANSWERED)
    picture = base64.b64decode(fresh.do(SENT))
    seen, bars, best = predicted(learned, picture)
    np.testing.assert_array_equal(np.reshape(fresh.do(SEEN), (28, 28, 1)), seen)
    assert fresh.do(BARS) == bars
    assert fresh.do("document.querySelector('.best').textContent").startswith(best)
    ink = np.asarray(Image.open(io.BytesIO(picture)).convert("L")) < 200
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    assert len(rows) == pytest.approx(0.9 * 280, abs=3)  # as the training images, which ink fills, less 5%
    assert (rows[0] + rows[-1], columns[0] + columns[-1]) == pytest.approx((280, 280), abs=4)  # in the middle
    assert fresh.complaints() == []
    assert {url.removeprefix(fresh.home).split(":")[0] for url in fresh.requested()} <= {
        *("", "page.css", "page.js", "paper.js", "about", "examples", "answer?run=0", "data"),
    }
    if pictures := os.environ.get("JAXNETS_SCREENSHOTS"):
        with open(f"{pictures}/app-{digit}.png", "wb") as file:
            file.write(fresh.screenshot())


def test_answers_come_while_the_pen_is_down_and_none_after_clearing(fresh):
    box = fresh.do("document.querySelector('#paper').getBoundingClientRect().toJSON()")
    place = {"x": box["x"] + 80, "button": "left"}
    fresh("Input.dispatchMouseEvent", type="mousePressed", y=box["y"] + 40, clickCount=1, **place)
    for step in range(10_000):
        fresh("Input.dispatchMouseEvent", type="mouseMoved", y=box["y"] + 40 + step % 160, buttons=1, **place)
        if fresh.do("document.querySelector('.best').textContent.endsWith('%')"):
            break
    else:
        raise AssertionError("no answer while drawing")
    fresh.do("document.querySelector('#clear').click()")
    fresh.until("document.querySelector('.best').ariaBusy === 'false'")
    assert fresh.do("document.querySelector('.best').textContent") == "Nothing yet."
    fresh("Input.dispatchMouseEvent", type="mouseReleased", y=box["y"] + 40, clickCount=1, **place)


def test_a_dropped_picture_is_sent_as_it_is(fresh, learned, tmp_path):
    file = io.BytesIO()
    Image.fromarray(255 - data.load("digits").test.x[0, ..., 0]).resize((90, 120)).save(file, "JPEG")
    drop(fresh, file.getvalue(), "photo.jpg")
    fresh.until(ANSWERED)
    assert base64.b64decode(fresh.do(SENT)) == file.getvalue()
    seen, bars, _ = predicted(learned, file.getvalue())
    np.testing.assert_array_equal(np.reshape(fresh.do(SEEN), (28, 28, 1)), seen)
    assert fresh.do(BARS) == bars


def test_keys_draw_and_clear(fresh):
    fresh.do("document.querySelector('#paper').focus()")
    fresh.press(" ", 32, " ")
    for _ in range(8):
        fresh.press("ArrowDown", 40)
    fresh.until(ANSWERED)
    assert fresh.do("document.querySelector('#spoken').textContent").startswith("Pen down, row 24, column 16")
    fresh.press("Delete", 46)
    fresh.until("document.querySelector('.best').textContent === 'Nothing yet.'")
    assert {share for _, share in fresh.do(BARS)} == {"0.0%"}


def test_what_cannot_be_read_is_said_and_the_page_goes_on(fresh):
    drop(fresh, b"no image", "x.png")
    fresh.until("document.querySelector('.best.wrong')?.textContent.startsWith('Not an image')")
    fresh.draw(ONE, "#paper")
    fresh.until(ANSWERED)
    assert not fresh.do("document.querySelector('.best').classList.contains('wrong')")


def test_a_picture_without_ink_gets_no_answer(fresh):
    blank = io.BytesIO()
    Image.new("L", (60, 60), 255).save(blank, "PNG")
    drop(fresh, blank.getvalue(), "blank.png")
    fresh.until("document.querySelector('.best.wrong')?.textContent.startsWith('No ink found')")
    assert {share for _, share in fresh.do(BARS)} == {"0.0%"}


def test_what_was_done_last_is_undone_step_by_step(fresh):
    assert fresh.do("document.querySelector('#undo').disabled")
    fresh.draw(ONE, "#paper")
    fresh.until(ANSWERED)
    one = fresh.do(PAPER)
    fresh.draw(ZERO, "#paper")
    both = fresh.do(PAPER)
    fresh.do("document.querySelector('#clear').click()")
    white = fresh.do(PAPER)
    fresh.do("document.querySelector('#examples button').click()")
    fresh.until(f"document.querySelector('#truth').textContent === 'True class: {EXAMPLES[0].label}'")
    for before in (white, both, one, white):
        fresh.until(ANSWERED)
        fresh("Input.dispatchKeyEvent", type="keyDown", key="z", modifiers=2)
        fresh("Input.dispatchKeyEvent", type="keyUp", key="z", modifiers=2)
        assert fresh.do(PAPER) == before
        if before == white:
            fresh.until("document.querySelector('.best').textContent === 'Nothing yet.'")
            fresh.do("document.querySelector('.best').textContent = '%'")
    assert fresh.do("document.querySelector('#undo').disabled")
    assert one != both != white


def test_an_example_is_seen_as_it_was_in_the_data_set(fresh, learned):
    fresh.until("document.querySelectorAll('#examples button').length === 3")
    fresh.do("document.querySelectorAll('#examples button')[1].click()")
    fresh.until(ANSWERED)
    np.testing.assert_array_equal(np.reshape(fresh.do(SEEN), (28, 28, 1)), EXAMPLES[1].image)
    best = learned.probabilities(EXAMPLES[1].image[None])[0].argmax()
    assert fresh.do("document.querySelector('.best').textContent").startswith(learned.features.classes[best])


WINDOWS = {"portrait": (390, 844), "landscape": (844, 390), "small": (320, 568), "desk": (1280, 900)}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.sampled(3)
def test_it_fits_the_window_and_fingers(tab, learned, name, count):
    """Nothing is cut off, what is touched is 44 pixels wide and high, and the prediction is in sight."""
    (width, height), phone = WINDOWS[name], name != "desk"
    tab.shape(width, height, mobile=phone)
    tab("Emulation.setTouchEmulationEnabled", enabled=phone)
    runs = {f"runs/{number}": learned for number in range(count)}
    with Page(runs, 0, examples=EXAMPLES) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        tab("Page.navigate", url=page.url)
        tab.until(f"document.querySelectorAll('.bars li').length === {10 * count}")
        tab.draw(ONE, "#paper")
        tab.until(f"document.querySelectorAll('.best[aria-busy=false]').length === {count}")
        tab.until(ANSWERED)
        if pictures := os.environ.get("JAXNETS_SCREENSHOTS"):
            Path(f"{pictures}/app-{name}-{count}.png").write_bytes(tab.screenshot())
        page.shutdown()
    assert tab.do("document.documentElement.scrollWidth") <= width
    assert tab.do(SMALL) == []
    assert tab.do(LOWEST) <= height
    tab("Emulation.setTouchEmulationEnabled", enabled=False)
    tab.shape(960, 560)


def test_two_networks_answer_side_by_side(tab, learned):
    """Each by its own classes and with what it sees itself."""
    names = tuple(f"digit {number}" for number in range(10))
    other = dataclasses.replace(learned, features=dataclasses.replace(learned.features, classes=names))
    with Page({"runs/a": learned, "runs/b": other}, 0) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        tab("Page.navigate", url=page.url)
        tab.until("document.querySelectorAll('.bars li').length === 20")
        tab.draw(ONE, "#paper")
        tab.until("[...document.querySelectorAll('.best')].every((one) => one.textContent.endsWith('%'))")
        answers = tab.do("[...document.querySelectorAll('.best')].map((one) => one.textContent)")
        assert answers[1] == f"digit {answers[0]}"
        titles = tab.do("[...document.querySelectorAll('.predicts h2')].map((one) => one.textContent)")
        assert [title[:6] for title in titles] == ["runs/a", "runs/b"]
        page.shutdown()


def test_with_a_token_everything_is_below_it(tab, learned):
    with Page({"it": learned}, 0, "0.0.0.0", EXAMPLES) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        known = len(tab.requested())
        tab("Page.navigate", url=f"http://127.0.0.1:{page.server_port}/{page.token}")
        tab.until("document.querySelectorAll('.bars li').length === 10")
        tab.draw(ONE, "#paper")
        tab.until(ANSWERED)
        site = f"http://127.0.0.1:{page.server_port}/"  # the page before may still be asking its own
        below = f"{site}{page.token}/"
        asked = [url for url in tab.requested()[known:] if url.startswith(site)]
        assert all(url.startswith(below) or url == below[:-1] for url in asked)
        assert below + "answer?run=0" in asked
        page.shutdown()


def test_names_with_markup_are_shown_as_text(tab, learned):
    names = ["<img src=x onerror='globalThis.injected = 1'>", "<b>1</b>", *"23456789"]
    features = dataclasses.replace(learned.features, classes=tuple(names))
    config = learned.config | {"dataset": "</script><script>globalThis.injected = 1</script>"}
    with Page({"it": dataclasses.replace(learned, features=features, config=config)}, 0) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        tab("Page.navigate", url=page.url)
        tab.until("document.querySelectorAll('.bars li').length === 10")
        tab.draw(ONE, "#paper")
        tab.until(ANSWERED)
        assert {name for name, _ in tab.do(BARS)} == set(names)
        assert tab.do("document.title").startswith("mlp, trained on </script><script>")
        assert tab.do("globalThis.injected === undefined && !document.querySelector('.bars img, .bars b')")
        page.shutdown()
