"""The app's page in a real browser: draws, reads the answers, drops a picture; by mouse and by keys."""

import base64
import dataclasses
import io
import os
import threading

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


@pytest.mark.parametrize("digit, strokes", [("0", ZERO), ("1", ONE)])
def test_a_drawn_digit_is_framed_and_answered_as_predict_answers_it(fresh, learned, digit, strokes):
    fresh.draw(strokes, "#paper")
    fresh.until(ANSWERED)
    picture = base64.b64decode(fresh.do(SENT))
    seen, bars, best = predicted(learned, picture)
    np.testing.assert_array_equal(np.reshape(fresh.do(SEEN), (28, 28, 1)), seen)
    assert fresh.do(BARS) == bars
    assert fresh.do("document.querySelector('.best').textContent").startswith(best)
    assert best == digit
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
    encoded = base64.b64encode(file.getvalue()).decode()
    fresh.do(f"""
      const bytes = Uint8Array.from(atob("{encoded}"), (one) => one.charCodeAt(0));
      const moved = new DataTransfer();
      moved.items.add(new File([bytes], "photo.jpg", {{ type: "image/jpeg" }}));
      document.querySelector("#paper").dispatchEvent(
        new DragEvent("drop", {{ dataTransfer: moved, bubbles: true, cancelable: true }}));
    """)
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
    fresh.do("""
      const moved = new DataTransfer();
      moved.items.add(new File(["no image"], "x.png", { type: "image/png" }));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true }));
    """)
    fresh.until("document.querySelector('.best.wrong')?.textContent.startsWith('Not an image')")
    fresh.draw(ONE, "#paper")
    fresh.until(ANSWERED)
    assert not fresh.do("document.querySelector('.best').classList.contains('wrong')")


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_it_fits_narrow_and_wide_windows(fresh, width):
    fresh.shape(width, 900, mobile=width < 700)
    assert fresh.do("document.documentElement.scrollWidth") <= width
    fresh.shape(960, 560)


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
