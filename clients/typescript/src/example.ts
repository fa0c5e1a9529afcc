/**
 * Places a call, follows it to its end, and prints it with its ledger as JSON.
 *
 * TELEPHONY_URL and TELEPHONY_API_TOKEN say where and as whom; the argument is the number to call.
 */

import { type Call, answered, telephony } from "./index.js";

// What is used of Node: its types would be a package more.
declare const process: { argv: string[]; env: Record<string, string | undefined>; exitCode?: number };

async function main(): Promise<void> {
  const { TELEPHONY_URL: gateway, TELEPHONY_API_TOKEN: token } = process.env;
  const to = process.argv[2];
  if (gateway === undefined || token === undefined || to === undefined) {
    throw new Error("usage: TELEPHONY_URL=http://127.0.0.1:8080 TELEPHONY_API_TOKEN=tel_… node dist/example.js +12025550100");
  }
  const client = telephony({ gateway, token });

  const providers = answered(await client.GET("/api/v1/providers"));
  const workflow = answered(
    await client.POST("/api/v1/workflows", {
      body: { name: `example ${new Date().toISOString()}`, agent: { type: "echo" }, record: false },
    }),
  );
  let call: Call = answered(
    await client.POST("/api/v1/telephony/initiate-call", { body: { workflow_id: workflow.id, to } }),
  );
  const path = { id: call.id };
  while (!call.is_over) {
    // The gateway says by itself when something happens: the stream is read to its end, which comes with that of the call.
    const live = await client.GET("/api/v1/calls/{id}/live", { params: { path }, parseAs: "text" });
    answered<unknown>(live);
    call = answered(await client.GET("/api/v1/calls/{id}", { params: { path } }));
  }
  const events = answered(await client.GET("/api/v1/calls/{id}/events", { params: { path } }));
  console.log(JSON.stringify({ providers: providers.map(({ name }) => name), call, events }));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
