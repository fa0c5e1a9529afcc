/**
 * A typed client of the telephony gateway's HTTP API.
 *
 * Paths, parameters, bodies and answers are those of `openapi.json`; `schema.ts` is made from it by `cargo xtask generate-client`.
 */

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, operations, paths } from "./schema.js";

/** A call. */
export type Call = components["schemas"]["Call"];
/** A row of a call's ledger. */
export type CallEvent = components["schemas"]["CallEvent"];
/** What is wrong with a request: problem details (RFC 9457) that name the fields. */
export type Problem = components["schemas"]["Problem"];

/** The client: `client.GET("/api/v1/calls", …)` and so on. */
export type TelephonyClient = Client<paths>;

/** What a client needs to know. */
export interface TelephonyOptions {
  /** Where the gateway is, such as `https://calls.example.com`. */
  gateway: string;
  /** An API token (`tel_…`). A page that the gateway has signed in needs none. */
  token?: string;
  /** Sends the requests, instead of the global `fetch`. */
  fetch?: (request: Request) => Promise<Response>;
}

/** Makes a client. */
export function telephony({ gateway, token, fetch }: TelephonyOptions): TelephonyClient {
  return createClient<paths>({
    baseUrl: gateway.replace(/\/+$/, ""),
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    ...(fetch === undefined ? {} : { fetch }),
  });
}

/** A request that the gateway refused, with its reasons. */
export class TelephonyError extends Error {
  constructor(readonly problem: Problem) {
    const fields = (problem.errors ?? []).map(({ field, reason }) => `${field} ${reason}`);
    super(`${problem.status} ${problem.title}: ${fields.length > 0 ? fields.join("; ") : (problem.detail ?? "")}`);
    this.name = "TelephonyError";
  }
}

/** What was answered, or a {@link TelephonyError}. */
export function answered<T>(result: { data?: T; error?: Problem }): T {
  if (result.error !== undefined) {
    throw new TelephonyError(result.error);
  }
  // An answer without a body has no data, and its type says so.
  return result.data as T;
}
