// Draw or drop a picture; the server says what the network sees of it and what it takes it for.

const $ = (id) => document.getElementById(id);
const paper = $("paper");
const pen = paper.getContext("2d", { willReadFrequently: true });
const SHOWN = 12; // bars; of more classes the most probable are shown

let about = null;
let picture = null; // the file that was dropped, or null while something is drawn
let drawn = false;
let last = null; // where the pen is
let sheet = 0; // how often the paper was cleared
let asking = false;
let askAgain = false;

async function start() {
  try {
    about = await (await fetch("/about")).json();
  } catch {
    return say("The server does not answer: is it still running?", true);
  }
  const [height, width, channels] = about.shape;
  $("title").textContent = about.dataset ? `${about.model}, trained on ${about.dataset}` : about.model;
  document.title = `${$("title").textContent} - jaxnets`;
  $("seen").width = width;
  $("seen").height = height;
  $("seen").style.aspectRatio = `${width} / ${height}`;
  if (!about.ink) paper.height = Math.round((paper.width * height) / width); // drawn on as it is
  paper.style.aspectRatio = `${paper.width} / ${paper.height}`;
  $("colours").hidden = channels === 1;
  $("how").textContent = about.ink
    ? `The ink is cropped to the margin of the training images and resized to ${width} x ${height} pixels, ` +
      `${about.ink} on ${about.ink === "light" ? "dark" : "light"}. Pictures in that ink are only resized.`
    : `The picture is resized to ${width} x ${height} pixels.`;
  bars((about.classes.length > SHOWN ? [] : about.classes).map((label) => ({ label, probability: 0 })));
  clear();
}

// The paper

function clear() {
  picture = null;
  drawn = false;
  last = null;
  sheet++;
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, paper.width, paper.height);
  changed();
}

function place(event) {
  const box = paper.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * paper.width,
    y: ((event.clientY - box.top) / box.height) * paper.height,
  };
}

