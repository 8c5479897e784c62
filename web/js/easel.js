// The selected picture, with its iterates as a filmstrip and the actions on its job.

import { showActions } from "./actions.js";
import { Compare } from "./compare.js";
import { attribute, byId, el, text } from "./dom.js";
import { picture } from "./pictures.js";
import { gain, percent, plural, residual, status } from "./words.js";

export class Easel {
  constructor(root, handlers) {
    this.root = root;
    this.handlers = handlers;
    this.work = null;
    this.layers = [el("img", { class: "layer", alt: "" }), el("img", { class: "layer", alt: "" })];
    this.canvas = el("div", { class: "canvas" }, ...this.layers);
    this.frame = el("figure", { class: "frame" }, this.canvas);
    this.blank = el("p", { class: "blank" }, el("strong"), " ");
    this.compare = new Compare();
    this.canvas.append(this.blank, this.compare.root);
    this.bar = el("progress", { class: "bar", max: 1, value: 0, "aria-label": "Rounds of those expected", hidden: true });
    this.title = byId("picture-title");
    this.state = el("p", { class: "state" });
    this.gain = el("p", { class: "gain" });
    this.facts = el("p", { class: "facts" });
    this.images = el("div", { class: "images", role: "group", "aria-label": "Images of this job" });
    this.film = el("ol", { class: "film", "aria-label": "Iterates" });
    this.actions = el("div", { class: "actions", role: "group", "aria-label": "What to do with it" });
    this.film.addEventListener("keydown", (event) => this.moveByKey(event));
    root.append(
      this.frame,
      this.compare.kinds,
      this.bar,
      this.images,
      this.film,
      el("div", { class: "label" }, this.title, this.state, this.gain, this.facts),
      this.actions,
    );
    this.render();
  }

  show(work) {
    this.work = work;
    this.displayed = undefined;
    for (const layer of this.layers) layer.classList.remove("on");
    this.film.replaceChildren();
    this.images.replaceChildren();
    work?.addEventListener("change", () => this.work === work && this.render());
    this.render();
  }

  render() {
    const { work } = this;
    const job = work?.job;
    this.title.classList.toggle("hidden", !job && !work?.missing);
    this.compare.render(job ? work : null);
    this.root.dataset.state = work?.missing ? "missing" : (job?.state ?? "empty");
    if (!job) {
      text(this.title, work?.missing ? "There is no such picture" : "Picture");
      text(this.state, work?.missing ?? "");
      text(this.gain, "");
      text(this.facts, "");
      this.bar.hidden = true;
      this.actions.replaceChildren();
      this.blank.hidden = false;
      text(this.blank.firstChild, work?.missing ? "No picture" : work ? "" : "An empty canvas");
      text(this.blank.lastChild, work ? "" : EMPTY);
      return;
    }
    text(this.title, job.request.prompt);
    text(this.state, status(job) + (job.state === "failed" && job.error ? `: ${job.error}` : ""));
    text(this.gain, gain(job, work.strip()));
    const { request } = job;
    const size = `${request.width} × ${request.height}`;
    const facts = [`seed ${work.imageFigures.seed}`, size, plural(request.steps, "step"), request.model];
    const notes = (job.warnings ?? []).map(({ field, message }) => `${field.replaceAll("_", " ")} ${message}`);
    text(this.facts, [...facts, ...notes].join(" · "));
    this.renderBar(job);
    this.renderPicture(job);
    this.renderImages(job);
    this.renderFilm(job);
    showActions(this.actions, work, this.handlers);
  }

  renderBar(job) {
    const { rounds, predicted_rounds: predicted } = this.work.imageFigures;
    const reached = Math.max(rounds, this.work.strip().at(-1)?.rounds ?? 0);
    this.bar.hidden = job.state !== "running";
    // Without a value the bar is indeterminate: there is no plan yet.
    attribute(this.bar, "value", predicted ? Math.min(0.97, reached / predicted) : null);
  }

  async renderPicture(job) {
    const { work } = this;
    const shown = work.shown;
    const name = shown && `${work.image}/${shown.iterate}`;
    this.blank.hidden = Boolean(shown);
    if (!shown) text(this.blank.firstChild, job.state === "queued" ? "In the queue" : job.state === "running" ? "Mixing colours" : "No picture");
    if (!shown) text(this.blank.lastChild, reasonForBlank(job));
    if (!shown) for (const layer of this.layers) layer.classList.remove("on");
    if (!shown || this.displayed === name) return;
    this.displayed = name;
    const address = await this.fetched(work, work.image, shown.iterate);
    if (!address || this.displayed !== name || this.work !== work) return;
    const [above, below] = this.layers;
    below.src = address;
    below.alt = alt(job, shown);
    await below.decode().catch(() => {});
    if (this.displayed !== name) return;
    below.classList.add("on");
    above.classList.remove("on");
    above.alt = "";
    this.layers.reverse();
    this.canvas.dataset.iterate = shown.iterate;
  }

