// The form: a prompt, example prompts, a picture to begin with, and the settings, which are folded away at first.

import * as api from "./api.js";
import { Begin } from "./begin.js";
import { attribute, announce, byId, el, text } from "./dom.js";
import { fieldElement, valueOf } from "./fields.js";
import { dismiss, failed } from "./notices.js";
import { sentence } from "./words.js";

const EXAMPLES = 6;

export class Composer {
  /** `onSubmitted(job)` gets each job that was accepted. */
  constructor(form, onSubmitted) {
    this.form = form;
    this.onSubmitted = onSubmitted;
    this.models = [];
    this.fields = []; // of the selected model, in the settings
    this.begin = new Begin(({ request, job }) => this.reuse(request, job));
    this.begin.addEventListener("change", () => this.fitSize());
    this.build();
  }

  build() {
    this.prompt = el("textarea", {
      id: "prompt",
      rows: 2,
      placeholder: "Describe a picture",
      autocomplete: "off",
      "aria-describedby": "prompt-error",
      enterkeyhint: "go",
    });
    this.chips = el("div", { class: "chips", role: "group", "aria-label": "Examples" });
    this.model = el("select", { id: "model", onchange: () => this.useModel() });
    this.modelField = el("div", { class: "field wide" }, el("label", { for: "model" }, "Model"), this.model);
    this.modelHint = el("p", { class: "hint" });
    this.modelField.append(this.modelHint);
    this.settings = el("div", { class: "settings" }, this.modelField);
    this.folded = el("details", { class: "folded" }, el("summary", {}, "Settings"), this.settings);
    this.paint = el("button", { class: "primary", type: "submit", "aria-keyshortcuts": "Enter" }, "Paint");
    this.draft = el(
      "button",
      { class: "plain", type: "button", onclick: () => this.send(true), "aria-describedby": "draft-hint" },
      "Draft",
    );
    this.form.append(
      el("label", { for: "prompt", class: "prompt-label" }, "What should it show?"),
      this.prompt,
      el("p", { class: "error", id: "prompt-error" }),
      this.chips,
      this.begin.root,
      this.folded,
      el("div", { class: "row" }, this.paint, this.draft),
      el("p", { class: "hint", id: "draft-hint" }, "A draft stops after its first refinement. Refine it if you like it."),
    );
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send(false);
    });
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send(false);
    });
    this.prompt.addEventListener("input", () => this.complain("prompt", ""));
    this.settings.addEventListener("change", (event) => event.target.name === "method" && this.useMethod());
    this.settings.addEventListener("input", (event) => this.complain(event.target.name, ""));
    this.begin.root.addEventListener("input", (event) => event.target.name && this.complain(event.target.name, ""));
  }

  /** Offers these models. Inputs that the user has changed keep their values. */
  offer(models) {
    this.models = models;
    const before = this.model.value;
    this.model.replaceChildren(...models.map(({ id, title }) => el("option", { value: id }, title)));
    this.model.value = models.some(({ id }) => id === before) ? before : models[0].id;
    this.useModel();
  }

  get card() {
    return this.models.find(({ id }) => id === this.model.value);
  }

  useModel() {
    const { fields, description, example_prompts: examples } = this.card;
    const touched = new Map(this.inputs().filter(({ dataset }) => dataset.touched).map(({ name, value }) => [name, value]));
    text(this.modelHint, description);
    this.prompt.maxLength = fields.find(({ name }) => name === "prompt").max_length;
    this.fields = fields.filter(({ name, label }) => label !== null && name !== "strength");
    this.settings.replaceChildren(this.modelField, ...this.fields.map(fieldElement));
    for (const input of this.inputs()) if (touched.has(input.name)) setValue(input, touched.get(input.name));
    this.chips.replaceChildren(
      ...examples.slice(0, EXAMPLES).map((example) =>
        el("button", { class: "chip", type: "button", onclick: () => this.write(example) }, example),
      ),
    );
    this.begin.useModel(this.card);
    this.fitSize();
    this.useMethod();
  }

  /** A job that begins with a picture has its shape, unless the user gives another. */
  fitSize() {
    const { given, isTaken } = this.begin;
    for (const { name, default: usual } of this.fields.filter(({ name }) => ["width", "height"].includes(name))) {
      const input = this.input(name);
      if (input.dataset.touched) continue;
      input.value = given && isTaken ? "" : usual;
      input.placeholder = given && isTaken ? "as the picture" : "";
    }
  }

  useMethod() {
    const method = this.input("method").value;
    for (const { name, methods } of this.fields) this.input(name).disabled = !methods.includes(method);
    this.draft.disabled = this.input("max_iterations")?.disabled ?? true; // a draft needs it
  }

  write(prompt) {
    this.prompt.value = prompt;
    this.complain("prompt", "");
    this.prompt.focus();
  }

  /** Begins with an iterate of a job. Its prompt is a proposal. */
  async beginWith(job, image, iterate) {
    if (!this.prompt.value) this.prompt.value = job.request.prompt;
    this.prompt.focus();
    await this.begin.takeIterate(job.id, image, iterate, job.request.prompt);
  }

  /** Fills the form with the request of a job, the seed and the picture that it begins with included. */
  async reuse(request, job) {
    this.write(request.prompt);
    if (this.models.some(({ id }) => id === request.model)) this.model.value = request.model;
    this.useModel();
    for (const { name } of this.fields) setValue(this.input(name), String(request[name] ?? ""));
    this.useMethod();
    this.folded.open = true;
    await this.begin.reuse(request, job);
    announce("The settings and the seed of this picture are in the form.");
  }

  request(draft) {
    const request = { prompt: this.prompt.value, ...this.begin.request };
    if (this.card) request.model = this.card.id; // without a list of models, the server takes its default
    for (const field of this.fields) {
      const input = this.input(field.name);
      const value = valueOf(field, input);
      if (!input.disabled && value !== undefined) request[field.name] = value;
    }
    if (draft) request.max_iterations = 1;
    return request;
  }

  async send(draft) {
    if (this.sending) return;
    for (const name of ["prompt", "image", "mask", "strength", ...this.fields.map(({ name }) => name)]) this.complain(name, "");
    dismiss("submit");
    if (!this.prompt.value.trim()) return this.refused([{ field: "prompt", message: "Say what the picture shows." }]);
    const unreadable = this.inputs().filter(({ validity }) => validity.badInput);
    if (unreadable.length)
      return this.refused(unreadable.map(({ name }) => ({ field: name, message: "must be a number" })));
    this.busy(true);
    try {
      if (!(await this.begin.settled())) return;
      this.onSubmitted(await api.submit(this.request(draft), unique()));
    } catch (error) {
      if (error instanceof api.Problem && error.fields.length) this.refused(error.fields, error);
      else failed("submit", error, () => this.send(draft));
    } finally {
      this.busy(false);
    }
  }

  busy(whether) {
    this.sending = whether;
    attribute(this.form, "aria-busy", whether && "true");
    text(this.paint, whether ? "Sending" : "Paint");
  }

  /** Shows each error beside its field, and focuses the first one. */
  refused(errors, problem) {
    const unknown = errors.filter(({ field, message }) => !this.complain(field, message));
    const first = errors.map(({ field }) => this.input(field)).find(Boolean);
    if (this.folded.contains(first)) this.folded.open = true;
    first?.focus();
    if (unknown.length && problem) failed("submit", new api.Problem(problem.status, { detail: problem.message }, null));
  }

  /** The inputs of the settings, without the model. */
  inputs() {
    return [...this.settings.querySelectorAll("[name]")];
  }

  input(name) {
    return name === "prompt" ? this.prompt : byId(`field-${name}`);
  }

  complain(name, message) {
    const input = this.input(name);
    if (!input) return false;
    attribute(input, "aria-invalid", message && "true");
    text(byId(name === "prompt" ? "prompt-error" : `error-${name}`), sentence(message));
    return true;
  }
}

/** Sets a value as if the user had; a select keeps its own if it does not have that option. */
function setValue(input, value) {
  const before = input.value;
  input.value = value;
  if (input.selectedIndex === -1) input.value = before;
  input.dataset.touched = "true";
}

/** An idempotency key. crypto.randomUUID is missing if the page is not served securely. */
export const unique = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
