// The form: a prompt, examples to try, and the settings folded away.

import * as api from "./api.js";
import { attribute, announce, byId, el, text } from "./dom.js";
import { FIELDS } from "./fields.js";
import { dismiss, failed } from "./notices.js";

const CHIPS = 6;

export class Composer {
  /** `onSubmitted(job)` gets each job that was accepted. */
  constructor(form, onSubmitted) {
    this.form = form;
    this.onSubmitted = onSubmitted;
    this.models = [];
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
    this.settings = el("div", { class: "settings" }, this.modelField, ...Object.keys(FIELDS).map((name) => field(name)));
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
    byId("field-method").addEventListener("change", () => this.useMethod());
    this.settings.addEventListener("input", (event) => this.complain(event.target.name, ""));
  }

  /** Offers these models; what was typed in stays. */
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
    const { defaults, limits, description, example_prompts: examples } = this.card;
    text(this.modelHint, description);
    this.prompt.maxLength = limits.max_prompt_characters;
    byId("field-negative_prompt").maxLength = limits.max_prompt_characters;
    for (const [name, { range, initial, empty }] of Object.entries(FIELDS)) {
      const input = byId(`field-${name}`);
      if (range) [input.min, input.max, input.step] = range(limits);
      if (range) input.placeholder = empty ?? "";
      if (input.dataset.touched !== "true") input.value = defaults[name] ?? initial ?? "";
    }
    const oneSize = limits.min_size === limits.max_size;
    for (const name of ["width", "height"]) byId(`field-${name}`).closest(".field").hidden = oneSize;
    this.chips.replaceChildren(
      ...examples.slice(0, CHIPS).map((example) =>
        el("button", { class: "chip", type: "button", onclick: () => this.write(example) }, example),
      ),
    );
    this.useMethod();
  }

  useMethod() {
    const method = byId("field-method").value;
    for (const [name, { without }] of Object.entries(FIELDS))
      if (without) byId(`field-${name}`).disabled = without.includes(method);
    this.draft.disabled = FIELDS.max_iterations.without.includes(method);
  }

  write(prompt) {
    this.prompt.value = prompt;
    this.complain("prompt", "");
    this.prompt.focus();
  }

  /** Fills the form with the request of a job, the seed included. */
  reuse(request) {
    this.write(request.prompt);
    if (this.models.some(({ id }) => id === request.model)) this.model.value = request.model;
    for (const name of Object.keys(FIELDS)) {
      const input = byId(`field-${name}`);
      input.value = request[name] ?? "";
      input.dataset.touched = "true";
    }
    this.useModel();
    this.folded.open = true;
    announce("The settings and the seed of this picture are in the form.");
  }

  wanted(draft) {
    const wanted = { prompt: this.prompt.value };
    if (this.card) wanted.model = this.card.id; // else the server has not told yet, and takes its default
    for (const [name, { range }] of Object.entries(FIELDS)) {
      const input = byId(`field-${name}`);
      if (!input.disabled && input.value !== "") wanted[name] = range ? Number(input.value) : input.value;
    }
    if (draft) wanted.max_iterations = 1;
    return wanted;
  }

  async send(draft) {
    if (this.sending) return;
    for (const name of ["prompt", ...Object.keys(FIELDS)]) this.complain(name, "");
    dismiss("submit");
    if (!this.prompt.value.trim()) return this.refused([{ field: "prompt", message: "Say what the picture shows." }]);
    const unreadable = [...this.settings.querySelectorAll("input")].filter((input) => input.validity.badInput);
    if (unreadable.length)
      return this.refused(unreadable.map(({ name }) => ({ field: name, message: "must be a number" })));
    this.busy(true);
    try {
      this.onSubmitted(await api.submit(this.wanted(draft), unique()));
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

  /** Each fault beside its field, and the first one in focus. */
  refused(faults, problem) {
    const unknown = faults.filter(({ field, message }) => !this.complain(field, message));
    const first = faults.map(({ field }) => this.input(field)).find(Boolean);
    if (first && first !== this.prompt) this.folded.open = true;
    first?.focus();
    if (unknown.length && problem) failed("submit", new api.Problem(problem.status, { detail: problem.message }, null));
  }

  input(name) {
    return name === "prompt" ? this.prompt : byId(`field-${name}`);
  }

  complain(name, message) {
    const input = this.input(name);
    if (!input) return false;
    attribute(input, "aria-invalid", message && "true");
    const sentence = message && !/^[A-Z]/.test(message) ? `This ${message}.` : message;
    text(byId(name === "prompt" ? "prompt-error" : `error-${name}`), sentence);
    return true;
  }
}

function field(name) {
  const { label, hint, options, wide } = FIELDS[name];
  const shared = {
    id: `field-${name}`,
    name,
    "aria-describedby": `hint-${name} error-${name}`,
    oninput: (event) => (event.target.dataset.touched = "true"),
  };
  const input = options
    ? el("select", shared, ...Object.entries(options).map(([value, title]) => el("option", { value }, title)))
    : el("input", { ...shared, autocomplete: "off", ...(FIELDS[name].range ? { type: "number", inputmode: "decimal" } : {}) });
  return el(
    "div",
    { class: wide ? "field wide" : "field" },
    el("label", { for: `field-${name}` }, label),
    input,
    el("p", { class: "error", id: `error-${name}` }),
    el("p", { class: "hint", id: `hint-${name}` }, hint),
  );
}

/** A name for one request, also where the page is not served securely and crypto.randomUUID is missing. */
const unique = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
