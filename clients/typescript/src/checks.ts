/**
 * What the compiler must refuse: should the client become vague, a line that is expected to be wrong is not, and `tsc` says so.
 */

import type { Call, TelephonyClient } from "./index.js";

export async function wrong(client: TelephonyClient, call: Call): Promise<void> {
  // @ts-expect-error there is no such path
  await client.GET("/api/v1/telephones");
  // @ts-expect-error a call needs a workflow
  await client.POST("/api/v1/telephony/initiate-call", { body: { to: "+12025550100" } });
  // @ts-expect-error whom to call is text
  await client.POST("/api/v1/telephony/initiate-call", { body: { workflow_id: "", to: 12025550100 } });
  // @ts-expect-error a path has its parameters
  await client.GET("/api/v1/calls/{id}");
  // @ts-expect-error a status is one of the known words
  const answered: boolean = call.status === "answered";
  // @ts-expect-error a price may not be there
  const price: string = call.cost.amount;
  void answered;
  void price;
}
