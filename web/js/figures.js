// The figures of the selected image: as numbers, plots, a schedule and a table.

import { attribute, byId, el, text } from "./dom.js";
import { plotErrors, plotRounds } from "./plot.js";
import { Schedule } from "./schedule.js";
import { percent, residual, seconds } from "./words.js";

const NUMBERS = {
  iterate: "Iterate",
  residual: "Residual",
  rounds: "Rounds",
  evaluations: "Evaluations",
  error: "Estimated error",
};

export class Figures {
  constructor(root) {
    this.root = root;
    this.values = Object.fromEntries(Object.keys(NUMBERS).map((name) => [name, el("dd")]));
    this.numbers = el(
      "dl",
      { class: "numbers" },
      ...Object.entries(NUMBERS).map(([name, title]) => el("div", {}, el("dt", {}, title), this.values[name])),
    );
    this.schedule = new Schedule();
    this.errors = el("div", { class: "plot" });
    this.rounds = el("div", { class: "plot" });
    this.rows = el("tbody");
    this.table = el(
      "details",
      { class: "folded" },
      el("summary", {}, "All iterates as a table"),
      el(
        "div",
        { class: "scroll", tabindex: 0, role: "region", "aria-label": "All iterates" },
        el(
          "table",
          {},
          el("thead", {}, el("tr", {}, ...["Iterate", "Residual", "Rounds", "Evaluations", "After", "Estimated error"].map((name) => el("th", { scope: "col" }, name)))),
          this.rows,
        ),
      ),
    );
    this.content = el(
      "div",
      { class: "content" },
      this.numbers,
      this.schedule.root,
      part("Residual", "How far each iterate moved from the one before; dashed: its estimated error", this.errors),
      part("Rounds", "Batched model calls until each iterate", this.rounds),
      this.table,
    );
    root.append(this.content);
    this.content.hidden = true;
  }

  show(work) {
    this.work = work;
    work?.addEventListener("change", () => this.work === work && this.render());
    this.render();
  }

  render() {
    const job = this.work?.job;
    // A job has no figures before it runs, or if it ended before its first picture.
    const any = Boolean(job) && (job.state === "running" || job.images.some(({ iterate }) => iterate !== null));
    this.content.hidden = !any;
    byId("intro").hidden = any;
    if (!any) return;
    const strip = this.work.strip();
    const shown = this.work.shown ?? strip.at(-1);
    const image = this.work.imageFigures;
    text(this.values.iterate, shown ? String(shown.iterate) : "–");
    text(this.values.residual, residual(shown?.residual));
    const expected = !this.work.ended && image.predicted_rounds > (shown?.rounds ?? 0) ? ` / ~${image.predicted_rounds}` : "";
    text(this.values.rounds, shown ? `${shown.rounds}${expected}` : "–");
    text(this.values.error, percent(shown?.error_estimate));
    text(this.values.evaluations, shown ? shown.evaluations.toLocaleString("en") : "–");
    this.schedule.render(job, image, strip);
    // Redrawn only when something has changed.
    const drawn = `${this.work.id}/${this.work.image}/${strip.length}/${shown?.iterate}/${image.predicted_rounds}/${job.state}/${job.request.tolerance}`;
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    this.errors.replaceChildren(plotErrors(job, strip, shown));
    this.rounds.replaceChildren(plotRounds(job, strip, shown));
    attribute(this.table, "hidden", strip.length === 0);
    this.rows.replaceChildren(
      ...strip.map((iterate) =>
        el(
          "tr",
          { "aria-current": iterate === shown ? "true" : null },
          el("th", { scope: "row" }, String(iterate.iterate)),
          el("td", {}, residual(iterate.residual)),
          el("td", {}, String(iterate.rounds)),
          el("td", {}, String(iterate.evaluations)),
          el("td", {}, seconds(iterate.elapsed)),
          el("td", {}, percent(iterate.error_estimate)),
        ),
      ),
    );
  }
}

const part = (title, hint, content) =>
  el("section", { class: "part" }, el("h3", {}, title), el("p", { class: "hint" }, hint), content);
