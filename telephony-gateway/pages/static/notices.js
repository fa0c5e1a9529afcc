// @ts-check
/** Short words in a corner of the page, which screen readers say too. */

/** How long one that needs no answer is shown, in milliseconds. */
const SHOWN_FOR = 6_000;

/** Where words wait for the page that comes next. */
const NEXT = "telephony-notice";

/** Says what the page before has left to say. */
export function bindNotices() {
  const left = sessionStorage.getItem(NEXT);
  if (left !== null) {
    sessionStorage.removeItem(NEXT);
    const { words, tone } = JSON.parse(left);
    notice(words, tone);
  }
}

/**
 * Leaves words to the page that comes next: on this one nobody would read them.
 *
 * @param {string} words
 * @param {"plain" | "bad"} [tone]
 */
export function noticeOnNextPage(words, tone = "plain") {
  sessionStorage.setItem(NEXT, JSON.stringify({ words, tone }));
}

/**
 * @param {string} words
 * @param {"plain" | "bad"} [tone]
 */
export function notice(words, tone = "plain") {
  const corner = document.getElementById("notices");
  if (corner === null) {
    return;
  }
  const shown = document.createElement("p");
  shown.className = `notice ${tone}`;
  shown.dataset.testid = "notice";
  shown.textContent = words;
  corner.replaceChildren(shown);
  if (tone === "plain") {
    setTimeout(() => shown.remove(), SHOWN_FOR);
  } else {
    const close = document.createElement("button");
    close.type = "button";
    close.className = "quiet";
    close.textContent = "Close";
    close.addEventListener("click", () => shown.remove());
    shown.append(" ", close);
  }
}
