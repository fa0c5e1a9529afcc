// @ts-check
/** The dialog that places a call, and then shows it: `<form data-dial="api/…">`. */

import { address, ask, Problem } from "./api.js";
import { aboutNumber } from "./countries.js";
import { check, read, showProblem } from "./forms.js";
import { follow } from "./live.js";

export function bindDials() {
  for (const form of /** @type {NodeListOf<HTMLFormElement>} */ (document.querySelectorAll("form[data-dial]"))) {
    bind(form);
  }
}

/** @param {HTMLFormElement} form */
function bind(form) {
  const dialog = /** @type {HTMLElement} */ (form.closest("dialog") ?? document.body);
  const number = /** @type {HTMLInputElement} */ (form.querySelector("[data-country]"));
  const country = document.getElementById(number.dataset.country ?? "");
  const dialled = /** @type {HTMLElement} */ (dialog.querySelector("[data-dialled]"));
  const page = /** @type {HTMLAnchorElement} */ (dialog.querySelector("[data-call-page]"));
  const softphone = /** @type {HTMLElement | null} */ (dialog.querySelector("[data-softphone-for]"));
  /** The same for every attempt at the same call: whatever is lost on the way, it is placed once. */
  let key = newKey();
  /** @type {(() => void) | undefined} */
  let endFollowing;
  /** @type {Promise<void> | undefined} */
  let ringsHere;

  const say = () => {
    if (country !== null) {
      country.textContent = aboutNumber(number.value);
    }
  };
  number.addEventListener("input", say);
  say();
  form.addEventListener("input", () => {
    key = newKey();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    number.value = number.value.replace(/^(\+[\d\s().-]+)$/, (typed) => typed.replace(/[^+\d]/g, ""));
    if (!check(form)) {
      return;
    }
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button:not([type=button])"));
    button.disabled = true;
    try {
      if (softphone !== null && number.value === softphone.dataset.softphoneFor) {
        softphone.hidden = false;
        ringsHere ??= connectSoftphone(softphone);
        await ringsHere;
      }
      const call = await ask("POST", form.dataset.dial ?? "", read(form), { "idempotency-key": key });
      key = newKey();
      page.href = address(`calls/${call.id}`).href;
      form.hidden = true;
      dialled.hidden = false;
      const panel = document.createElement("div");
      panel.append("Dialling…");
      dialled.querySelector("[data-call-panel], #call-panel")?.replaceWith(panel);
      endFollowing?.();
      endFollowing = follow(panel, address(`api/v1/calls/${call.id}/live`), address(`calls/${call.id}`), "#call-panel");
    } catch (error) {
      if (error instanceof Problem) {
        showProblem(form, error);
      } else {
        ringsHere = undefined;
        showProblem(form, new Problem(0, "Not connected", /** @type {Error} */ (error).message));
      }
    } finally {
      button.disabled = false;
    }
  });

  dialog.querySelector("[data-dial-again]")?.addEventListener("click", () => {
    endFollowing?.();
    const empty = document.createElement("div");
    empty.dataset.callPanel = "";
    dialled.querySelector("#call-panel, [data-call-panel]")?.replaceWith(empty);
    dialled.hidden = true;
    form.hidden = false;
    number.focus();
  });
}

/**
 * Makes this browser the person who is called.
 *
 * @param {HTMLElement} root
 * @returns {Promise<void>} resolved once it can be rung
 */
async function connectSoftphone(root) {
  const { mountSoftphone } = await import("./softphone-panel.js");
  const { phone } = mountSoftphone(root);
  await new Promise((resolve, reject) => {
    phone.addEventListener("ready", () => resolve(undefined), { once: true });
    phone.addEventListener("closed", () => reject(new Error("The softphone could not be connected.")), { once: true });
  });
}

/** Random, and there also where a page came by plain HTTP. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
