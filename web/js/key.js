// The API key: in this tab's storage, or in the browser's where the user wants it remembered.

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

/** Use a key from now on; an empty one is none. */
export function setKey(value, remember) {
  current = value.trim();
  try {
    sessionStorage.removeItem(NAME);
    localStorage.removeItem(NAME);
    if (current) (remember ? localStorage : sessionStorage).setItem(NAME, current);
  } catch {
    // then it holds for as long as the page does
  }
}
