// The API key, in the storage of this tab or, if the user wants it remembered, of the browser.

const NAME = "underpaint.key";

function read(storage) {
  try {
    return storage().getItem(NAME);
  } catch {
    return null;
  }
}

let current = read(() => sessionStorage) ?? read(() => localStorage) ?? "";

export const key = () => current;

export const remembered = () => read(() => localStorage) !== null;

/** Sets the key; an empty one removes it. */
export function setKey(value, remember) {
  current = value.trim();
  try {
    sessionStorage.removeItem(NAME);
    localStorage.removeItem(NAME);
    if (current) (remember ? localStorage : sessionStorage).setItem(NAME, current);
  } catch {
    // without storage it is kept until the page is closed
  }
}
