// How much of a picture changes: a slider that says what is kept.

import { attribute, el, text } from "./dom.js";

// Those of contract/fields.py, which a test compares.
const USUAL = 0.6;
const USUAL_WITH_MASK = 1;

// What is kept at most at a strength.
const KEPT = [
  [0.2, "Keeps nearly everything; fine details change."],
  [0.4, "Keeps the main shapes and colours."],
  [0.6, "Keeps where things are, and roughly their colours."],
  [0.8, "Keeps a trace of it."],
  [1, "Keeps next to nothing."],
];

export class Strength {
  constructor() {
    this.input = el("input", {
      id: "field-strength",
      name: "strength",
      type: "range",
      min: 0.05,
      max: 1,
      step: 0.05,
      "aria-describedby": "hint-strength error-strength",
      oninput: () => {
        this.touched = true;
        this.render();
      },
    });
    this.number = el("output", { for: "field-strength" });
    this.hint = el("p", { class: "hint", id: "hint-strength" });
    this.root = el(
      "div",
      { class: "field strength" },
      el("div", { class: "pair" }, el("label", { for: "field-strength" }, "Strength"), this.number),
      this.input,
      el("p", { class: "error", id: "error-strength" }),
      this.hint,
    );
    this.forget();
  }

  get value() {
    return Number(this.input.value);
  }

  set(value) {
    this.input.value = value;
    this.touched = true;
    this.render();
  }

  /** Goes back to the value that the server takes by default. */
  forget() {
    this.touched = false;
    this.masked(false);
  }

  /** Whether only a part of the picture changes. */
  masked(whether) {
    this.ofPart = whether;
    if (!this.touched) this.input.value = whether ? USUAL_WITH_MASK : USUAL;
    this.render();
  }

  render() {
    const [, kept] = KEPT.find(([most]) => this.value <= most);
    text(this.number, String(this.value));
    text(this.hint, this.ofPart ? `In the painted part: ${kept.charAt(0).toLowerCase()}${kept.slice(1)}` : kept);
    attribute(this.input, "aria-valuetext", `${this.value}. ${this.hint.textContent}`);
  }
}
