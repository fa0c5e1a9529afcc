import assert from "node:assert/strict";
import { test } from "node:test";

import { clock } from "../../telephony-gateway/pages/static/times.js";

test("a clock shows minutes, and hours where there are any", () => {
  assert.deepEqual([0, 7.9, 65, 3600, 36_061].map(clock), ["0:00", "0:07", "1:05", "1:00:00", "10:01:01"]);
  assert.equal(clock(-3), "0:00", "the clocks of two machines differ");
});
