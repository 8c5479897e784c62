// The buttons for the shown job: what its state allows.

import { guest } from "./api.js";
import { befores } from "./compare.js";
import { el } from "./dom.js";
import { METHODS } from "./methods.js";

/** Fills `root` with the buttons for `work`, by the `handlers` of their names. They are replaced only when they change,
 * so that the focus stays. */
export function showActions(root, work, handlers) {
  const actions = [...available(work)];
  const names = actions.map(({ name, label, disabled }) => `${name}:${label}:${Boolean(disabled)}`).join();
  if (root.dataset.names === names) return;
  root.dataset.names = names;
  const focused = document.activeElement?.dataset?.action;
  const hadFocus = root.contains(document.activeElement);
  root.replaceChildren(
    ...actions.map(({ name, label, hint, kind = "plain", disabled }) =>
      el("button", { type: "button", class: kind, title: hint, disabled, "data-action": name, onclick: () => handlers[name](work) }, label),
    ),
  );
  if (hadFocus) (root.querySelector(`[data-action="${focused}"]:not([disabled])`) ?? root.querySelector("button:not([disabled])"))?.focus();
}

function* available(work) {
  const { job, pinned, strips } = work;
  const stopping = job.cancel_requested || job.accept_requested;
  const any = [...strips.values()].some((strip) => strip.length > 0);
  if (guest()) {
    if (pinned !== null) yield { name: "follow", label: "Back to the newest" };
    if (any) yield { name: "download", label: "Download" };
    yield* comparison(work);
    return;
  }
  if (job.state === "running" && any)
    yield {
      name: "accept",
      // The server keeps the newest iterate of each image, whichever one is selected.
      label: pinned === null ? "Keep this one" : "Keep the newest",
      hint: "Good enough: stop here and keep the newest iterate",
      kind: "primary",
      disabled: stopping,
    };
  if (["queued", "running"].includes(job.state)) yield { name: "cancel", label: "Cancel", disabled: stopping };
  if (pinned !== null) yield { name: "follow", label: "Back to the newest" };
  if (job.state === "succeeded" && refinable(job))
    yield* [
      {
        name: "refine",
        label: job.stopped === "converged" ? "Refine" : "Refine it",
        hint: job.stopped === "converged" ? "Go on, to a tenth of its estimated error" : "Go on, to the tolerance of its request",
        kind: "primary",
      },
      { name: "exact", label: "Make it exact", hint: "Go on until it is the serial sampler’s picture" },
    ];
  if (["failed", "canceled"].includes(job.state))
    yield { name: "again", label: "Try again", kind: "primary", hint: "Send the same request once more" };
  if (any) yield { name: "begin", label: "Use as input", hint: "Begin the next picture with this one" };
  if (any) yield { name: "download", label: "Download" };
  yield* comparison(work);
  yield { name: "reuse", label: "Reuse settings", kind: "quiet", hint: "Fill the form with this request and its seed" };
  yield { name: "share", label: "Share", kind: "quiet", hint: "Copy a link that shows this picture to everybody who has it" };
  if (!["queued", "running"].includes(job.state)) yield { name: "remove", label: "Delete", kind: "quiet" };
}

function* comparison(work) {
  if (befores(work).length) yield { name: "compare", label: work.before ? "Stop comparing" : "Compare", kind: "quiet", hint: "With what it began with, or with its first iterate" };
}

/** Whether an image of the job can go on. Some methods leave nothing to continue from once they have converged. */
const refinable = ({ images }) =>
  images.some(({ stopped, method }) => stopped !== "exact" && (stopped !== "converged" || METHODS[method]?.refines));