function stroke(to) {
  if (picture) clear(); // a drawing takes the place of a picture
  const from = last ?? to;
  pen.strokeStyle = $("colour").value;
  pen.lineWidth = Number($("width").value);
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x, to.y);
  pen.stroke();
  last = to;
  drawn = true;
  changed();
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  paper.setPointerCapture(event.pointerId);
  last = null;
  stroke(place(event));
});
paper.addEventListener("pointermove", (event) => {
  if (!paper.hasPointerCapture(event.pointerId)) return;
  for (const one of event.getCoalescedEvents?.() ?? []) stroke(place(one));
  stroke(place(event));
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let key = null; // where the pen of the keys is
let down = false;

paper.addEventListener("keydown", (event) => {
  key ??= { x: paper.width / 2, y: paper.height / 2 };
  if (event.key in ARROWS) {
    const [x, y] = ARROWS[event.key].map((direction) => direction * 14);
    key = { x: within(key.x + x, paper.width), y: within(key.y + y, paper.height) };
    if (down) stroke(key);
  } else if (event.key === " ") {
    down = !down;
    last = null;
    if (down) stroke(key);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else {
    return;
  }
  event.preventDefault();
  const row = Math.round((key.y / paper.height) * 32);
  const column = Math.round((key.x / paper.width) * 32);
  paper.setAttribute("aria-label", `Paper; the pen is ${down ? "down" : "up"} at row ${row}, column ${column} of 32`);
});

const within = (value, size) => Math.min(Math.max(value, 0), size);

// Pictures

async function take(file) {
  if (!file) return;
  if (file.size > about.most_bytes)
    return say(`${file.name} is too large: ${about.most_bytes / 1e6} MB at most.`, true);
  clear();
  picture = file;
  try {
    const image = await createImageBitmap(file);
    const scale = Math.min(paper.width / image.width, paper.height / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    pen.drawImage(image, (paper.width - width) / 2, (paper.height - height) / 2, width, height);
  } catch {
    // The server may read what this browser does not show, or says why it cannot.
  }
  changed();
}

for (const name of ["dragenter", "dragover", "dragleave", "drop"])
  document.addEventListener(name, (event) => {
    event.preventDefault();
    paper.classList.toggle("target", name === "dragenter" || name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
$("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
$("clear").addEventListener("click", clear);

// Questions and answers

/** The drawing as the person would photograph it: the ink, with the margin that the training images have. */
function framed() {
  if (!about.ink) return paper;
  const { data, width, height } = pen.getImageData(0, 0, paper.width, paper.height);
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (data[4 * (y * width + x)] < 200) {
        left = Math.min(left, x);
        right = Math.max(right, x + 1);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y + 1);
      }
  // Ink up to the border would be taken for paper, and MNIST's drawings fill 20 of 28 pixels.
  const span = Math.min(about.ink_span ?? 20 / 28, 0.9);
  const side = Math.max(right - left, bottom - top) / span;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 280;
  const brush = canvas.getContext("2d");
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, 280, 280);
  brush.imageSmoothingQuality = "high";
  brush.setTransform(280 / side, 0, 0, 280 / side, 140 - (140 * (left + right)) / side, 140 - (140 * (top + bottom)) / side);
  brush.drawImage(paper, 0, 0);
  return canvas;
}

const encoded = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

/** Asks for an answer; while one is under way, once more after it. */
async function changed() {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  $("best").ariaBusy = "true"; // read aloud when it has settled
  do {
    askAgain = false;
    try {
      if (picture || drawn) await ask();
      else forget();
    } catch {
      say("The server does not answer: is it still running?", true);
    }
  } while (askAgain);
  asking = false;
  $("best").ariaBusy = "false";
}

async function ask() {
  const asked = sheet;
  const body = picture ?? (await encoded(framed()));
  const response = await fetch("/answer", { method: "POST", body });
  const answer = await response.json();
  if (asked !== sheet) return; // it is about what has been cleared since
  if (answer.error) {
    forget();
    return say(answer.error, true);
  }
  const image = new Image();
  image.src = answer.seen;
  await image.decode();
  if (asked !== sheet) return;
  const seen = $("seen").getContext("2d");
  seen.drawImage(image, 0, 0);
  $("seen").setAttribute("aria-label", `The picture in ${image.width} x ${image.height} pixels`);
  const best = answer.guesses[0];
  say(`${best.label}, ${percent(best.probability)}`);
  $("doubt").textContent = answer.doubt ? `Doubtful: ${answer.doubt}.` : "";
  bars(answer.guesses);
}

function forget() {
  $("seen").getContext("2d").clearRect(0, 0, $("seen").width, $("seen").height);
  $("seen").setAttribute("aria-label", "Nothing yet");
  $("doubt").textContent = "";
  bars([...$("bars").children].map((row) => ({ label: row.dataset.label, probability: 0 })));
  say("Nothing yet.");
}

function say(sentence, wrong = false) {
  $("best").textContent = sentence;
  $("best").classList.toggle("wrong", wrong);
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;

/** A bar for every class in their own order, so that they keep their places, or for the best of very many. */
function bars(guesses) {
  const first = guesses[0]?.probability > 0 ? guesses[0].label : null;
  const few = guesses.length <= SHOWN;
  const place = new Map(about.classes.map((label, index) => [label, index]));
  const rows = few ? [...guesses].sort((a, b) => place.get(a.label) - place.get(b.label)) : guesses.slice(0, SHOWN);
  while ($("bars").children.length < rows.length) $("bars").append(row());
  while ($("bars").children.length > rows.length) $("bars").lastChild.remove();
  rows.forEach(({ label, probability }, index) => {
    const item = $("bars").children[index];
    item.dataset.label = label;
    item.classList.toggle("first", label === first);
    item.querySelector(".label").textContent = label;
    item.querySelector(".bar").style.width = percent(probability);
    item.querySelector(".share").textContent = percent(probability);
  });
}

function row() {
  const item = document.createElement("li");
  for (const [name, parent] of [["label", item], ["track", item], ["share", item]]) {
    const part = document.createElement("span");
    part.className = name;
    parent.append(part);
  }
  const bar = document.createElement("div");
  bar.className = "bar";
  item.querySelector(".track").append(bar);
  return item;
}

start();
