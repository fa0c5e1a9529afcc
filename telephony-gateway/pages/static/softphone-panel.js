// @ts-check
/** The softphone as something to press: state, buttons, keys, level meters. */

import { Softphone } from "./softphone.js";

/** @typedef {import("./softphone.js").Call} Call */
/** @typedef {"closed" | "idle" | "ringing" | "answering" | "calling" | "talking"} State */

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

/** What the keys are called by screen readers, and by tests, where the sign is no word. */
const KEY_NAMES = new Map([
  ["*", "star"],
  ["#", "pound"],
]);

/** What is quieter than this is the left end of a meter. */
const METER_FLOOR_DBFS = -60;

/** @type {Record<string, string>} */
const CAUSES = {
  handset_hung_up: "You hung up",
  application: "The other side hung up",
  busy: "The line was busy",
  no_answer: "Nobody answered",
  declined: "Declined",
  canceled: "The caller gave up",
  time_limit: "The call has lasted as long as it may",
  document_failed: "The gateway did not say what the call shall do",
  rejected: "The call was refused: does a workflow answer that number?",
};

/**
 * Puts a softphone into an element, in place of what is there, and connects it.
 *
 * @param {HTMLElement} root
 * @param {{ phone?: Softphone }} [options] `phone`: one of your own, with its own address
 * @returns {{ phone: Softphone, unmount: () => void }} `unmount` hangs up, and empties the element
 */
