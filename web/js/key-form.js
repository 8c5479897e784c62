// The form for the API key.

import { announce, byId, el } from "./dom.js";
import { key, remembered, setKey } from "./key.js";

let afterwards = null;

/** Opens the form with the reason why the server requires a key, or another one. `again` runs when there is one. */
export function askForKey(why, again = null) {
  afterwards = again ?? afterwards;
  const form = byId("key-form");
  form.querySelector(".why")?.remove();
  if (why) form.prepend(el("p", { class: "why", role: "alert" }, why));
  open(true);
}

export function setUpKey(onChange) {
  const form = byId("key-form");
  const input = byId("key");
  const done = (message) => {
    form.querySelector(".why")?.remove();
    open(false);
    byId("key-button").focus();
    announce(message);
    onChange();
    const again = afterwards;
    afterwards = null;
    again?.();
  };
  byId("key-button").addEventListener("click", () => open(form.hidden));
  byId("key-forget").addEventListener("click", () => {
    setKey("", false);
    afterwards = null;
    done("The key is forgotten.");
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(input.value, byId("key-remember").checked);
    done("The key is used from now on.");
  });
  form.addEventListener("keydown", (event) => event.key === "Escape" && open(false));
}

function open(whether) {
  const form = byId("key-form");
  const was = !form.hidden;
  form.hidden = !whether;
  byId("key-button").setAttribute("aria-expanded", String(whether));
  if (!whether || was) return; // the text in the form stays
  byId("key").value = key();
  byId("key-remember").checked = remembered();
  byId("key-forget").disabled = !key();
  byId("key").focus();
}
