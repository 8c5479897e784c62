// Before and after: a slider over the picture, on whose left the one before is seen.

import { guest, inputPath, picture as fetched } from "./api.js";
import { attribute, el, text } from "./dom.js";
import { failed } from "./notices.js";
import { picture } from "./pictures.js";

const NAMES = { input: "What it began with", first: "The first iterate" };

/** What the selected picture of a job can be compared with. Share links do not open what a job began with. */
export function befores(work) {
  const { shown } = work;
  const all = { input: shown && work.job.request.image && !guest(), first: shown && first(work).iterate < shown.iterate };
  return Object.keys(all).filter((kind) => all[kind]);
}

const first = (work) => work.strip().find(({ picture }) => picture !== null);

export class Compare {
  constructor() {
    this.image = el("img", { class: "before", alt: "" });
    this.slider = el("input", { type: "range", min: 0, max: 100, "aria-label": "How much is seen of the picture before", oninput: () => this.move() });
    this.names = [el("span", { class: "tag" }), el("span", { class: "tag" })];
    this.pair = el("div", { class: "pair-of" }, this.image, el("div", { class: "divider" }), ...this.names, this.slider);
    this.root = el("div", { class: "compare", hidden: true }, this.pair);
    this.kinds = el("div", { class: "kinds", role: "group", "aria-label": "Compare with", hidden: true });
  }

  /** Shows what `work` is to be compared with, over its picture. */
  render(work) {
    const possible = work?.before ? befores(work) : [];
    const kind = possible.includes(work?.before) ? work.before : possible[0];
    this.root.hidden = !kind;
    this.kinds.hidden = possible.length < 2;
    if (!kind) return this.forget();
    const { width, height } = work.job.request;
    this.pair.style.aspectRatio = `${width} / ${height}`;
    this.pair.classList.toggle("upright", height > width);
    text(this.names[0], kind === "input" ? "Before" : `Iterate ${first(work).iterate}`);
    text(this.names[1], work.shown.final ? "Final" : `Iterate ${work.shown.iterate}`);
    this.renderKinds(work, possible, kind);
    this.put(work, kind);
    this.move();
  }

  renderKinds(work, possible, kind) {
    for (const [place, each] of possible.entries()) {
      const button = this.kinds.children[place] ?? this.kinds.appendChild(el("button", { class: "quiet", type: "button" }));
      text(button, NAMES[each]);
      button.onclick = () => work.compareWith(each);
      attribute(button, "aria-pressed", String(each === kind));
    }
  }

  async put(work, kind) {
    const name = `${work.id}/${kind === "input" ? kind : work.image}`;
    if (this.name === name) return;
    this.forget();
    this.name = name;
    this.slider.value = 50;
    try {
      const { width, height } = work.job.request;
      const url =
        kind === "input"
          ? URL.createObjectURL(await fetched(inputPath(work.id, "image"), "image/png"))
          : await picture(work.id, work.image, first(work).iterate, Math.max(width, height));
      if (this.name === name) this.image.src = url;
      if (kind === "input" && this.name === name) this.own = url;
    } catch (error) {
      if (this.name === name) this.name = null; // the next change retries
      failed("move", error, () => this.put(work, kind));
    }
  }

  forget() {
    this.name = null;
    if (this.own) URL.revokeObjectURL(this.own);
    this.own = null;
    this.image.removeAttribute("src");
  }

  move() {
    const { value } = this.slider;
    this.pair.style.setProperty("--at", `${value}%`);
    const [before, after] = this.names.map(({ textContent }) => textContent);
    attribute(this.slider, "aria-valuetext", `${value} % ${before}, ${100 - value} % ${after}`);
  }
}
