// A dialog in which a mask is drawn over a picture: by mouse, pen, touch or keyboard.

import { attribute, el, text } from "./dom.js";
import { Strokes, drawn, share } from "./strokes.js";

const LONGEST = 1024; // pixels of the canvas along a side
const STEPS = 32; // of the cursor across the picture's longer side; with Shift it takes four at once
const HELP =
  "The arrow keys move the brush, with Shift further. Space paints; hold it while you move to draw a line. " +
  "E changes between brush and eraser, [ and ] the size, Ctrl+Z undoes.";

export class MaskEditor {
  constructor() {
    this.image = el("img", { alt: "" });
    this.canvas = el("canvas", {
      tabindex: 0,
      role: "application",
      "aria-label": "The mask, over the picture",
      "aria-describedby": "mask-help",
    });
    this.brush = el("div", { class: "brush", "aria-hidden": "true" });
    this.stage = el("div", { class: "stage" }, this.image, this.canvas, this.brush);
    this.status = el("p", { class: "hidden", role: "status" });
    this.size = el("input", { id: "brush-size", type: "range", min: 1, max: 50, oninput: () => this.place() });
    this.painting = button("Brush", () => this.use(false));
    this.erasing = button("Erase", () => this.use(true));
    this.undo = button("Undo", () => this.change("undo", "Undone."));
    this.redo = button("Redo", () => this.change("redo", "Redone."));
    this.invert = button("Invert", () => this.add({ kind: "invert" }, "Inverted."));
    this.clear = button("Clear", () => this.add({ kind: "clear" }, "Cleared."));
    this.dialog = el(
      "dialog",
      { class: "mask-editor", "aria-labelledby": "mask-title" },
      el("h2", { id: "mask-title" }, "Where does it change?"),
      el("p", { class: "hint" }, "What you paint over is made anew; the rest is kept."),
      this.stage,
      el(
        "div",
        { class: "mask-tools", role: "group", "aria-label": "Tools" },
        el("div", { class: "buttons", role: "group", "aria-label": "Draw with" }, this.painting, this.erasing),
        el("div", { class: "brush-size" }, el("label", { for: "brush-size" }, "Size"), this.size),
        el("div", { class: "buttons" }, this.undo, this.redo, this.invert, this.clear),
      ),
      el("p", { class: "hint", id: "mask-help" }, HELP),
      el(
        "div",
        { class: "row" },
        el("button", { class: "primary", type: "button", onclick: () => this.finish() }, "Use this mask"),
        el("button", { class: "plain", type: "button", onclick: () => this.dialog.close() }, "Cancel"),
      ),
      this.status,
    );
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => this.lift());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("keyup", ({ key }) => key === " " && this.lift());
    this.canvas.addEventListener("blur", () => this.lift());
    this.dialog.addEventListener("keydown", (event) => this.shortcut(event));
    this.dialog.addEventListener("close", () => this.dialog.remove());
    new ResizeObserver(() => this.place()).observe(this.canvas);
  }

  /** Opens with the steps of a mask for `given`, a picture {url, width, height}. `done(steps)` gets those that the user
   * wants; there are none if nothing is painted. */
  open({ url, width, height }, steps, done) {
    this.done = done;
    this.width = width;
    this.height = height;
    this.strokes = new Strokes(steps);
    this.stroke = null;
    this.at = [width / 2, height / 2];
    const scale = Math.min(1, LONGEST / Math.max(width, height)) * (Math.max(width, height) < 256 ? 4 : 1);
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.stage.style.setProperty("--shape", width / height);
    this.image.src = url;
    this.size.value = 12;
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.colour = getComputedStyle(this.dialog).getPropertyValue("--mask");
    this.use(false);
    this.canvas.focus();
    this.render();
  }

  finish() {
    const { strokes } = this;
    this.done(share(this.canvas) > 0 ? strokes.done : []);
    this.dialog.close();
  }

  /** The radius of the brush, in pixels of the picture: the size is in percent of its longer side. */
  get radius() {
    return (Math.max(this.width, this.height) * this.size.value) / 200;
  }

  use(erase) {
    this.erase = erase;
    attribute(this.painting, "aria-pressed", String(!erase));
    attribute(this.erasing, "aria-pressed", String(erase));
    this.dialog.classList.toggle("erasing", erase);
  }

  add(step, said) {
    this.strokes.add(step);
    this.render(said);
  }

  change(what, said) {
    this.lift();
    this.strokes[what]();
    this.render(said);
  }

  // Pointers

  press(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.begin(this.point(event));
  }

  drag(event) {
    if (!event.isPrimary) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.move(this.point(each));
  }

  point({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((clientX - left) / width) * this.width, ((clientY - top) / height) * this.height];
  }

  // Strokes

  begin(point) {
    this.at = point;
    this.stroke = { kind: "stroke", points: [point], radius: this.radius, erase: this.erase };
    this.strokes.add(this.stroke);
    this.render();
  }

  move(point) {
    this.at = point;
    this.stroke?.points.push(point);
    if (this.stroke) this.draw();
    this.place();
  }

  lift() {
    if (!this.stroke) return;
    this.stroke = null;
    this.render(this.erase ? "Erased." : "Painted.");
  }

  // Keys

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = (Math.max(this.width, this.height) / STEPS) * (event.shiftKey ? 4 : 1);
    const [x, y] = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key] ?? [];
    if (x !== undefined) {
      this.move([within(this.at[0] + x, this.width), within(this.at[1] + y, this.height)]);
      this.say(`${percent(this.at[0] / this.width)} from the left, ${percent(this.at[1] / this.height)} from the top.`);
    } else if (event.key === " ") {
      if (!event.repeat) this.begin([...this.at]);
    } else if (event.key === "e" || event.key === "E") {
      this.lift();
      this.use(!this.erase);
      this.say(this.erase ? "Eraser." : "Brush.");
    } else if (event.key === "[" || event.key === "]") {
      this.size.value = Number(this.size.value) + (event.key === "[" ? -3 : 3);
      this.place();
      this.say(`Size ${this.size.value}.`);
    } else return;
    event.preventDefault();
  }

  shortcut(event) {
    const key = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
    event.preventDefault();
    const again = key === "y" || event.shiftKey;
    this.change(again ? "redo" : "undo", again ? "Redone." : "Undone.");
  }

  // What is seen

  draw() {
    drawn(this.strokes.done, this.canvas, this.width, this.colour);
  }

  render(said) {
    this.draw();
    this.undo.disabled = this.strokes.done.length === 0;
    this.redo.disabled = this.strokes.undone.length === 0;
    this.place();
    if (said) this.say(`${said} ${percent(share(this.canvas))} of the picture changes.`);
  }

  /** Shows the brush where it is. */
  place() {
    if (!this.at) return;
    const scale = this.canvas.clientWidth / this.width;
    const { style } = this.brush;
    style.width = style.height = `${2 * this.radius * scale}px`;
    style.left = `${this.at[0] * scale}px`;
    style.top = `${this.at[1] * scale}px`;
  }

  say(said) {
    text(this.status, said);
  }
}

const button = (name, onclick) => el("button", { class: "plain", type: "button", onclick }, name);

const within = (value, most) => Math.max(0, Math.min(most, value));

const percent = (part) => `${Math.round(100 * part)} %`;
