// Pictures as blob: URLs, fetched with the key, each once. Numbered pictures never change.

import * as api from "./api.js";

const KEPT = 240; // pictures in memory; those that were not asked for longest go first
const SMALL = 320; // pixels: up to this side PNG, which is exact; above it WebP, which is a tenth of the size

const cache = new Map(); // path -> promise of a blob: URL

/** The blob: URL of an iterate's picture. */
export function picture(id, image, iterate, side) {
  const path = api.picturePath(id, image, iterate);
  const known = cache.get(path);
  cache.delete(path);
  const made =
    known ??
    api
      .picture(path, side <= SMALL ? "image/png" : "image/webp, image/png;q=0.9")
      .then((blob) => URL.createObjectURL(blob));
  cache.set(path, made);
  if (!known) {
    made.catch(() => cache.get(path) === made && cache.delete(path)); // so that the next one tries again
    for (const [oldest, gone] of cache) {
      if (cache.size <= KEPT) break;
      cache.delete(oldest);
      gone.then(URL.revokeObjectURL, () => {});
    }
  }
  return made;
}

/** Saves a picture as a PNG file, named by its prompt. */
export async function download(id, image, iterate, prompt, seed) {
  const blob = await api.picture(api.picturePath(id, image, iterate), "image/png");
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = `${named(prompt)}-${seed}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

const named = (prompt) =>
  prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu)?.join("-").slice(0, 40).replace(/-$/, "") || "picture";