export function mountSoftphone(root, { phone = new Softphone() } = {}) {
  const listening = new AbortController();
  const { signal } = listening;

  const state = element("p", { class: "phone-state", role: "status", "data-testid": "phone-state" });
  const error = element("p", { class: "phone-error", role: "alert", "data-testid": "phone-error", hidden: "" });
  const connect = button("Connect", "phone-connect", "phone-quiet");
  const answer = button("Answer", "phone-answer", "phone-ok");
  const decline = button("Decline", "phone-decline", "phone-danger");
  const hangUp = button("Hang up", "phone-hang-up", "phone-danger");
  const actions = element("div", { class: "phone-actions" }, connect, answer, decline, hangUp);

  const keys = KEYS.map((key) => {
    const name = KEY_NAMES.get(key) ?? key;
    const pressed = button(key, `phone-key-${name}`, "phone-key");
    pressed.setAttribute("aria-label", name);
    pressed.addEventListener("click", () => phone.press(key), { signal });
    return pressed;
  });
  const keypad = element("div", { class: "phone-keypad", role: "group", "aria-label": "Keypad" }, ...keys);

  const near = meter("Microphone", "phone-level-near");
  const far = meter("Speaker", "phone-level-far");
  const levels = element("div", { class: "phone-levels" }, near.label, far.label);

  const number = element("input", {
    class: "phone-number",
    type: "tel",
    name: "to",
    autocomplete: "off",
    placeholder: "+1…",
    required: "",
    "data-testid": "phone-number",
  });
  const call = button("Call", "phone-call", "phone-ok");
  call.type = "submit";
  const label = element("label", { class: "phone-label" }, "Call a number of yours", number);
  const form = element("form", { class: "phone-form" }, label, call);

  const panel = element("section", { class: "phone-panel", "aria-label": "Softphone", tabindex: "-1" });
  panel.append(state, error, actions, levels, keypad, form);
  root.replaceChildren(panel);

  let ownNumber = "";
  let isTakenOver = false;
  /** @type {State} */
  let current = "closed";

  /**
   * @param {State} next
   * @param {string} words
   */
  const show = (next, words) => {
    const hadFocus = panel.contains(document.activeElement);
    current = next;
    panel.dataset.state = next;
    state.textContent = words;
    connect.hidden = next !== "closed";
    answer.hidden = next !== "ringing";
    decline.hidden = next !== "ringing";
    hangUp.hidden = !["answering", "calling", "talking"].includes(next);
    for (const key of keys) {
      key.disabled = next !== "talking";
    }
    number.disabled = next !== "idle";
    call.disabled = next !== "idle";
    if (next === "idle" || next === "closed") {
      near.show(METER_FLOOR_DBFS);
      far.show(METER_FLOOR_DBFS);
    }
    // Whoever works with the keyboard stays here when a button goes, and does not press the next one unawares.
    if (hadFocus && document.activeElement?.matches(":enabled:not([hidden])") !== true) {
      panel.focus();
    }
  };
  const waiting = () => (ownNumber === "" ? "Connected" : `Waiting for calls to ${ownNumber}`);
  const forgetError = () => {
    error.hidden = true;
    error.textContent = "";
  };

  /**
   * @param {string} name
   * @param {(detail: any) => void} handler
   */
  const on = (name, handler) => {
    phone.addEventListener(name, (event) => handler(/** @type {CustomEvent} */ (event).detail), { signal });
  };
  on("ready", ({ number: own }) => {
    ownNumber = own;
    show("idle", waiting());
  });
  on("ringing", (/** @type {Call} */ { from, provider }) => {
    forgetError();
    show("ringing", `Ringing: ${from} calls, through ${provider}`);
    // Who is typing elsewhere does not answer by it.
    if (document.activeElement === document.body || document.activeElement === panel) {
      answer.focus();
    }
  });
  on("calling", (/** @type {Call} */ { to, provider }) => show("calling", `Calling ${to}, through ${provider}`));
  on("answered", () => show("talking", "You are talking"));
  on("ended", ({ cause }) => show("idle", `${CAUSES[cause] ?? "The call is over"}. ${waiting()}`));
  on("levels", (/** @type {import("./softphone.js").Levels} */ loud) => {
    near.show(loud.near);
    far.show(loud.far);
  });
  on("error", ({ kind, message }) => {
    error.textContent = message;
    error.hidden = false;
    if (kind === "refused" && current === "calling" && !phone.hasCall) {
      show("idle", waiting());
    }
  });
  on("closed", () => {
    if (!isTakenOver) {
      show("closed", "Not connected");
    }
  });
  on("taken-over", () => {
    isTakenOver = true;
    show("closed", "Another window is the softphone now");
  });

  const connectNow = async () => {
    forgetError();
    isTakenOver = false;
    show("closed", "Connecting…");
    connect.hidden = true;
    await phone.connect();
  };
  connect.addEventListener("click", connectNow, { signal });
  answer.addEventListener(
    "click",
    () => {
      show("answering", "Answering…");
      return phone.answer();
    },
    { signal },
  );
  decline.addEventListener("click", () => phone.decline(), { signal });
  hangUp.addEventListener("click", () => phone.hangUp(), { signal });
  form.addEventListener(
    "submit",
    async (event) => {
      event.preventDefault();
      forgetError();
      const to = number.value.replace(/[\s().-]/g, "");
      show("calling", `Calling ${to}…`);
      await phone.call(to);
    },
    { signal },
  );
  panel.addEventListener(
    "keydown",
    (event) => {
      const typing = event.target === number || event.ctrlKey || event.metaKey || event.altKey;
      if (current === "talking" && !typing && KEYS.includes(event.key)) {
        event.preventDefault();
        phone.press(event.key);
      }
    },
    { signal },
  );

  void connectNow();
  return {
    phone,
    unmount: () => {
      listening.abort();
      phone.close();
      root.replaceChildren();
    },
  };
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
}

/**
 * @param {string} words
 * @param {string} testId
 * @param {string} kind
 */
function button(words, testId, kind) {
  return element("button", { type: "button", class: `phone-button ${kind}`, "data-testid": testId }, words);
}

/**
 * @param {string} words
 * @param {string} testId
 */
function meter(words, testId) {
  const shown = element("meter", {
    class: "phone-meter",
    min: String(METER_FLOOR_DBFS),
    max: "0",
    value: String(METER_FLOOR_DBFS),
    "data-testid": testId,
  });
  const label = element("label", { class: "phone-level" }, words, shown);
  return {
    label,
    show: (/** @type {number} */ dbfs) => {
      shown.value = Math.max(METER_FLOOR_DBFS, dbfs);
    },
  };
}
