// Whether the server can be reached: one place that knows, asks again while it cannot, and tells who waits.

import { url } from "./where.js";

const SHORTEST = 1000; // ms between two tries
const LONGEST = 8000;

export const connection = new EventTarget(); // "change"
let reachable = true;
let waiting = [];
let timer;
let pause = SHORTEST;

export const isReachable = () => reachable;

/** An answer has come. */
export function found() {
  pause = SHORTEST;
  if (reachable) return;
  reachable = true;
  clearTimeout(timer);
  connection.dispatchEvent(new Event("change"));
  for (const resume of waiting.splice(0)) resume();
}

/** No answer came. */
export function lost() {
  if (!reachable) return;
  reachable = false;
  connection.dispatchEvent(new Event("change"));
  timer = setTimeout(probe, pause);
}

/** Resolves as soon as the server can be reached. */
export const back = () => (reachable ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)));

async function probe() {
  clearTimeout(timer);
  try {
    const answer = await fetch(url("healthz"), { cache: "no-store" });
    if (answer.ok) return found();
  } catch {
    // still gone
  }
  pause = Math.min(pause * 1.6, LONGEST);
  timer = setTimeout(probe, pause);
}

addEventListener("offline", lost);
addEventListener("online", () => !reachable && probe());
