// @ts-check
/**
 * Parts of a page that stay up to date: `<… id="…" data-live="api/…/live">`. When the gateway says that something has changed, the page
 * is fetched again, and the part is made like the new one. There is one way in which a page is written, and it is not here.
 */

import { address } from "./api.js";
import { localizeTimes } from "./times.js";

/** Changes that come together are shown together: milliseconds. */
const TOGETHER = 150;

export function bindLive() {
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-live]"))) {
    follow(part, address(part.dataset.live ?? ""), new URL(location.href), `#${part.id}`);
  }
}

/**
 * Keeps an element like one of a page, as long as it is in the document.
 *
 * @param {HTMLElement} part
 * @param {URL} events where changes are told
 * @param {URL} page where the part is written
 * @param {string} selector which part of that page it is; one with `data-settled` does not change any more
 * @returns {() => void} ends it
 */
export function follow(part, events, page, selector) {
  const source = new EventSource(events);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  let isFetching = false;
  let isStale = false;
  const refresh = async () => {
    waiting = undefined;
    if (isFetching) {
      isStale = true;
      return;
    }
    isFetching = true;
    do {
      isStale = false;
      const fresh = await fetched(page, selector);
      if (fresh !== null) {
        localizeTimes(fresh);
        morph(part, fresh);
        if (part.dataset.settled !== undefined) {
          end();
        }
      }
    } while (isStale);
    isFetching = false;
  };
  const changed = () => {
    waiting ??= setTimeout(refresh, TOGETHER);
  };
  source.addEventListener("call", changed);
  source.addEventListener("event", changed);
  source.addEventListener("levels", (event) => {
    const levels = JSON.parse(/** @type {MessageEvent} */ (event).data);
    for (const meter of /** @type {NodeListOf<HTMLMeterElement>} */ (part.querySelectorAll("[data-level]"))) {
      meter.value = levels[meter.dataset.level ?? ""] ?? meter.min;
    }
  });
  // One that broke, the browser opens again by itself; one that the gateway has ended is of a call with which nothing happens any more.
  source.addEventListener("error", changed);
  const end = () => {
    clearTimeout(waiting);
    source.close();
  };
  addEventListener("pagehide", end, { once: true });
  return end;
}

/**
 * @param {URL} page
 * @param {string} selector
 * @returns {Promise<HTMLElement | null>} `null` if it cannot be had now
 */
async function fetched(page, selector) {
  try {
    const response = await fetch(page, { headers: { accept: "text/html" } });
    if (!response.ok) {
      return null;
    }
    const written = new DOMParser().parseFromString(await response.text(), "text/html");
    return /** @type {HTMLElement | null} */ (written.querySelector(selector));
  } catch {
    return null;
  }
}

/** What somebody who uses the page has done to an element, and a fresh one does not know. */
const OF_THE_USER = new Set(["open", "aria-busy", "disabled"]);

/**
 * Makes an element like another, and touches only what differs: what is open stays open, and what has the focus keeps it. Children with
 * an id are told by it. An element with `data-keep` stays as it is.
 *
 * @param {Element} old
 * @param {Element} fresh
 */
export function morph(old, fresh) {
  if (old.hasAttribute("data-keep") && fresh.hasAttribute("data-keep")) {
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (!OF_THE_USER.has(name) && old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
    }
  }
  for (const { name } of [...old.attributes]) {
    if (!OF_THE_USER.has(name) && !fresh.hasAttribute(name)) {
      old.removeAttribute(name);
    }
  }
  /** @type {ChildNode | null} */
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const found = match(at, old, wanted);
    if (found === null) {
      old.insertBefore(document.importNode(wanted, true), at);
      continue;
    }
    if (found !== at) {
      old.insertBefore(found, at);
    } else {
      at = at.nextSibling;
    }
    if (found instanceof Element && wanted instanceof Element) {
      // What is typed, measured and counted here is not in the page.
      const timer = found.getAttribute("data-timer");
      const counts = timer !== null && timer === wanted.getAttribute("data-timer");
      if (!counts && !found.matches("input, textarea, select, meter")) {
        morph(found, wanted);
      }
    } else if (found.nodeValue !== wanted.nodeValue) {
      found.nodeValue = wanted.nodeValue;
    }
  }
  while (at !== null) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/**
 * The old child that stands for a new one: of the same id, wherever it is, or else the next, if it is of the same kind.
 *
 * @param {ChildNode | null} at
 * @param {Element} parent
 * @param {ChildNode} wanted
 * @returns {ChildNode | null}
 */
function match(at, parent, wanted) {
  if (wanted instanceof Element && wanted.id !== "") {
    const known = [...parent.children].find((child) => child.id === wanted.id);
    return known ?? null;
  }
  if (at === null || at.nodeType !== wanted.nodeType) {
    return null;
  }
  if (at instanceof Element && wanted instanceof Element) {
    return at.tagName === wanted.tagName && at.id === "" ? at : null;
  }
  return at;
}
