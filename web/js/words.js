// States and figures as text.

const STATES = { queued: "Queued", running: "Painting", succeeded: "Finished", failed: "Failed", canceled: "Canceled" };

const STOPPED = {
  converged: "converged: the estimated error is within the tolerance",
  exact: "exact: this is the serial sampler’s picture",
  max_iterations: "a draft: it stopped after the iterates that were asked for",
  accepted: "accepted early",
};

export const stateName = (state) => STATES[state] ?? state;

/** The state of a job in one sentence. */
export function status(job) {
  if (job.state === "queued") {
    const place = job.queue_position;
    if (place === null) return "Waiting for a worker";
    return place === 1 ? "Next in the queue" : `Number ${place} in the queue`;
  }
  if (job.state === "running") {
    if (job.cancel_requested) return "Stopping";
    if (job.accept_requested) return "Keeping the newest iterate";
    if (job.preparing !== null && job.preparing !== undefined) {
      return `Loading the model, ${Math.round(100 * job.preparing)} %`;
    }
    return "Painting";
  }
  if (job.state === "failed") return "Failed";
  if (job.state === "canceled") return "Canceled";
  return `Finished, ${STOPPED[job.stopped] ?? job.stopped}`;
}

/** The message about a field, which goes on where the name of the field ends, beside the field. */
export const sentence = (message) => (message && !/^[A-Z]/.test(message) ? `This ${message}.` : message);

export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** A residual with two significant digits. */
export function residual(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  return value >= 0.001 ? Number(value.toPrecision(2)).toString() : value.toExponential(1).replace("e-", "e−");
}

/** An estimated relative error in percent, with two significant digits. */
export function percent(value) {
  if (value === null || value === undefined) return "–";
  return `${residual(100 * value)} %`;
}

export const seconds = (value) => (value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`);

/** What came when, and in how many calls, of a finished image with several iterates. */
export function gain({ state, request }, iterates) {
  if (state !== "succeeded" || iterates.length < 2) return "";
  const [first, last] = [iterates[0], iterates.at(-1)];
  const calls = plural(last.rounds, "model call");
  // A job that begins with a picture takes a part of its steps.
  const cost = request.image ? `in ${calls}` : `${calls} for ${plural(request.steps, "step")}`;
  return `The first picture came after ${seconds(first.elapsed)}, the last after ${seconds(last.elapsed)}: ${cost}.`;
}

/** "just now", "5 minutes ago", or a date. */
export function ago(moment) {
  const passed = (Date.now() - Date.parse(moment)) / 1000;
  if (passed < 45) return "just now";
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (passed < 3600) return relative.format(-Math.max(1, Math.round(passed / 60)), "minute");
  if (passed < 86400) return relative.format(-Math.round(passed / 3600), "hour");
  return new Date(moment).toLocaleDateString("en", { day: "numeric", month: "short" });
}

/** The title of the tab: while a job runs it begins with the share of its rounds that are done, also by `newest`. */
export function titleOf({ state, images, request }, newest) {
  const name = `${request.prompt} – Underpaint`;
  if (state !== "running") return name;
  const shares = images.map(({ number, stopped, rounds, predicted_rounds: predicted }) => {
    const done = Math.max(rounds, newest?.image === number ? newest.rounds : 0);
    return stopped ? 1 : predicted ? Math.min(done / predicted, 1) : 0;
  });
  return `${Math.floor((100 * shares.reduce((sum, share) => sum + share, 0)) / shares.length)} % – ${name}`;
}
