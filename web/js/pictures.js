// Pictures as blob: URLs, fetched with the key and cached: the picture of an iterate never changes.

import * as api from "./api.js";

const CACHED = 240; // pictures in memory; the least recently used go first
const SMALL = 320; // pixels: up to this side PNG, which is lossless; above it WebP, which is a tenth of the size

const cache = new Map(); // path -> promise of a blob: URL

/** The blob: URL of an iterate's picture. */
export function picture(id, image, iterate, side) {
  const path = api.picturePath(id, image, iterate);
  const known = cache.get(path);
  cache.delete(path);
  const fetched =
    known ??
    api
      .picture(path, side <= SMALL ? "image/png" : "image/webp, image/png;q=0.9")
      .then((blob) => URL.createObjectURL(blob));
  cache.set(path, fetched);
  if (!known) {
    fetched.catch(() => cache.get(path) === fetched && cache.delete(path)); // the next call retries
    for (const [oldest, evicted] of cache) {
      if (cache.size <= CACHED) break;
      cache.delete(oldest);
      evicted.then(URL.revokeObjectURL, () => {});
    }
  }
  return fetched;
}

/** Saves a picture as a PNG file whose name is that of its prompt. */
export async function download(id, image, iterate, prompt, seed) {
  const blob = await api.picture(api.picturePath(id, image, iterate), "image/png");
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = `${fileName(prompt)}-${seed}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

const fileName = (prompt) =>
  prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu)?.join("-").slice(0, 40).replace(/-$/, "") || "picture";
