// The notices at the top of the page: a lost connection, the limits of a key, a refusal.

import { isReachable, connection } from "./connection.js";
import { Problem, Unreachable } from "./api.js";
import { el, byId, text } from "./dom.js";
import { key } from "./key.js";
import { askForKey } from "./key-form.js";

const shown = new Map(); // topic -> element

/** Shows a notice in place of the last one about the same topic. */
export function notice(topic, message, { kind = "wrong", actions = [] } = {}) {
  dismiss(topic);
  const element = el("div", { class: `notice ${kind}` }, el("p", {}, message), ...actions);
  shown.set(topic, element);
  byId("notices").append(element);
  return element;
}

export function dismiss(topic) {
  const element = shown.get(topic);
  shown.delete(topic);
  if (!element) return;
  clearInterval(element.countdown);
  element.remove();
}

/** Shows the error of an action of the user. `again` repeats the action. */
export function failed(topic, error, again) {
  if (error instanceof Unreachable) return; // there is a notice about the connection already
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) {
    if (error.sentWith === key()) askForKey(error.message, again);
    else again?.(); // the key has been replaced meanwhile
    return;
  }
  if (error.retryAfter !== null && [429, 503].includes(error.status)) countDown(topic, error, again);
  else notice(topic, error.message, { actions: [dismissal(topic)] });
}

/** Shows a refusal with the seconds until the next request is allowed. */
function countDown(topic, error, again) {
  const end = Date.now() + error.retryAfter * 1000;
  const left = el("strong", { "aria-live": "off" });
  const button = again && el("button", { class: "plain", type: "button", disabled: true, onclick: retry }, "Try again");
  const element = notice(topic, "", { kind: "waiting", actions: [button, dismissal(topic)].filter(Boolean) });
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
    dismiss(topic);
    again();
  }
}

const dismissal = (topic) =>
  el("button", { class: "quiet", type: "button", onclick: () => dismiss(topic) }, "Dismiss");

/** Shows when the server is away, and when it is back. */
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
