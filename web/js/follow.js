// Following one job to its end: what is there first, then what comes, through whatever happens to the connection.
//
// Events are read from the stream by fetch, which can send the API key (EventSource cannot). Where a proxy holds the
// stream back, the job is asked for again and again instead, each answer held by the server until there is news.

import * as api from "./api.js";
import { back } from "./connection.js";

const FIRST_BYTES = 6000; // ms: a stream begins at once, unless somebody holds it back
const SILENCE = 45000; // ms: the server breaks a silence after 15 s
const WAIT = 20; // s that an answer may be held
const BETWEEN_LOOKS = 1500; // ms between two looks at a queued job, whose place moves without an event

class Held extends Error {}

/**
 * Tells `on.job(job)` and `on.iterate(iterate)` everything, until the job has ended or `signal` is aborted.
 * `on.isQueued()` says whether the job's place in the queue is of interest, and `on.lacksPlan(iterate)` whether the job
 * is to be read again to learn how its images are planned.
 */
export async function follow(id, on, signal) {
  const looking = { last: 0, etag: null, held: false };
  while (!signal.aborted) {
    try {
      const [job, iterates] = await Promise.all([api.job(id, signal), api.iterates(id, signal)]);
      for (const iterate of iterates) on.iterate(iterate);
      on.job(job);
      if (ended(job)) return;
      await (looking.held ? poll : stream)(id, on, looking, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Held) looking.held = true;
      else if (error instanceof api.Unreachable) await back();
      else if (error instanceof api.Problem && (error.status === 429 || error.status >= 500))
        await sleep((error.retryAfter ?? 2) * 1000, signal);
      else throw error;
    }
  }
}

export const ended = (job) => !["queued", "running"].includes(job.state);

async function poll(id, on, looking, signal) {
  const news = await api.changed(id, looking.etag, WAIT, signal);
  if (news) looking.etag = news.etag;
}

async function stream(id, on, looking, signal) {
  const aborter = new AbortController();
  const stop = () => aborter.abort();
  signal.addEventListener("abort", stop);
  addEventListener("offline", stop);
  let anything = false;
  let dog = setTimeout(stop, FIRST_BYTES);
  const looks = setInterval(() => look(id, on, aborter.signal).catch(() => {}), BETWEEN_LOOKS);
  try {
    const response = await api.events(id, looking.last, aborter.signal);
    if (response.status === 204 || !response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for await (const event of parsed(reader, () => {
      anything = true;
      clearTimeout(dog);
      dog = setTimeout(stop, SILENCE);
    })) {
      if (event.id) looking.last = event.id;
      const data = JSON.parse(event.data);
      if (event.event === "iterate") on.iterate(data);
      // A stream that is read from its start tells of the past as well: what the job is now, the job itself says.
      if (event.event !== "iterate" || on.lacksPlan(data)) on.job(await api.job(id, aborter.signal));
    }
  } catch (error) {
    if (signal.aborted || error instanceof api.Problem || error instanceof api.Unreachable) throw error;
    if (aborter.signal.aborted && !anything && navigator.onLine) throw new Held();
    if (!aborter.signal.aborted) throw api.broken(error, signal);
  } finally {
    clearTimeout(dog);
    clearInterval(looks);
    signal.removeEventListener("abort", stop);
    removeEventListener("offline", stop);
    aborter.abort();
  }
}

async function look(id, on, signal) {
  if (on.isQueued()) on.job(await api.job(id, signal));
}

/** The events of a stream (WHATWG HTML, section 9.2.6). */
async function* parsed(reader, alive) {
  let rest = "";
  let event = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    const lines = (rest + value).split(/\r\n|\n|\r/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data !== undefined) yield event;
        event = {};
        continue;
      }
      const [, field, content] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === "data") event.data = event.data === undefined ? content : `${event.data}\n${content}`;
      else if (field) event[field] = content;
    }
  }
}

const sleep = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()));
  });
