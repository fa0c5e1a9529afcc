import assert from "node:assert/strict";
import { test } from "node:test";

import { aboutNumber, countryOf } from "../../telephony-gateway/pages/static/countries.js";

test("a number says its country as soon as it can", () => {
  const known = [
    ["+49", "DE"],
    ["+4930123456", "DE"],
    ["+44 20 7946 0000", "GB"],
    ["+12025550100", "US"],
    ["+1 (416) 555-0100", "CA"],
    ["+1876", "JM"],
    ["+7701", "KZ"],
    ["+7495", "RU"],
    ["+353", "IE"],
    ["+852", "HK"],
  ];
  for (const [number, region] of known) {
    assert.deepEqual(countryOf(number), { region }, number);
  }
});

test("what is of no country, of many, or not known yet is not guessed", () => {
  assert.deepEqual(countryOf("+1"), { words: "North America" });
  assert.deepEqual(countryOf("+18005550100"), { words: "toll-free in North America" });
  assert.deepEqual(countryOf("+8811"), { words: "satellite network" });
  for (const number of ["", "+", "+3", "49", "0049", "+999"]) {
    assert.equal(countryOf(number), null, number);
  }
});

test("beneath the field stands what to type, or whose number it is", () => {
  assert.match(aboutNumber("", "en"), /SIP URI/);
  assert.equal(aboutNumber("sip:anna@example.com", "en"), "A SIP URI.");
  assert.match(aboutNumber("030 123", "en"), /Begin with \+/);
  assert.equal(aboutNumber("+49", "en"), "Germany");
  assert.equal(aboutNumber("+4", "en"), "Which country?");
  assert.equal(aboutNumber("+9991", "en"), "No country has this code.");
});
