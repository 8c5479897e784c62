// A dialog that extends a picture beyond its borders.

import { el, text } from "./dom.js";
import { extended } from "./outpaint.js";

const SIDES = { left: "Left", top: "Top", right: "Right", bottom: "Bottom" };
const USUAL = 25; // percent, on every side

export class OutpaintEditor {
  constructor() {
    this.image = el("img", { alt: "", hidden: true });
    this.stage = el("div", { class: "outpaint-stage", role: "img" });
    this.sliders = Object.fromEntries(Object.keys(SIDES).map((side) => [side, slider(side, () => this.render())]));
    this.hint = el("p", { class: "hint" });
    this.use = el("button", { class: "primary", type: "button", onclick: () => this.finish() }, "Extend it");
    this.dialog = el(
      "dialog",
      { class: "mask-editor", "aria-labelledby": "outpaint-title" },
      el("h2", { id: "outpaint-title" }, "Extend the picture"),
      this.hint,
      this.stage,
      el(
        "div",
        { class: "outpaint-sides", role: "group", "aria-label": "How far, of its width or height" },
        ...Object.entries(SIDES).map(([side, name]) =>
          el("div", { class: "brush-size" }, el("label", { for: `outpaint-${side}` }, name), this.sliders[side]),
        ),
      ),
      el("div", { class: "row" }, this.use, el("button", { class: "plain", type: "button", onclick: () => this.dialog.close() }, "Cancel")),
    );
    this.dialog.addEventListener("close", () => this.dialog.remove());
  }

  /** Opens for a picture {url}. `done(picture, mask)` gets two canvases; see outpaint.js for `square`. */
  async open({ url }, square, done) {
    this.done = done;
    this.square = square;
    for (const input of Object.values(this.sliders)) input.value = USUAL;
    text(this.hint, square ? `${MEANING} The model makes squares only, so that the picture becomes smaller in its frame.` : MEANING);
    this.image.src = url;
    await this.image.decode();
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.colour = getComputedStyle(this.dialog).getPropertyValue("--mask");
    this.sliders.left.focus();
    this.render();
  }

  render() {
    const border = Object.fromEntries(Object.entries(this.sliders).map(([side, { value }]) => [side, value / 100]));
    const { picture, mask } = (this.made = extended(this.image, border, this.square, this.colour));
    this.use.disabled = Object.values(border).every((side) => side === 0) && !this.square;
    this.stage.style.setProperty("--shape", picture.width / picture.height);
    this.stage.style.aspectRatio = `${picture.width} / ${picture.height}`;
    this.stage.setAttribute("aria-label", `The picture on a canvas of ${picture.width} by ${picture.height} pixels`);
    mask.className = "new";
    this.stage.replaceChildren(picture, mask);
    for (const [side, input] of Object.entries(this.sliders)) input.setAttribute("aria-valuetext", `${input.value} % ${side}`);
  }

  finish() {
    this.done(this.made.picture, this.made.mask);
    this.dialog.close();
  }
}

const MEANING = "What is outside of the picture is made anew.";

const slider = (side, oninput) => el("input", { id: `outpaint-${side}`, type: "range", min: 0, max: 100, step: 5, oninput });
