// @ts-check
/**
 * Forms that are sent to the API as JSON: `<form data-form data-send="POST api/…">`.
 *
 * A field's name is its place in what is sent, with dots for objects inside; its `data-type` says what its text becomes. What the schema
 * says of it is checked here, before anything is sent; what the gateway says of it is put beside it.
 */

import { ask, methodAndPath } from "./api.js";
import { conclude } from "./conclude.js";
import { notice } from "./notices.js";

/** What is sent in place of a secret that stays as it is. */
const KEPT = "********";

/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Field */

export function bindForms() {
  document.addEventListener("submit", (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.dataset.form !== undefined) {
      event.preventDefault();
      void send(form, /** @type {SubmitEvent} */ (event).submitter);
    }
  });
  document.addEventListener("formdata", (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.dataset.filters !== undefined) {
      takeFilters(form, /** @type {FormDataEvent} */ (event).formData);
    }
  });
  document.addEventListener("input", (event) => {
    const field = /** @type {Field} */ (event.target);
    const reveal = revealOf(field);
    if (reveal !== null) {
      reveal.disabled = field.value === "";
    }
    if (field.form?.dataset.form !== undefined) {
      // What was wrong is right as soon as it is; nothing is complained of while somebody still types.
      const shown = problemOf(field.form, fieldName(field));
      if (shown !== null && !shown.hidden && complaint(field) === "") {
        showAt(field.form, fieldName(field), "");
      }
    }
  });
  document.addEventListener("focusout", (event) => {
    const field = /** @type {Field} */ (event.target);
    if (field.form?.dataset.form !== undefined && field.dataset?.type !== undefined && field.value !== "") {
      showAt(field.form, fieldName(field), complaint(field));
    }
  });
  document.addEventListener("change", (event) => {
    const field = /** @type {HTMLInputElement} */ (event.target);
    if (field.dataset.fill !== undefined) {
      void fill(field);
    }
    if (field.form !== null && field.form !== undefined) {
      showWhatApplies(field.form);
    }
  });
  document.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const reveal = /** @type {HTMLElement | null} */ (target.closest("[data-reveal]"));
    if (reveal !== null) {
      toggle(reveal);
    }
    const chip = /** @type {HTMLElement | null} */ (target.closest("[data-puts]"));
    if (chip !== null) {
      const input = /** @type {HTMLInputElement} */ (document.getElementById(chip.dataset.intoInput ?? ""));
      input.value = chip.dataset.puts ?? "";
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  for (const form of document.forms) {
    showWhatApplies(form);
    giveMoments(form);
  }
}

/**
 * Reads a form into what is sent.
 *
 * @param {HTMLFormElement} form
 * @returns {Record<string, unknown>}
 */
export function read(form) {
  /** @type {Record<string, any>} */
  const body = {};
  for (const field of fieldsOf(form)) {
    const value = valueOf(field);
    if (value === undefined) {
      continue;
    }
    const path = field.name.split(".");
    const last = /** @type {string} */ (path.pop());
    let place = body;
    for (const step of path) {
      place = place[step] ??= {};
    }
    place[last] = value;
  }
  return body;
}

/**
 * Checks a form, and says what is wrong beside each field.
 *
 * @param {HTMLFormElement} form
 * @returns {boolean} whether it can be sent
 */
export function check(form) {
  /** @type {Field | null} */
  let first = null;
  for (const field of fieldsOf(form)) {
    const reason = complaint(field);
    showAt(form, fieldName(field), reason);
    if (reason !== "") {
      first ??= field;
    }
  }
  first?.focus();
  return first === null;
}

/**
 * Shows what the gateway complains of: each field's beside it, the rest beneath the form.
 *
 * @param {Element | null} root
 * @param {import("./api.js").Problem} problem
 * @returns {boolean} whether there was a place for all of it
 */
export function showProblem(root, problem) {
  if (root === null) {
    return false;
  }
  const rest = problem.errors.filter(({ field, reason }) => !showAt(root, field, reason)).map(({ field, reason }) => `${field}: ${reason}`);
  const words = problem.errors.length === 0 ? problem.message : rest.join("; ");
  const isShown = showAt(root, "", words) || words === "";
  const wrong = /** @type {Field | null} */ (root.querySelector("[aria-invalid=true]"));
  wrong?.focus();
  return isShown;
}

/**
 * @param {HTMLFormElement} form
 * @param {HTMLElement | null} button
 */
async function send(form, button) {
  showAt(form, "", "");
  if (!check(form)) {
    return;
  }
  const [method, path] = methodAndPath(form.dataset.send ?? "");
  button?.setAttribute("disabled", "");
  try {
    const answer = await ask(method, path, read(form));
    conclude(form.dataset.said, form.dataset.then, answer);
  } catch (error) {
    showProblem(form, /** @type {import("./api.js").Problem} */ (error));
  } finally {
    button?.removeAttribute("disabled");
  }
}

/**
 * The fields that apply: with a name and a type, and not in a part that does not apply.
 *
 * @param {HTMLFormElement} form
 * @returns {Field[]}
 */
function fieldsOf(form) {
  const all = /** @type {Field[]} */ ([...form.elements]);
  return all.filter((field) => field.dataset.type !== undefined && field.name !== "" && field.closest("[data-when][hidden]") === null);
}

/**
 * @param {Field} field
 * @returns {unknown} `undefined` if nothing is sent for it
 */
