// @ts-check
/** What comes after something was done: words about it, and where it leads. */

import { address } from "./api.js";
import { notice, noticeOnNextPage } from "./notices.js";

/**
 * Puts an answer's fields in place of their names in braces.
 *
 * @param {string} text
 * @param {any} answer
 */
function filled(text, answer) {
  return text.replaceAll(/\{(\w+)\}/g, (_, name) => String(answer?.[name] ?? ""));
}

/**
 * Says that something is done, where it leads if it leads elsewhere, and goes there.
 *
 * @param {string | undefined} said
 * @param {string | undefined} then
 * @param {any} answer
 */
export function conclude(said, then, answer) {
  if (said !== undefined) {
    const say = then === undefined ? notice : noticeOnNextPage;
    say(filled(said, answer));
  }
  follow(then, answer);
}

/**
 * Goes where an action leads.
 *
 * @param {string | undefined} then
 * @param {any} answer
 */
export function follow(then, answer) {
  if (then === "reload") {
    location.reload();
  } else if (then !== undefined) {
    location.assign(address(filled(then, answer)));
  }
}
