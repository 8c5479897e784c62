// Creates and changes elements. Text is always set as text: no module of this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `el("button", {class: "plain", type: "button", onclick: f}, "Paint")`. */
export function el(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same for SVG. */
export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

export const byId = (id) => document.getElementById(id);

/** Announces a text to screen readers. Repeating the text announces it again. */
export function announce(text) {
  const announcer = byId("announcer");
  announcer.textContent = announcer.textContent === text ? `${text}\u00a0` : text;
}

/** Sets an attribute, or removes it if the value is null or false. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Sets a text only if it differs, so that a live region is not announced again. */
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else attribute(element, name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
