// @ts-check
/**
 * Buttons that do one thing: `data-action="POST api/…"`, with `data-body` (JSON), `data-sure` (a question before it), `data-said` (words
 * after it, with `{fields}` of the answer), `data-then` (`reload`, or where to go, with `{fields}` of the answer) and `data-into` (the
 * element that shows the answer). With `data-anyway` it goes there also when it is refused.
 *
 * They are found where the press arrives, so that they work in whatever is put into the page later.
 */

import { ask, methodAndPath } from "./api.js";
import { conclude, follow } from "./conclude.js";
import { showProblem } from "./forms.js";
import { notice, noticeOnNextPage } from "./notices.js";

export function bindActions() {
  document.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    const button = /** @type {HTMLButtonElement | null} */ (target.closest("[data-action]"));
    if (button !== null) {
      void act(button);
    }
    const opener = /** @type {HTMLElement | null} */ (target.closest("[data-opens]"));
    if (opener !== null) {
      const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById(opener.dataset.opens ?? ""));
      dialog?.showModal();
    }
    const closer = /** @type {HTMLElement | null} */ (target.closest("[data-closes]"));
    if (closer !== null) {
      /** @type {HTMLDialogElement | null} */ (document.getElementById(closer.dataset.closes ?? ""))?.close();
    }
    const copier = /** @type {HTMLElement | null} */ (target.closest("[data-copy]"));
    if (copier !== null) {
      void copy(copier.dataset.copy ?? "");
    }
  });
  document.addEventListener("change", (event) => {
    const select = /** @type {HTMLSelectElement} */ (event.target);
    if (select.dataset.change !== undefined) {
      void change(select);
    }
  });
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    notice("Copied.");
  } catch {
    notice("The browser does not let pages copy here. Select the text, and copy it yourself.", "bad");
  }
}

/** @param {HTMLButtonElement} button */
async function act(button) {
  const { action = "", sure, body, said, then, into } = button.dataset;
  if (sure !== undefined && !confirm(sure)) {
    return;
  }
  const [method, path] = methodAndPath(action);
  const shown = into === undefined ? null : document.getElementById(into);
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  if (shown !== null) {
    shown.replaceChildren(status("wait", "asking the carrier…"));
  }
  try {
    const answer = await ask(method, path, body === undefined ? undefined : JSON.parse(body));
    if (shown !== null) {
      showAnswer(shown, answer);
    }
    conclude(said, then, answer);
  } catch (error) {
    const problem = /** @type {import("./api.js").Problem} */ (error);
    if (button.dataset.anyway !== undefined) {
      noticeOnNextPage(problem.message, "bad");
      follow(then, null);
    } else if (shown !== null) {
      shown.dataset.state = "failing";
      shown.replaceChildren(status("bad", problem.title || "failed"), ` ${problem.message}`);
    } else if (!showProblem(button.closest("section, dialog, form"), problem)) {
      notice(problem.message, "bad");
    }
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** @param {HTMLSelectElement} select */
async function change(select) {
  const [method, path] = methodAndPath(select.dataset.change ?? "");
  const value = select.value === "" ? null : select.value;
  try {
    const answer = await ask(method, path, { [select.dataset.as ?? select.name]: value });
    const warnings = /** @type {string[]} */ (answer?.warnings ?? []);
    if (warnings.length > 0) {
      notice(`${select.dataset.said} ${warnings.join(" ")}`, "bad");
    } else {
      notice(select.dataset.said ?? "Saved.");
    }
  } catch (error) {
    notice(/** @type {Error} */ (error).message, "bad");
  }
}

/**
 * What the carrier says of an account, in words.
 *
 * @param {HTMLElement} shown
 * @param {{ account_id: string, name: string | null, balance: { amount: string, currency: string } | null, notes: string[] }} answer
 */
function showAnswer(shown, answer) {
  shown.dataset.state = "working";
  const parts = [`The carrier knows it as ${answer.account_id}${answer.name ? `, ${answer.name}` : ""}.`];
  if (answer.balance !== null) {
    parts.push(`Left to call with: ${answer.balance.amount} ${answer.balance.currency}.`);
  }
  shown.replaceChildren(status("good", "working"), ` ${parts.join(" ")}`);
  for (const note of answer.notes) {
    const line = document.createElement("p");
    line.className = "warn";
    line.textContent = note;
    shown.append(line);
  }
}

/**
 * @param {string} tone
 * @param {string} words
 */
function status(tone, words) {
  const shown = document.createElement("span");
  shown.className = `status ${tone}`;
  shown.textContent = words;
  return shown;
}
