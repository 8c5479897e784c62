// The public routes of the API, one function each. They throw a Problem if the server refuses, and Unreachable if it
// does not answer.

import { reached, lost } from "./connection.js";
import { key } from "./key.js";
import { jobInAddress, tokenInAddress, url } from "./where.js";

/** A refusal of the server (RFC 9457). */
export class Problem extends Error {
  constructor(status, body, retryAfter, sentWith = key()) {
    super(body.detail || body.title || `The server answered with status ${status}.`);
    this.status = status;
    this.title = body.title ?? "";
    this.fields = body.errors ?? [];
    this.retryAfter = retryAfter; // s, or null
    this.sentWith = sentWith; // the key of the request
  }
}

export class Unreachable extends Error {}

/** Sends a request with the key. Returns a response with status 2xx or 304. */
export async function request(path, { method = "GET", headers = {}, json, body, signal } = {}) {
  const sentWith = key();
  const allHeaders = { Accept: "application/json", ...headers };
  if (sentWith) allHeaders.Authorization = `Bearer ${sentWith}`;
  if (json !== undefined) allHeaders["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url(method === "GET" ? withShare(path) : path), {
      method,
      headers: allHeaders,
      body: json === undefined ? body : JSON.stringify(json),
      signal,
      credentials: "same-origin",
    });
  } catch (error) {
    throw connectionError(error, signal);
  }
  if ([502, 504].includes(response.status)) {
    lost(); // a proxy answers for a server that is away
    throw new Unreachable();
  }
  reached();
  if (response.ok || response.status === 304) return response;
  throw new Problem(response.status, await problem(response), seconds(response.headers.get("Retry-After")), sentWith);
}

/** The path, with the share token of the page's address if the path belongs to the shared job. */
function withShare(path) {
  const token = tokenInAddress();
  if (!token || !path.startsWith(`v1/jobs/${jobInAddress()}`)) return path;
  return `${path}${path.includes("?") ? "&" : "?"}share=${encodeURIComponent(token)}`;
}

/** Whether the page was opened by a share link, without a key: then only the shared job can be seen. */
export const guest = () => tokenInAddress() !== null && !key();

/** The error to throw for an error of the network; that of an aborted request stays as it is. */
export function connectionError(error, signal) {
  if (signal?.aborted) return error;
  lost();
  return new Unreachable(error.message);
}

const json = async (path, options) => (await request(path, options)).json();

export const models = async () => (await json("v1/models")).models;

export const jobs = (cursor, limit) =>
  json(`v1/jobs?${new URLSearchParams({ limit, ...(cursor ? { cursor } : {}) })}`);

export const job = (id, signal) => json(`v1/jobs/${id}`, { signal });

/** The job when it differs from the version of `etag`, or null after `wait` seconds without a change. */
export async function changed(id, etag, wait, signal) {
  const response = await request(`v1/jobs/${id}?wait=${wait}`, {
    headers: etag ? { "If-None-Match": etag } : {},
    signal,
  });
  if (response.status === 304) return null;
  return { etag: response.headers.get("ETag"), job: await response.json() };
}

export const iterates = async (id, signal) => (await json(`v1/jobs/${id}/iterates`, { signal })).iterates;

export const picturePath = (id, image, iterate) => `v1/jobs/${id}/images/${image}/iterates/${iterate}`;

/** A picture as a blob. */
export const picture = async (path, accept, signal) => (await request(path, { headers: { Accept: accept }, signal })).blob();

export const inputPath = (id, name) => `v1/jobs/${id}/inputs/${name}`;

/** Uploads a picture: {id, width, height}. The server looks at the bytes: what the browser calls a file may be wrong. */
export const upload = (file, signal) =>
  json("v1/uploads", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" }, signal });

export const events = (id, last, signal) =>
  request(`v1/jobs/${id}/events`, {
    headers: { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) },
    signal,
  });

/** Submits a job. Requests with the same `idempotencyKey` make one job. */
export const submit = (request, idempotencyKey) =>
  json("v1/jobs", { method: "POST", json: request, headers: { "Idempotency-Key": idempotencyKey } });

export const accept = (id) => json(`v1/jobs/${id}/accept`, { method: "POST" });

export const cancel = (id) => json(`v1/jobs/${id}/cancel`, { method: "POST" });

export const refine = (id, changes) => json(`v1/jobs/${id}/refine`, { method: "POST", json: changes });

/** A token that gives others read access to a job. */
export const share = async (id) => (await json(`v1/jobs/${id}/share`, { method: "POST" })).token;

export const unshare = (id) => request(`v1/jobs/${id}/share`, { method: "DELETE" });

export const remove = (id) => request(`v1/jobs/${id}`, { method: "DELETE" });

/** Why the server cannot run jobs; empty if it can. */
export async function unready() {
  try {
    await request("readyz");
    return "";
  } catch (error) {
    if (error instanceof Problem && error.status === 503) return error.message;
    throw error;
  }
}

async function problem(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

function seconds(retryAfter) {
  if (!retryAfter) return null;
  const number = Number(retryAfter);
  const left = Number.isFinite(number) ? number : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isFinite(left) ? Math.max(0, Math.ceil(left)) : null;
}
