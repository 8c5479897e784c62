// The part of the picture to begin with that changes: drawn in an editor, and uploaded.

import * as api from "./api.js";
import { announce, el, text } from "./dom.js";
import { MaskEditor } from "./mask-editor.js";
import { failed } from "./notices.js";
import { png, stepOf } from "./strokes.js";
import { sentence } from "./words.js";

export class Mask extends EventTarget {
  /** `more`: another button, for a picture without a mask. */
  constructor(more) {
    super(); // "change": there is another mask, or none
    this.more = more;
    this.given = null; // the picture that it is for
    this.taken = true; // by the model
    this.veil = el("div", { class: "veil", hidden: true });
    this.draw = el("button", { class: "plain", id: "field-mask", type: "button", "aria-describedby": "error-mask", onclick: () => this.edit() });
    this.removal = el("button", { class: "quiet", type: "button", onclick: () => this.remove() }, "All of it");
    this.buttons = el("div", { class: "buttons" }, this.draw, more, this.removal);
    this.error = el("p", { class: "error", id: "error-mask", role: "alert" });
    this.use(null);
  }

  /** What of a request is about the mask. */
  get request() {
    return this.address && this.taken ? { mask: this.address } : {};
  }

  /** Forgets the mask: there is another picture {url, width, height}, or none. */
  use(given) {
    this.given = given;
    this.steps = [];
    this.set(null, null);
  }

  useModel(card) {
    this.taken = card.fields.some(({ name }) => name === "mask");
    this.render();
  }

  edit() {
    this.editor ??= new MaskEditor();
    this.editor.open(this.given, this.steps, (steps) => this.take(steps));
  }

  /** Uploads the mask that these steps draw; without any, all of the picture changes. */
  take(steps) {
    this.steps = steps;
    if (!steps.length) return this.set(null, null);
    const { given } = this;
    this.work = png(steps, given.width, given.height)
      .then(async (blob) => {
        const { id } = await api.upload(blob);
        if (this.given === given && this.steps === steps) this.set(id, blob);
      })
      .catch((error) => this.given === given && this.refused(error, () => this.take(steps)))
      .finally(() => (this.work = null));
    return this.work;
  }

  /** Takes the mask that a job had. */
  async restore(address, path) {
    const { given } = this;
    try {
      const blob = await api.picture(path, "image/png");
      const steps = [await stepOf(blob)];
      if (this.given !== given) return;
      this.steps = steps;
      this.set(address, await png(steps, given.width, given.height));
    } catch (error) {
      this.refused(error, () => this.restore(address, path));
    }
  }

  refused(error, again) {
    this.set(null, null);
    if (error instanceof api.Unreachable) text(this.error, "It was not sent: the server does not answer.");
    else if (!(error instanceof api.Problem) || error.status === 401 || error.retryAfter !== null) failed("upload", error, again);
    else text(this.error, error.fields.length ? sentence(error.fields[0].message) : error.message);
  }

  remove() {
    this.steps = [];
    this.set(null, null);
    this.draw.focus();
    announce("All of the picture changes.");
  }

  set(address, blob) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.address = address;
    this.url = blob && URL.createObjectURL(blob);
    this.veil.style.setProperty("--by", this.url ? `url("${this.url}")` : "none");
    text(this.error, "");
    this.render();
    this.dispatchEvent(new Event("change"));
  }

  render() {
    this.buttons.hidden = this.error.hidden = !this.given || !this.taken;
    this.veil.hidden = !this.address || !this.taken;
    this.removal.hidden = !this.address;
    this.more.hidden = Boolean(this.address);
    text(this.draw, this.address ? "Change the part" : "Change only a part");
  }
}
