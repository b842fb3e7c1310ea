// Draw or drop a picture; the server says what the networks see of it and what they predict.

import { Paper } from "./paper.js";

const $ = (id) => document.getElementById(id);
const SHOWN = 12; // bars; of more classes the most probable are shown
const LOST = "The server does not answer: is it still running?";

const paper = new Paper($("paper"), changed);
let about = null;
let views = []; // one of each run
let asking = false;
let askAgain = false;

async function start() {
  const got = await Promise.all(["about", "examples"].map(async (path) => (await fetch(path)).json()));
  about = got[0];
  views = about.runs.map((run, number) => new View(run, number));
  const [{ ink, shape }] = about.runs;
  $("title").textContent = views.length > 1 ? `${views.length} networks compared` : views[0].name;
  document.title = `${views.map((view) => view.name).join("; ")} - jaxnets`;
  if (!ink) $("paper").height = Math.round(($("paper").width * shape[0]) / shape[1]); // drawn on as it is
  $("paper").style.setProperty("--aspect", $("paper").width / $("paper").height);
  $("colours").hidden = about.runs.every((run) => run.shape[2] === 1);
  got[1].forEach(offer);
  paper.clear();
}

/** What one network sees and predicts. */
class View {
  constructor(run, number) {
    this.run = run;
    this.number = number;
    this.name = run.dataset ? `${run.model}, trained on ${run.dataset}` : run.model;
    this.article = $("run").content.cloneNode(true).firstElementChild;
    $("runs").append(this.article);
    this.article.setAttribute("aria-label", this.name);
    const [height, width] = run.shape;
    const seen = this.part("seen");
    [seen.width, seen.height] = [width, height];
    seen.style.aspectRatio = `${width} / ${height}`;
    this.part("how").textContent = run.ink
      ? `The ink is cropped to the margin of the training images and resized to ${width} x ${height} pixels, ` +
        `${run.ink} on ${run.ink === "light" ? "dark" : "light"}. Pictures in that ink are only resized.`
      : `The picture is resized to ${width} x ${height} pixels.`;
    if (about.runs.length > 1) {
      document.body.classList.add("several");
      const what = document.createElement("small");
      what.textContent = this.name;
      this.article.querySelector("h2").replaceChildren(run.name, what);
    }
    this.bars((run.classes.length > SHOWN ? [] : run.classes).map((label) => ({ label, probability: 0 })));
  }

  part(name) {
    return this.article.querySelector(`.${name}`);
  }

  async ask() {
    const asked = paper.sheet;
    // Ink up to the border would be taken for paper, and MNIST's drawings fill 20 of 28 pixels.
    const span = Math.min(this.run.ink_span ?? 20 / 28, 0.9);
    const body = paper.file ?? (await encoded(this.run.ink ? paper.framed(span) : paper.canvas));
    if (!body) return this.refuse("no ink found");
    const response = await fetch(`answer?run=${this.number}`, { method: "POST", body });
    const answer = await response.json();
    if (asked !== paper.sheet) return; // it is about what has been cleared since
    if (answer.error) return this.refuse(answer.error);
    const image = new Image();
    image.src = answer.seen;
    await image.decode();
    if (asked !== paper.sheet) return;
    this.part("seen").getContext("2d").drawImage(image, 0, 0);
    this.part("seen").setAttribute("aria-label", `Your picture in ${image.width} x ${image.height} pixels`);
    const best = answer.guesses[0];
    this.say(`${best.label}, ${percent(best.probability)}`);
    this.part("doubt").textContent = answer.doubt ? `This may be wrong: ${answer.doubt}.` : "";
    this.bars(answer.guesses);
  }

  refuse(reason) {
    this.forget();
    const said = reason.replace(/^the picture: /, "");
    this.say(`${said[0].toUpperCase()}${said.slice(1)}.`, true);
  }

  forget() {
    const seen = this.part("seen");
    seen.getContext("2d").clearRect(0, 0, seen.width, seen.height);
    seen.setAttribute("aria-label", "Nothing yet");
    this.part("doubt").textContent = "";
    this.bars([...this.part("bars").children].map((row) => ({ label: row.dataset.label, probability: 0 })));
    this.say("Nothing yet.");
  }

  say(sentence, wrong = false) {
    const best = this.part("best");
    if (best.textContent !== sentence) best.textContent = sentence; // else it would be read aloud again
    best.classList.toggle("wrong", wrong);
  }

