// @ts-check
/** Asking the gateway's HTTP API. */

/**
 * @typedef {object} FieldError
 * @property {string} field
 * @property {string} reason
 */

/** What the gateway says when something is wrong: problem details, RFC 9457. */
export class Problem extends Error {
  /**
   * @param {number} status 0 if the gateway could not be reached
   * @param {string} title
   * @param {string} detail
   * @param {FieldError[]} [errors]
   */
  constructor(status, title, detail, errors = []) {
    super(detail);
    this.status = status;
    this.title = title;
    this.errors = errors;
  }
}

/**
 * The address of something of the gateway's, wherever a proxy has put it.
 *
 * @param {string} path without a slash before it
 */
export const address = (path) => new URL(path, document.baseURI);

/**
 * Asks, and returns what is answered: JSON, or `null` where nothing is.
 *
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 * @throws {Problem}
 */
export async function ask(method, path, body, headers = {}) {
  /** @type {RequestInit} */
  const request = { method, headers: { accept: "application/json", ...headers } };
  if (body !== undefined) {
    request.headers = { ...request.headers, "content-type": "application/json" };
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(address(path), request);
  } catch {
    throw new Problem(0, "Not reached", "The gateway cannot be reached. See whether it runs, and try again.");
  }
  const text = await response.text();
  const isJson = /[/+]json\b/.test(response.headers.get("content-type") ?? "");
  const answer = isJson && text !== "" ? JSON.parse(text) : null;
  if (!response.ok) {
    const title = answer?.title ?? response.statusText;
    const signedOut = "You are not signed in any more. Open a new sign-in link, then load this page again.";
    const detail = response.status === 401 ? signedOut : (answer?.detail ?? `The gateway answers ${response.status}.`);
    throw new Problem(response.status, title, detail, answer?.errors);
  }
  return answer;
}

/**
 * Splits `"POST api/v1/…"`.
 *
 * @param {string} text
 * @returns {[method: string, path: string]}
 */
export function methodAndPath(text) {
  const space = text.indexOf(" ");
  return [text.slice(0, space), text.slice(space + 1)];
}
