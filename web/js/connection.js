// Whether the server can be reached. While it cannot, this module probes it, and wakes those that wait for it.

import { url } from "./where.js";

const SHORTEST = 1000; // ms between two probes; the pause grows up to the longest
const LONGEST = 8000;

export const connection = new EventTarget(); // "change"
let reachable = true;
let waiting = [];
let timer;
let pause = SHORTEST;

export const isReachable = () => reachable;

/** To be called when the server has answered. */
export function reached() {
  pause = SHORTEST;
  if (reachable) return;
  reachable = true;
  clearTimeout(timer);
  connection.dispatchEvent(new Event("change"));
  for (const resume of waiting.splice(0)) resume();
}

/** To be called when the server has not answered. */
export function lost() {
  if (!reachable) return;
  reachable = false;
  connection.dispatchEvent(new Event("change"));
  timer = setTimeout(probe, pause);
}

/** Resolves when the server can be reached. */
export const back = () => (reachable ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve)));

async function probe() {
  clearTimeout(timer);
  try {
    const response = await fetch(url("healthz"), { cache: "no-store" });
    if (response.ok) return reached();
  } catch {
    // still away
  }
  pause = Math.min(pause * 1.6, LONGEST);
  timer = setTimeout(probe, pause);
}

addEventListener("offline", lost);
addEventListener("online", () => !reachable && probe());
