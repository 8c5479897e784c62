// The picture that the next one begins with: chosen, dropped or pasted, which uploads it, or one that is here already.

import * as api from "./api.js";
import { announce, el, text } from "./dom.js";
import { madeOf } from "./dropped.js";
import { Mask } from "./mask.js";
import { OutpaintEditor } from "./outpaint-editor.js";
import { failed } from "./notices.js";
import { Strength } from "./strength.js";
import { sentence } from "./words.js";

const KINDS = "image/png,image/jpeg,image/webp";

export class Begin extends EventTarget {
  /** `reuse(made)` gets the request of a picture that says how it was made, if the user wants that instead. */
  constructor(reuse) {
    super(); // "change": there is another picture, or none
    this.given = null; // {address, url, width, height, name}
    this.card = null;
    this.strength = new Strength();
    this.mask = new Mask(el("button", { class: "quiet", type: "button", onclick: () => this.extend() }, "Extend it"));
    this.mask.addEventListener("change", () => this.strength.masked(this.mask.address !== null));
    this.file = el("input", { type: "file", accept: KINDS, hidden: true, onchange: () => this.chosen() });
    this.choose = el("button", {
      class: "plain",
      id: "field-image",
      type: "button",
      "aria-describedby": "hint-image error-image",
      onclick: () => this.file.click(),
    });
    this.removal = el("button", { class: "quiet", type: "button", onclick: () => this.remove() }, "Remove");
    this.settings = el("button", { class: "quiet", type: "button", onclick: () => reuse(this.made) }, "Use its settings");
    this.thumbnail = el("img", { alt: "" });
    this.name = el("p", { class: "name" });
    this.figures = el("p", { class: "hint" });
    this.picture = el("div", { class: "given" }, el("div", { class: "thumbnail" }, this.thumbnail, this.mask.veil), el("div", { class: "words" }, this.name, this.figures));
    this.error = el("p", { class: "error", id: "error-image", role: "alert" });
    this.buttons = el("div", { class: "buttons" }, this.choose, this.settings, this.removal);
    this.hint = el("p", { class: "hint", id: "hint-image" });
    this.root = el(
      "div",
      { class: "begin", role: "group", "aria-label": "Picture to begin with" },
      this.file,
      this.picture,
      this.buttons,
      this.error,
      this.hint,
      this.mask.buttons,
      this.mask.error,
      this.strength.root,
    );
    this.render();
  }

  /** What of a request is about the picture. */
  get request() {
    if (!this.given || !this.isTaken) return {};
    return { image: this.given.address, ...this.mask.request, strength: this.strength.value };
  }

  /** Whether the selected model begins with pictures. */
  get isTaken() {
    return !this.card || this.card.fields.some(({ name }) => name === "image");
  }

  useModel(card) {
    this.card = card;
    this.mask.useModel(card);
    this.render();
  }

  chosen() {
    const [file] = this.file.files;
    this.file.value = ""; // so that the same file can be chosen again
    if (file) this.takeFile(file);
  }

  /** Uploads a file, and begins with it. */
  takeFile(file) {
    const find = async (signal) => {
      const [uploaded] = await Promise.all([this.isTaken && api.upload(file, signal), this.look(file, signal)]);
      const { id, width, height } = uploaded;
      return id && { address: id, url: URL.createObjectURL(file), width, height, name: file.name || "A pasted picture" };
    };
    return this.begin(find, () => this.takeFile(file));
  }

  /** Looks whether a file says how its picture was made. */
  async look(file, signal) {
    const made = await madeOf(file);
    if (signal.aborted) return;
    this.made = made;
    this.render();
  }

  /** Begins with a picture that the server has: `address` for the request, `path` to see it. */
  take(address, path, name) {
    const find = async (signal) => {
      const url = URL.createObjectURL(await api.picture(path, "image/png", signal));
      return { address, url, ...(await sizeOf(url)), name };
    };
    return this.begin(find, () => this.take(address, path, name));
  }

