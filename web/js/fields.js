// The inputs of the form for the fields of a request, as `GET /v1/models` describes them for each model.

import { el } from "./dom.js";

/** An element with label, input, error and hint for a field, at its default. */
export function fieldElement(field) {
  const { name, label, help, default: initial } = field;
  const attributes = {
    id: `field-${name}`,
    name,
    "aria-describedby": `hint-${name} error-${name}`,
    oninput: (event) => (event.target.dataset.touched = "true"),
  };
  const options = optionsOf(field);
  const input = options
    ? el("select", attributes, ...options.map(({ value, title }) => el("option", { value }, title)))
    : el("input", { ...attributes, autocomplete: "off", ...(isNumber(field) ? numberAttributes(field) : { maxlength: field.max_length }) });
  input.value = initial ?? "";
  return el(
    "div",
    { class: isText(field) ? "field wide" : "field", hidden: hasOneValue(field) },
    el("label", { for: `field-${name}` }, label),
    input,
    el("p", { class: "error", id: `error-${name}` }),
    el("p", { class: "hint", id: `hint-${name}` }, help),
  );
}

/** The value of an input for the request; undefined if it is empty. */
export function valueOf(field, input) {
  if (input.value === "") return undefined;
  if (isNumber(field)) return Number(input.value);
  return field.type === "boolean" ? input.value === "true" : input.value;
}

const isNumber = ({ type }) => type === "integer" || type === "number";

const isText = (field) => field.type === "string" && field.options === null;

/** Whether the model leaves no choice, as of the size of pictures. */
const hasOneValue = (field) => isNumber(field) && field.minimum !== null && field.minimum === field.maximum;

function optionsOf({ type, options, default: initial }) {
  const choices = type === "boolean" ? [{ value: "true", title: "Yes" }, { value: "false", title: "No" }] : options;
  return choices && initial === null ? [{ value: "", title: "Default" }, ...choices] : choices;
}

function numberAttributes({ type, minimum, maximum, multiple_of: multiple, placeholder }) {
  return {
    type: "number",
    inputmode: "decimal",
    min: minimum,
    max: maximum,
    step: type === "integer" ? (multiple ?? 1) : "any",
    placeholder: placeholder ?? "",
  };
}
