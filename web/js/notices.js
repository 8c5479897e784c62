// What has gone wrong, at the top of the page: the connection, the limits of a key, a refusal.

import { isReachable, connection } from "./connection.js";
import { Problem, Unreachable } from "./api.js";
import { el, byId, text } from "./dom.js";
import { key } from "./key.js";
import { askForKey } from "./key-form.js";

const shown = new Map(); // what it is about -> its element

/** Shows a notice, in place of the one about the same. */
export function notice(about, message, { kind = "wrong", actions = [] } = {}) {
  dismiss(about);
  const element = el("div", { class: `notice ${kind}` }, el("p", {}, message), ...actions);
  shown.set(about, element);
  byId("notices").append(element);
  return element;
}

export function dismiss(about) {
  const element = shown.get(about);
  shown.delete(about);
  if (!element) return;
  clearInterval(element.countdown);
  element.remove();
}

/** Shows what went wrong with something the user did. `again` does it once more. */
export function failed(about, error, again) {
  if (error instanceof Unreachable) return; // the connection's own notice says so
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) {
    if (error.sentWith === key()) askForKey(error.message, again);
    else again?.(); // the answer to a key that was replaced meanwhile
    return;
  }
  if (error.retryAfter !== null && [429, 503].includes(error.status)) countDown(about, error, again);
  else notice(about, error.message, { actions: [dismissal(about)] });
}

/** Whoever may send the next request only in a while sees how long. */
function countDown(about, error, again) {
  const end = Date.now() + error.retryAfter * 1000;
  const left = el("strong", { "aria-live": "off" });
  const button = again && el("button", { class: "plain", type: "button", disabled: true, onclick: retry }, "Try again");
  const element = notice(about, "", { kind: "waiting", actions: [button, dismissal(about)].filter(Boolean) });
  element.firstChild.append(`${error.message} `, left);
  const tick = () => {
    const seconds = Math.ceil((end - Date.now()) / 1000);
    text(left, seconds > 0 ? `${seconds} s left.` : "You can try again now.");
    if (seconds > 0) return;
    clearInterval(element.countdown);
    if (button) button.disabled = false;
  };
  element.countdown = setInterval(tick, 250);
  tick();

  function retry() {
    dismiss(about);
    again();
  }
}

const dismissal = (about) =>
  el("button", { class: "quiet", type: "button", onclick: () => dismiss(about) }, "Dismiss");

/** Tells when the server is gone, and when it is back. */
export function watchConnection() {
  connection.addEventListener("change", () => {
    if (!isReachable()) {
      const why = navigator.onLine ? "The server does not answer." : "You are offline.";
      notice("connection", `${why} Jobs go on without this page, which catches up as soon as it can.`, { kind: "waiting" });
      dismiss("back");
      return;
    }
    dismiss("connection");
    notice("back", "The server is back.", { kind: "good" });
    setTimeout(() => dismiss("back"), 4000);
  });
}
