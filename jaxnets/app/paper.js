// The paper: what is drawn on it or dropped there, kept as actions of which the last can be undone.

const INK = 600; // red, green and blue together: what is darker is ink

export class Paper {
  #pen;
  #actions = []; // {blank, line: {colour, width, points}} or {blank, file, image, label}; blank: on an empty sheet
  #line = null; // the one that is being drawn
  #changed;

  /** `changed` is called whenever the picture is another one. */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.#pen = canvas.getContext("2d", { willReadFrequently: true });
    this.#changed = changed;
    this.sheet = 0; // how often the picture began anew: answers about earlier ones are late
  }

  /** The actions that are to be seen. */
  get #shown() {
    return this.#actions.slice(Math.max(this.#actions.findLastIndex((action) => action.blank), 0));
  }

  /** The file that was chosen, or null if something was drawn or nothing is there. */
  get file() {
    return this.#shown[0]?.file ?? null;
  }

  /** The class that the file is known to show, or null. */
  get label() {
    return this.#shown[0]?.label ?? null;
  }

  get drawn() {
    return this.#shown.some((action) => action.line);
  }

  get canUndo() {
    return this.#actions.length > 0;
  }

  /** Whether the pen is down. */
  get drawing() {
    return this.#line !== null;
  }

  begin(colour, width) {
    this.#line = { colour, width, points: [] };
  }

  /** Draws on to a point {x, y}; a line takes the place of a picture. */
  draw(point) {
    if (!this.#line.points.length) this.#act({ blank: this.file !== null, line: this.#line });
    this.#line.points.push(point);
    this.#stroke(this.#line, this.#line.points.length - 1);
    this.#changed();
  }

  end() {
    this.#line = null;
  }

  clear() {
    this.end();
    if (this.file || this.drawn) this.#act({ blank: true });
    this.#paint();
  }

  /** Shows a picture's file, of which the class may be known. */
  async take(file, label = null) {
    const action = { blank: true, file, label, image: null };
    this.end();
    this.#act(action);
    this.#paint();
    try {
      action.image = fitted(await createImageBitmap(file), this.canvas);
      if (this.#shown[0] === action) this.#paint();
    } catch {
      // The server may read what this browser does not show, or says why it cannot.
    }
  }

  undo() {
    this.end();
    this.#actions.pop();
    this.sheet++;
    this.#paint();
  }

  #act(action) {
    this.#actions.push(action);
    if (action.blank) {
      this.sheet++;
      this.#wipe();
    }
  }

  #wipe() {
    this.#pen.fillStyle = "#fff";
    this.#pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #paint() {
    this.#wipe();
    for (const { image, line } of this.#shown) {
      if (image) this.#pen.drawImage(image, 0, 0);
      for (let index = 0; index < (line?.points.length ?? 0); index++) this.#stroke(line, index);
    }
    this.#changed();
  }

  #stroke({ colour, width, points }, index) {
    const [from, to] = [points[Math.max(index - 1, 0)], points[index]];
    this.#pen.strokeStyle = colour;
    this.#pen.lineWidth = width;
    this.#pen.lineCap = this.#pen.lineJoin = "round";
    this.#pen.beginPath();
    this.#pen.moveTo(from.x, from.y);
    this.#pen.lineTo(to.x, to.y);
    this.#pen.stroke();
  }

  /** The drawing as a person would photograph it: its ink, which spans a share of the image; null without ink. */
  framed(share) {
    const { data, width, height } = this.#pen.getImageData(0, 0, this.canvas.width, this.canvas.height);
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const at = 4 * (y * width + x);
        if (data[at] + data[at + 1] + data[at + 2] < INK) {
          left = Math.min(left, x);
          right = Math.max(right, x + 1);
          top = Math.min(top, y);
          bottom = Math.max(bottom, y + 1);
        }
      }
    if (right === 0) return null;
    const side = Math.max(right - left, bottom - top) / share;
    const canvas = sheetOf(280, 280);
    const brush = canvas.getContext("2d");
    brush.imageSmoothingQuality = "high";
    const [x, y] = [left + right, top + bottom].map((twice) => 140 - (140 * twice) / side);
    brush.setTransform(280 / side, 0, 0, 280 / side, x, y);
    brush.drawImage(this.canvas, 0, 0);
    return canvas;
  }
}

function sheetOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const brush = canvas.getContext("2d");
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, width, height);
  return canvas;
}

/** A picture in the middle of a sheet of the paper's size, which takes less memory than a photograph's pixels. */
function fitted(image, { width, height }) {
  const scale = Math.min(width / image.width, height / image.height);
  const size = [image.width * scale, image.height * scale];
  const canvas = sheetOf(width, height);
  const brush = canvas.getContext("2d");
  brush.imageSmoothingEnabled = scale < 4; // the pixels of small ones are to be seen
  brush.drawImage(image, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  image.close();
  return canvas;
}