function valueOf(field) {
  const text = field.value.trim();
  switch (field.dataset.type) {
    case "flag":
      return /** @type {HTMLInputElement} */ (field).checked;
    case "secret":
      // A secret is sent as it is: blanks may belong to it.
      return field.value !== "" ? field.value : field.dataset.kept !== undefined ? KEPT : undefined;
    case "number":
      return text === "" ? undefined : Number(text);
    case "list":
      return text === "" ? [] : text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    case "json":
      return text === "" || text === "null" ? undefined : JSON.parse(text);
    case "optional":
      return text === "" ? null : text;
    default:
      if (field.type === "radio" && !(/** @type {HTMLInputElement} */ (field).checked)) {
        return undefined;
      }
      return text === "" ? undefined : text;
  }
}

/**
 * What is wrong with a field, by what its schema says; empty if nothing is.
 *
 * @param {Field} field
 */
function complaint(field) {
  const { type, pattern, problem } = field.dataset;
  const text = type === "secret" ? field.value : field.value.trim();
  if (text === "") {
    if (field.validity?.badInput) {
      return "must be a number";
    }
    return field.required && field.type !== "checkbox" ? "is required" : "";
  }
  if (type === "number") {
    const input = /** @type {HTMLInputElement} */ (field);
    const { rangeUnderflow, rangeOverflow, stepMismatch } = input.validity;
    if (rangeUnderflow || rangeOverflow) {
      return input.min !== "" && input.max !== "" ? `must be ${input.min} to ${input.max}` : input.min !== "" ? `must be at least ${input.min}` : `must be at most ${input.max}`;
    }
    return stepMismatch ? "must be a whole number" : "";
  }
  if (type === "json") {
    try {
      JSON.parse(text);
    } catch {
      return "must be JSON";
    }
  }
  if (pattern !== undefined && !matches(pattern, text)) {
    return problem ?? "is not written as it must be";
  }
  if (field.type === "url" && !URL.canParse(text)) {
    return "must be a whole address, with its scheme";
  }
  if (type === "list" && field.dataset.item === "tel") {
    const wrong = text.split("\n").map((line) => line.trim()).find((line) => line !== "" && !/^\+[1-9]\d{6,14}$/.test(line));
    return wrong === undefined ? "" : `${wrong} is no number in E.164: + and the country's code, digits only`;
  }
  const { minLength = -1 } = /** @type {HTMLInputElement} */ (field);
  return minLength > 0 && text.length < minLength ? `must have at least ${minLength} characters` : "";
}

/**
 * @param {string} pattern
 * @param {string} text
 */
function matches(pattern, text) {
  try {
    return new RegExp(pattern, "u").test(text);
  } catch {
    // The gateway's regular expressions are not all a browser's: it checks those itself.
    return true;
  }
}

/** @param {Field} field */
const fieldName = (field) => field.name.replace(/^config\./, "");

/**
 * @param {ParentNode} root
 * @param {string} name
 * @returns {HTMLElement | null}
 */
const problemOf = (root, name) => root.querySelector(`[data-problem-of="${CSS.escape(name)}"]`);

/**
 * @param {Element} root
 * @param {string} name
 * @param {string} reason empty: nothing is wrong any more
 * @returns {boolean} whether it has a place
 */
function showAt(root, name, reason) {
  // A part of a list is shown at the list.
  const shown = problemOf(root, name) ?? problemOf(root, name.replace(/\[.*$/, ""));
  if (shown === null) {
    return false;
  }
  shown.textContent = reason;
  shown.hidden = reason === "";
  const field = shown.closest("[data-field]")?.querySelector("input, select, textarea");
  if (reason === "") {
    field?.removeAttribute("aria-invalid");
  } else if (name !== "") {
    field?.setAttribute("aria-invalid", "true");
  }
  return true;
}

/** @param {Field} field */
const revealOf = (field) => /** @type {HTMLButtonElement | null} */ (field.id === "" ? null : document.querySelector(`[data-reveal="${CSS.escape(field.id)}"]`));

/** @param {HTMLElement} button */
function toggle(button) {
  const field = /** @type {HTMLInputElement} */ (document.getElementById(button.dataset.reveal ?? ""));
  const isShown = button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!isShown));
  button.firstChild?.replaceWith(isShown ? "Show" : "Hide");
  if (field.tagName === "TEXTAREA") {
    field.classList.toggle("veiled", isShown);
  } else {
    field.type = isShown ? "password" : "text";
  }
}

/** @param {HTMLInputElement} input a file, whose text goes into another field */
async function fill(input) {
  const [file] = input.files ?? [];
  const field = /** @type {HTMLTextAreaElement | null} */ (document.getElementById(input.dataset.fill ?? ""));
  if (file === undefined || field === null) {
    return;
  }
  if (file.size > 65_536) {
    notice(`${file.name} has ${file.size} bytes: that is no key.`, "bad");
    return;
  }
  field.value = await file.text();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  input.value = "";
}

/** @param {HTMLFormElement} form its parts that depend on a choice: `data-when="name=value"` */
function showWhatApplies(form) {
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-when]"))) {
    const [name = "", value = ""] = (part.dataset.when ?? "").split("=");
    const chosen = new FormData(form).get(name);
    part.hidden = chosen !== value;
  }
}

/** @param {HTMLFormElement} form its local times, from what the address says in UTC */
function giveMoments(form) {
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[data-moment]"))) {
    const moment = new Date(input.dataset.value ?? "");
    if (!Number.isNaN(moment.getTime())) {
      const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
      input.value = local.toISOString().slice(0, 16);
    }
  }
}

/**
 * What a form for filters sends: its local times in UTC, and nothing of what was left empty.
 *
 * @param {HTMLFormElement} form
 * @param {FormData} filters
 */
function takeFilters(form, filters) {
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[data-moment]"))) {
    const moment = input.value === "" ? "" : new Date(input.value).toISOString().replace(".000Z", "Z");
    filters.set(input.dataset.moment ?? "", moment);
  }
  for (const [name, value] of [...filters]) {
    if (value === "") {
      filters.delete(name);
    }
  }
}