  /** Begins with the picture that `find(signal)` resolves to, in place of the one that was there. */
  begin(find, again) {
    const { signal } = this.clear();
    const finding = async () => {
      try {
        const given = await find(signal);
        if (given && !signal.aborted) this.give(given);
      } catch (error) {
        if (!signal.aborted) this.refused(error, again);
      }
      if (signal.aborted) return;
      this.work = null;
      this.render();
    };
    this.work = finding();
    this.render();
    return this.work;
  }

  /** Waits for what is being sent. Returns whether it was taken. */
  async settled() {
    const { work } = this;
    await work;
    const drawing = this.mask.work;
    await drawing;
    return !(work && this.message) && !(drawing && !this.mask.address);
  }

  /** Begins with an iterate of a job, without an upload. */
  takeIterate(id, image, iterate, prompt) {
    const path = api.picturePath(id, image, iterate);
    return this.take(`/${path}`, path, prompt);
  }

  /** Begins as a job did. */
  async reuse(request, job) {
    if (!request.image) return this.remove();
    await this.take(request.image, api.inputPath(job, "image"), "The picture that it began with");
    if (this.given && request.mask) await this.mask.restore(request.mask, api.inputPath(job, "mask"));
    if (this.given) this.strength.set(request.strength);
    else if (this.message) this.message = GONE;
    this.render();
  }

  /** Puts the picture on a larger canvas, with a mask for what is new on it. */
  extend() {
    const { given } = this;
    const square = this.card.limits.min_size === this.card.limits.max_size;
    this.outpainting ??= new OutpaintEditor();
    this.outpainting.open(given, square, async (picture, mask) => {
      const blob = await new Promise((resolve) => picture.toBlob(resolve, "image/png"));
      const file = new File([blob], `${given.name}, extended`, { type: "image/png" });
      await this.takeFile(file);
      if (this.given) this.mask.take([{ kind: "mask", image: mask }]);
    });
  }

  give(given) {
    this.given = given;
    this.thumbnail.src = given.url;
    this.mask.use(given);
    announce("The next picture begins with this one.");
    this.dispatchEvent(new Event("change"));
  }

  refused(error, again) {
    if (error instanceof api.Unreachable) this.message = "It was not sent: the server does not answer.";
    else if (!(error instanceof api.Problem) || error.status === 401 || error.retryAfter !== null) failed("upload", error, again);
    else this.message = error.fields.length ? sentence(error.fields[0].message) : error.message;
  }

  /** Forgets the picture, and what is still being done for it. Returns an aborter for the next one. */
  clear() {
    this.aborter?.abort();
    if (this.given) URL.revokeObjectURL(this.given.url);
    const had = this.given !== null;
    this.given = this.made = null;
    this.message = "";
    this.work = null;
    this.thumbnail.removeAttribute("src");
    this.strength.forget();
    this.mask.use(null);
    if (had) this.dispatchEvent(new Event("change"));
    this.aborter = new AbortController();
    return this.aborter;
  }

  remove() {
    const hadFocus = this.root.contains(document.activeElement);
    this.clear();
    this.render();
    if (hadFocus) this.choose.focus();
  }

  render() {
    const { given, made, isTaken } = this;
    const model = this.card?.title;
    this.root.hidden = !isTaken && !given && !made;
    this.picture.hidden = !given;
    text(this.name, given?.name ?? "");
    text(this.figures, given ? `${given.width} × ${given.height}` : "");
    this.choose.hidden = !isTaken;
    text(this.choose, this.work ? "Sending" : given ? "Another" : "Begin with a picture");
    this.removal.hidden = !given && !made;
    this.settings.hidden = !made;
    text(this.error, this.message || (isTaken ? "" : `${model} begins with no picture.`));
    text(this.hint, made ? MADE : given ? "" : OFFER);
    this.strength.root.hidden = !given || !isTaken;
  }
}

const GONE = "The picture that it began with is not here: give it again.";
const OFFER = "Or drop or paste one, or take one from the gallery. One that was made here can give its settings instead.";
const MADE = "This picture says how it was made: instead of beginning with it, you can take its settings into the form.";

async function sizeOf(url) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  return { width: picture.naturalWidth, height: picture.naturalHeight };
}
