// Past jobs, newest first, a page at a time.

import * as api from "./api.js";
import { connection, isReachable } from "./connection.js";
import { attribute, el, svg, text } from "./dom.js";
import { ended } from "./follow.js";
import { failed } from "./notices.js";
import { picture } from "./pictures.js";
import { ago, stateName } from "./words.js";

const PAGE = 12;
const POLL_INTERVAL = 4000; // ms, while one of the jobs has not ended

export class Gallery {
  /** `begin(job, iterate)` is called to begin the next picture with one of these. */
  constructor(root, begin) {
    this.begin = begin;
    this.cursor = null;
    this.jobs = new Map(); // by id; the newest first
    this.current = null;
    this.grid = el("ul", { class: "grid" });
    this.empty = el("p", { class: "hint" }, "Nothing yet. What you paint is kept here.");
    this.more = el("button", { class: "plain", type: "button", hidden: true, onclick: () => this.older() }, "Show older");
    root.append(this.empty, this.grid, this.more);
    addEventListener("focus", () => this.refresh());
    connection.addEventListener("change", () => isReachable() && this.refresh());
    setInterval(() => this.busy() && !document.hidden && isReachable() && this.refresh(), POLL_INTERVAL);
  }

  busy() {
    return [...this.jobs.values()].some((job) => !ended(job));
  }

  /** Reads the newest page again. Older pages that were read stay. */
  async refresh() {
    if (this.reading || api.guest()) return;
    this.reading = true;
    try {
      const { jobs, next_cursor: cursor } = await api.jobs(null, PAGE);
      const known = jobs.some(({ id }) => this.jobs.has(id));
      if (!known || this.jobs.size <= PAGE) {
        this.jobs.clear(); // all jobs are on this page, or there is a gap between it and the known ones
        this.cursor = cursor;
      }
      this.merge(jobs, true);
    } catch (error) {
      if (!(error instanceof api.Unreachable) && !(error instanceof api.Problem && error.status === 429)) failed("gallery", error, () => this.refresh());
    } finally {
      this.reading = false;
    }
  }

  async older() {
    attribute(this.more, "disabled", true);
    try {
      const { jobs, next_cursor: cursor } = await api.jobs(this.cursor, PAGE);
      this.cursor = cursor;
      this.merge(jobs, false);
      this.grid.children[this.jobs.size - jobs.length]?.querySelector("a")?.focus();
    } catch (error) {
      failed("gallery", error, () => this.older());
    } finally {
      attribute(this.more, "disabled", false);
    }
  }

  /** Shows the current state of a job. */
  update(job) {
    if (this.jobs.has(job.id)) this.merge([job], false);
    else this.merge([job], true);
  }

  remove(id) {
    this.jobs.delete(id);
    this.render();
  }

  /** Removes all jobs: another key may see others. */
  clear() {
    this.jobs.clear();
    this.cursor = null;
    this.render();
  }

  select(id) {
    this.current = id;
    this.render();
  }

  merge(jobs, first) {
    const unknown = jobs.filter(({ id }) => !this.jobs.has(id));
    for (const job of jobs) if (this.jobs.has(job.id)) this.jobs.set(job.id, job);
    const added = unknown.map((job) => [job.id, job]);
    this.jobs = new Map(first ? [...added, ...this.jobs] : [...this.jobs, ...added]);
    this.render();
  }

  render() {
    const before = new Map([...this.grid.children].map((item) => [item.dataset.job, item]));
    let place = 0;
    for (const job of this.jobs.values()) {
      const item = before.get(job.id) ?? card(job, () => this.begin(job, this.jobs.get(job.id).images[0].iterate));
      before.delete(job.id);
      if (this.grid.children[place] !== item) this.grid.insertBefore(item, this.grid.children[place] ?? null);
      place += 1;
      this.fill(item, job);
    }
    for (const item of before.values()) item.remove();
    this.empty.hidden = this.jobs.size > 0;
    this.more.hidden = this.cursor === null;
  }

  fill(item, job) {
    const link = item.querySelector("a");
    attribute(link, "aria-current", job.id === this.current ? "true" : null);
    item.dataset.state = job.state;
    text(item.querySelector(".badge"), job.state === "succeeded" ? (job.images.length > 1 ? `${job.images.length}` : "") : stateName(job.state));
    item.querySelector(".badge").hidden = job.state === "succeeded" && job.images.length === 1;
    text(item.querySelector(".when"), ago(job.created_at));
    const [image] = job.images;
    item.querySelector(".begin-with").hidden = image.iterate === null;
    if (image.iterate === null || item.dataset.iterate === String(image.iterate)) return;
    item.dataset.iterate = image.iterate;
    picture(job.id, 0, image.iterate, Math.max(job.request.width, job.request.height)).then(
      (address) => (item.querySelector("img").src = address),
      () => delete item.dataset.iterate, // without previews there is no picture before the end
    );
  }
}

function card(job, begin) {
  const { prompt } = job.request;
  return el(
    "li",
    { "data-job": job.id },
    el(
      "a",
      { href: `#job=${job.id}`, class: "card" },
      el("span", { class: "mount" }, el("img", { alt: "" }), el("span", { class: "badge" })),
      el("span", { class: "name" }, prompt),
      el("span", { class: "when" }),
    ),
    el(
      "button",
      { type: "button", class: "begin-with", title: "Use as input", "aria-label": `Use as input: ${prompt}`, onclick: begin },
      svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: "M4 16l.8-3.6L13 4.2a1.5 1.5 0 0 1 2.1 0l.7.7a1.5 1.5 0 0 1 0 2.1L7.6 15.2zM11.8 5.4l2.8 2.8" })),
    ),
  );
}
