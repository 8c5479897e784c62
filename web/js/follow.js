// Follows one job to its end, across interruptions of the connection.
//
// The stream of events is read by fetch, which can send the API key (EventSource cannot). If a proxy buffers the stream,
// the job is long-polled instead: the server holds each response until the job has changed.

import * as api from "./api.js";
import { back } from "./connection.js";

const FIRST_BYTES = 6000; // ms: a stream begins at once, unless a proxy buffers it
const SILENCE = 45000; // ms: the server sends a keep-alive after 15 s
const WAIT = 20; // s that the server may hold a response
const QUEUE_POLL = 1500; // ms between two reads of a queued job, whose position changes without an event

class Buffered extends Error {}

/**
 * Calls `on.job(job)` and `on.iterate(iterate)` with everything, until the job has ended or `signal` is aborted.
 * `on.isQueued()` returns whether the job's position in the queue is needed, and `on.lacksPlan(iterate)` whether the job
 * must be read again for the plan of its images.
 */
export async function follow(id, on, signal) {
  const state = { last: 0, etag: null, buffered: false };
  while (!signal.aborted) {
    try {
      const [job, iterates] = await Promise.all([api.job(id, signal), api.iterates(id, signal)]);
      for (const iterate of iterates) on.iterate(iterate);
      on.job(job);
      if (ended(job)) return;
      await (state.buffered ? poll : stream)(id, on, state, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Buffered) state.buffered = true;
      else if (error instanceof api.Unreachable) await back();
      else if (error instanceof api.Problem && (error.status === 429 || error.status >= 500))
        await sleep((error.retryAfter ?? 2) * 1000, signal);
      else throw error;
    }
  }
}

export const ended = (job) => !["queued", "running"].includes(job.state);

async function poll(id, on, state, signal) {
  const changed = await api.changed(id, state.etag, WAIT, signal);
  if (changed) state.etag = changed.etag;
}

async function stream(id, on, state, signal) {
  const aborter = new AbortController();
  const stop = () => aborter.abort();
  signal.addEventListener("abort", stop);
  addEventListener("offline", stop);
  let received = false;
  let watchdog = setTimeout(stop, FIRST_BYTES);
  const queuePoll = setInterval(() => readQueued(id, on, aborter.signal).catch(() => {}), QUEUE_POLL);
  try {
    const response = await api.events(id, state.last, aborter.signal);
    if (response.status === 204 || !response.body) return;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for await (const event of parsed(reader, () => {
      received = true;
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, SILENCE);
    })) {
      if (event.id) state.last = event.id;
      const data = JSON.parse(event.data);
      if (event.event === "iterate") on.iterate(data);
      // The events may be old ones: the current state is read from the job.
      if (event.event !== "iterate" || on.lacksPlan(data)) on.job(await api.job(id, aborter.signal));
    }
  } catch (error) {
    if (signal.aborted || error instanceof api.Problem || error instanceof api.Unreachable) throw error;
    if (aborter.signal.aborted && !received && navigator.onLine) throw new Buffered();
    if (!aborter.signal.aborted) throw api.connectionError(error, signal);
  } finally {
    clearTimeout(watchdog);
    clearInterval(queuePoll);
    signal.removeEventListener("abort", stop);
    removeEventListener("offline", stop);
    aborter.abort();
  }
}

async function readQueued(id, on, signal) {
  if (on.isQueued()) on.job(await api.job(id, signal));
}

/** The events of a stream (WHATWG HTML, section 9.2.6). */
async function* parsed(reader, onBytes) {
  let rest = "";
  let event = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
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