  /** A bar for every class in their own order, so that they keep their places, or for the best of very many. */
  bars(guesses) {
    const first = guesses[0]?.probability > 0 ? guesses[0].label : null;
    const few = guesses.length <= SHOWN;
    const place = new Map(this.run.classes.map((label, index) => [label, index]));
    const rows = few ? [...guesses].sort((a, b) => place.get(a.label) - place.get(b.label)) : guesses.slice(0, SHOWN);
    const list = this.part("bars");
    while (list.children.length < rows.length) list.append(row());
    while (list.children.length > rows.length) list.lastChild.remove();
    rows.forEach(({ label, probability }, index) => {
      const item = list.children[index];
      item.dataset.label = label;
      item.classList.toggle("first", label === first);
      item.querySelector(".label").textContent = item.querySelector(".label").title = label;
      item.querySelector(".bar").style.width = percent(probability);
      item.querySelector(".share").textContent = percent(probability);
    });
  }
}

const percent = (share) => `${(100 * share).toFixed(1)}%`;
const encoded = (canvas) => canvas && new Promise((done) => canvas.toBlob(done, "image/png"));

function row() {
  const item = document.createElement("li");
  for (const name of ["label", "track", "share"]) {
    const part = document.createElement("span");
    part.className = name;
    item.append(part);
  }
  const bar = document.createElement("span");
  bar.className = "bar";
  item.querySelector(".track").append(bar);
  return item;
}

/** Asks for answers; while some are under way, once more after them. */
async function changed() {
  $("undo").disabled = !paper.canUndo;
  $("truth").textContent = paper.label === null ? "" : `True class: ${paper.label}`;
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  busy(true); // read aloud when they have settled
  do {
    askAgain = false;
    try {
      if (paper.file || paper.drawn) await Promise.all(views.map((view) => view.ask()));
      else views.forEach((view) => view.forget());
    } catch {
      views.forEach((view) => view.say(LOST, true));
    }
  } while (askAgain);
  asking = false;
  busy(false);
}

const busy = (now) => views.forEach((view) => view.part("best").setAttribute("aria-busy", now));

// Pointers

function place(event) {
  const box = $("paper").getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * $("paper").width,
    y: ((event.clientY - box.top) / box.height) * $("paper").height,
  };
}

const begin = () => paper.begin($("colour").value, Number($("width").value));

$("paper").addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  $("paper").setPointerCapture(event.pointerId);
  begin();
  paper.draw(place(event));
});
$("paper").addEventListener("pointermove", (event) => {
  if (!$("paper").hasPointerCapture(event.pointerId) || !paper.drawing) return;
  for (const one of event.getCoalescedEvents?.() ?? []) paper.draw(place(one));
  paper.draw(place(event));
});
$("paper").addEventListener("lostpointercapture", () => paper.end());

// Keys

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let key = null; // where the pen of the keys is

$("paper").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { width, height } = $("paper");
  key ??= { x: width / 2, y: height / 2 };
  if (event.key in ARROWS) {
    const [x, y] = ARROWS[event.key].map((direction) => direction * 14);
    key = { x: within(key.x + x, width), y: within(key.y + y, height) };
    if (paper.drawing) paper.draw(key);
  } else if (event.key === " ") {
    if (paper.drawing) paper.end();
    else {
      begin();
      paper.draw(key);
    }
  } else if (event.key === "Delete" || event.key === "Backspace") {
    paper.clear();
  } else {
    return;
  }
  event.preventDefault();
  const [row, column] = [key.y / height, key.x / width].map((share) => Math.round(share * 32));
  $("spoken").textContent = `Pen ${paper.drawing ? "down" : "up"}, row ${row}, column ${column} of 32`;
});
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  event.preventDefault();
  if (paper.canUndo) paper.undo();
});

const within = (value, size) => Math.min(Math.max(value, 0), size);

// Pictures

function take(file, label) {
  if (!file) return;
  if (file.size > about.most_bytes) {
    const sentence = `${file.name} is too large: ${about.most_bytes / 1e6} MB at most.`;
    views.forEach((view) => view.say(sentence, true));
  } else {
    paper.take(file, label);
  }
}

/** Offers an example as a button with its picture. */
function offer({ image, label }, index) {
  const bytes = Uint8Array.from(atob(image.split(",")[1]), (letter) => letter.charCodeAt(0));
  const file = new File([bytes], "example.png", { type: "image/png" });
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Example ${index + 1}`);
  const picture = new Image();
  picture.src = image;
  picture.alt = "";
  button.append(picture);
  button.addEventListener("click", () => take(file, label));
  $("examples").append(button);
  $("examples").hidden = false;
}

for (const name of ["dragenter", "dragover", "dragleave", "drop"])
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("paper").classList.toggle("target", name === "dragenter" || name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
$("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
$("undo").addEventListener("click", () => paper.undo());
$("clear").addEventListener("click", () => paper.clear());

start().catch(() => ($("truth").textContent = LOST));
