// Connects the parts of the page. The fragment of its address names the job that is shown.

import * as api from "./api.js";
import { befores } from "./compare.js";
import { Composer, unique } from "./composer.js";
import { connection, isReachable } from "./connection.js";
import { announce, byId, el } from "./dom.js";
import { onFile } from "./dropped.js";
import { Easel } from "./easel.js";
import { Figures } from "./figures.js";
import { follow } from "./follow.js";
import { Gallery } from "./gallery.js";
import { key } from "./key.js";
import { setUpKey } from "./key-form.js";
import { dismiss, failed, notice, watchConnection } from "./notices.js";
import { download } from "./pictures.js";
import { jobInAddress, jobUrl } from "./where.js";
import { Work } from "./work.js";
import { plural, status, titleOf } from "./words.js";

const LONG_WAIT = 6000; // ms in the queue after which the page checks whether the server can run jobs

const gallery = new Gallery(byId("gallery"), (job, iterate) => composer.beginWith(job, 0, iterate));
const figures = new Figures(byId("figures"));
const submitted = (job) => {
  gallery.update(job);
  location.hash = `job=${job.id}`;
  announce(`Sent: ${job.request.prompt}.`);
};
const composer = new Composer(byId("composer"), submitted);

const handlers = {
  accept: (work) => move(work, () => api.accept(work.id)),
  cancel: (work) => move(work, () => api.cancel(work.id)),
  refine: (work) => move(work, () => api.refine(work.id, refinement(work.job))),
  exact: (work) => move(work, () => api.refine(work.id, { tolerance: 0 })),
  follow: (work) => work.look(work.image, null),
  again: ({ job }) => api.submit(job.request, unique()).then(submitted, (error) => failed("move", error)),
  reuse: ({ job }) => composer.reuse(job.request, job.id),
  compare: (work) => work.compareWith(work.before ? null : befores(work)[0]),
  begin: ({ job, image, shown }) => composer.beginWith(job, image, shown.iterate),
  download: (work) => {
    const { shown } = work;
    return download(work.id, work.image, shown.iterate, work.job.request.prompt, work.imageFigures.seed).catch((error) => failed("move", error));
  },
  share,
  remove,
};
onFile((file) => api.guest() || composer.begin.takeFile(file));
const easel = new Easel(byId("easel"), handlers);

let shown = null; // {work, aborter}

function show(id) {
  if (shown?.work.id === id) return;
  shown?.aborter.abort();
  shown = null;
  dismiss("move");
  dismiss("ready");
  gallery.select(id);
  if (id === null) {
    easel.show(null);
    figures.show(null);
    document.title = "Underpaint";
    return;
  }
  shown = { work: new Work(id), aborter: new AbortController() };
  easel.show(shown.work);
  figures.show(shown.work);
  watch(shown.work, shown.aborter.signal);
}

/** Scrolls to an element if its top is out of view, below the form or above the gallery. */
function reveal(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) element.scrollIntoView();
}

/** Follows the shown job to its end. */
async function watch(work, signal) {
  let announced = "";
  const on = {
    isQueued: () => work.job?.state === "queued",
    lacksPlan: ({ image }) => work.job?.images[image]?.blocks == null,
    iterate(iterate) {
      work.addIterate(iterate);
      if (work.job) document.title = titleOf(work.job, iterate);
      if (work.job && iterate.image === work.image && !work.ended) announce(`Iterate ${iterate.iterate}, ${plural(iterate.rounds, "round")}`);
    },
    job(job) {
      work.setJob(job);
      gallery.update(job);
      document.title = titleOf(job);
      if (announced && announced !== status(job)) announce(status(job));
      announced = status(job);
      if (job.state !== "queued") dismiss("ready");
    },
  };
  const patience = setTimeout(() => on.isQueued() && explain(work), LONG_WAIT);
  signal.addEventListener("abort", () => clearTimeout(patience));
  try {
    await follow(work.id, on, signal);
  } catch (error) {
    if (signal.aborted) return;
    const closed = api.guest() && error.status === 401;
    if (error instanceof api.Problem && (error.status === 404 || closed)) {
      work.missing = closed ? "The link opens nothing any more, or it is not complete." : error.message;
      work.job = null;
      work.changed();
      gallery.remove(work.id);
    } else failed("follow", error, () => restart(work));
  }
}

function restart(work) {
  if (shown?.work !== work) return;
  shown.aborter.abort();
  shown.aborter = new AbortController();
  watch(work, shown.aborter.signal);
}

/** Changes a job for the user, and follows it further. */
async function move(work, act) {
  dismiss("move");
  try {
    const hadEnded = work.ended;
    const job = await act();
    work.pinned = null;
    work.setJob(job);
    gallery.update(job);
    if (hadEnded) restart(work);
  } catch (error) {
    failed("move", error, () => move(work, act));
  }
}

/** What to refine a job to: a draft to its own tolerance, a finished picture to a tenth of its estimated error. */
function refinement(job) {
  if (job.stopped !== "converged") return {};
  const reached = Math.max(...job.images.map((image) => image.error_estimate ?? image.residual ?? 0));
  return { tolerance: Number((reached / 10).toPrecision(2)) };
}

/** Copies a link to a job. With a key it is a share link: it gives everybody who has it access, until it is revoked. */
async function share(work) {
  let link;
  try {
    link = jobUrl(work.id, key() && (await api.share(work.id)));
  } catch (error) {
    failed("share", error, () => share(work));
    return;
  }
  const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
  const access = key() ? " Whoever has it can look at this picture." : "";
  const field = !copied && el("input", { readonly: true, value: link, "aria-label": "Link to this picture" });
  const stop = key() && el("button", { class: "quiet", type: "button", onclick: () => unshare(work) }, "Stop sharing");
  const close = (field || stop) && el("button", { class: "quiet", type: "button", onclick: () => dismiss("share") }, "Close");
  const message = copied ? `The link is copied.${access}` : `Copy this link.${access}`;
  notice("share", message, { kind: "good", actions: [field, stop, close].filter(Boolean) });
  if (field) field.select();
  if (!close) setTimeout(() => dismiss("share"), 3000);
}

async function unshare(work) {
  try {
    await api.unshare(work.id);
    notice("share", "The link opens nothing any more.", { kind: "good" });
    setTimeout(() => dismiss("share"), 4000);
  } catch (error) {
    failed("share", error, () => unshare(work));
  }
}

async function remove(work) {
  if (!confirm("Delete this job and its pictures for good?")) return;
  try {
    await api.remove(work.id);
    gallery.remove(work.id);
    announce("It is deleted.");
    if (shown?.work === work) location.hash = "";
  } catch (error) {
    failed("move", error, () => remove(work));
  }
}

async function explain(work) {
  try {
    const why = await api.unready();
    if (why && shown?.work === work && work.job?.state === "queued") notice("ready", why, { kind: "waiting" });
  } catch {
    // there is a notice about the connection already
  }
}

async function begin() {
  document.body.classList.toggle("guest", api.guest());
  if (api.guest()) return;
  try {
    composer.offer(await api.models());
    dismiss("models");
  } catch (error) {
    if (!(error instanceof api.Unreachable)) failed("models", error, begin);
  }
  gallery.refresh();
}

connection.addEventListener("change", () => isReachable() && composer.models.length === 0 && begin());
addEventListener("hashchange", () => {
  if (document.body.classList.contains("guest") !== api.guest()) begin();
  show(jobInAddress());
  if (shown) reveal(byId("easel"));
});
watchConnection();
setUpKey(() => {
  gallery.clear();
  begin();
  if (shown) restart(shown.work);
});
begin();
show(jobInAddress());