  renderImages(job) {
    this.images.hidden = job.images.length < 2;
    if (this.images.hidden) return;
    for (const image of job.images) {
      const button =
        this.images.children[image.number] ??
        this.images.appendChild(
          el("button", { type: "button", class: "thumb", onclick: () => this.work.look(image.number, null) }, el("img", { alt: "" })),
        );
      const newest = this.work.newest(image.number);
      attribute(button, "aria-pressed", String(image.number === this.work.image));
      attribute(button, "aria-label", `Image ${image.number + 1} of ${job.images.length}, seed ${image.seed}`);
      attribute(button, "title", image.error ?? `Seed ${image.seed}`);
      if (newest) this.put(button.firstChild, image.number, newest.iterate);
    }
  }

  renderFilm(job) {
    const strip = this.work.strip();
    if (this.filmOf !== `${this.work.id}/${this.work.image}`) this.film.replaceChildren();
    this.filmOf = `${this.work.id}/${this.work.image}`;
    this.film.hidden = strip.length === 0;
    const shown = this.work.shown;
    const wasAtEnd = this.film.scrollLeft + this.film.clientWidth >= this.film.scrollWidth - 8;
    strip.forEach((iterate, place) => {
      let item = this.film.children[place];
      if (!item || Number(item.dataset.iterate) !== iterate.iterate) {
        item = this.frameOf(iterate);
        this.film.insertBefore(item, this.film.children[place] ?? null);
      }
      const button = item.firstChild;
      attribute(button, "aria-current", iterate === shown ? "true" : null);
      button.tabIndex = iterate === shown || (!shown && place === 0) ? 0 : -1;
      text(item.querySelector(".number"), iterate.final ? `${iterate.iterate} · final` : String(iterate.iterate));
      attribute(button, "aria-label", `Iterate ${iterate.iterate}${iterate.final ? ", final" : ""}, ${plural(iterate.rounds, "round")}`);
      const figures = `residual ${residual(iterate.residual)}, estimated error ${percent(iterate.error_estimate)}`;
      attribute(button, "title", `${plural(iterate.rounds, "round")}, ${figures}`);
    });
    if (wasAtEnd && this.work.pinned === null) this.film.scrollLeft = this.film.scrollWidth;
  }

  frameOf(iterate) {
    const image = el("img", { alt: "", loading: "lazy" });
    if (iterate.picture) this.put(image, iterate.image, iterate.iterate);
    const look = () => {
      const newest = this.work.newest()?.iterate === iterate.iterate;
      this.work.look(iterate.image, newest ? null : iterate.iterate);
    };
    const button = el("button", { type: "button", class: "still", disabled: !iterate.picture, onclick: look }, image, el("span", { class: "number" }));
    return el("li", { "data-iterate": iterate.iterate }, button);
  }

  /** The arrow keys, Home and End move from iterate to iterate. */
  moveByKey(event) {
    const stills = [...this.film.querySelectorAll("button:not([disabled])")];
    const at = stills.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: stills.length - 1 }[event.key];
    if (to === undefined || at < 0 || !stills[to]) return;
    event.preventDefault();
    stills[to].click();
    stills[to].focus();
  }

  async put(element, image, iterate) {
    const name = `${this.work.id}/${image}/${iterate}`;
    if (element.dataset.of === name) return;
    element.dataset.of = name;
    const address = await this.fetched(this.work, image, iterate);
    if (address && element.dataset.of === name) element.src = address;
    if (!address) delete element.dataset.of; // the next change retries
  }

  async fetched(work, image, iterate) {
    const { width, height } = work.job?.request ?? { width: 64, height: 64 };
    try {
      return await picture(work.id, image, iterate, Math.max(width, height));
    } catch {
      this.displayed = undefined; // the next change retries
      return null;
    }
  }
}

const EMPTY = "Ask for a picture. The first one is rough but whole, and comes almost at once; then it sharpens.";

const alt = (job, { iterate, final }) =>
  `${job.request.prompt}: ${final ? "the finished picture" : `iterate ${iterate}, ${iterate === 0 ? "rough" : "sharper"}`}`;

function reasonForBlank(job) {
  if (job.state === "queued") return "It starts as soon as a worker has room for it.";
  if (job.state === "running") return "The first picture is rough but whole. It comes in a moment.";
  return job.state === "failed" ? "It failed before its first one." : "It ended before its first one.";
}
