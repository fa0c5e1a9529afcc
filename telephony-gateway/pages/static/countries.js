// @ts-check
/** Which country a number belongs to, by its first digits: ITU-T E.164 (country codes), and the area codes of those that share +1. */

/** The country codes, each with the country that it is of; of those that several share, the one that most of its numbers are in. */
const CODES =
  "20EG 211SS 212MA 213DZ 216TN 218LY 220GM 221SN 222MR 223ML 224GN 225CI 226BF 227NE 228TG 229BJ 230MU 231LR 232SL 233GH 234NG 235TD " +
  "236CF 237CM 238CV 239ST 240GQ 241GA 242CG 243CD 244AO 245GW 246IO 247AC 248SC 249SD 250RW 251ET 252SO 253DJ 254KE 255TZ 256UG 257BI " +
  "258MZ 260ZM 261MG 262RE 263ZW 264NA 265MW 266LS 267BW 268SZ 269KM 27ZA 290SH 291ER 297AW 298FO 299GL 30GR 31NL 32BE 33FR 34ES 350GI " +
  "351PT 352LU 353IE 354IS 355AL 356MT 357CY 358FI 359BG 36HU 370LT 371LV 372EE 373MD 374AM 375BY 376AD 377MC 378SM 380UA 381RS 382ME " +
  "383XK 385HR 386SI 387BA 389MK 39IT 40RO 41CH 420CZ 421SK 423LI 43AT 44GB 45DK 46SE 47NO 48PL 49DE 500FK 501BZ 502GT 503SV 504HN 505NI " +
  "506CR 507PA 508PM 509HT 51PE 52MX 53CU 54AR 55BR 56CL 57CO 58VE 590GP 591BO 592GY 593EC 594GF 595PY 596MQ 597SR 598UY 599CW 60MY 61AU " +
  "62ID 63PH 64NZ 65SG 66TH 670TL 672NF 673BN 674NR 675PG 676TO 677SB 678VU 679FJ 680PW 681WF 682CK 683NU 685WS 686KI 687NC 688TV 689PF " +
  "690TK 691FM 692MH 7RU 76KZ 77KZ 81JP 82KR 84VN 850KP 852HK 853MO 855KH 856LA 86CN 880BD 886TW 90TR 91IN 92PK 93AF 94LK 95MM 960MV 961LB " +
  "962JO 963SY 964IQ 965KW 966SA 967YE 968OM 970PS 971AE 972IL 973BH 974QA 975BT 976MN 977NP 98IR 992TJ 993TM 994AZ 995GE 996KG 998UZ " +
  "1242BS 1246BB 1264AI 1268AG 1284VG 1340VI 1345KY 1441BM 1473GD 1649TC 1658JM 1664MS 1670MP 1671GU 1684AS 1721SX 1758LC 1767DM 1784VC " +
  "1787PR 1809DO 1829DO 1849DO 1868TT 1869KN 1876JM 1939PR 1US";

/** The area codes of Canada. */
const CANADA = new Set(
  (
    "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 438 450 460 468 474 506 514 519 548 579 581 584 " +
    "587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905 942"
  ).split(" "),
);

/** Codes that are of no country. */
const ELSEWHERE = new Map([
  ["1800", "toll-free in North America"],
  ["1833", "toll-free in North America"],
  ["1844", "toll-free in North America"],
  ["1855", "toll-free in North America"],
  ["1866", "toll-free in North America"],
  ["1877", "toll-free in North America"],
  ["1888", "toll-free in North America"],
  ["800", "international freephone"],
  ["870", "satellite network"],
  ["881", "satellite network"],
  ["882", "international network"],
  ["883", "international network"],
]);

const COUNTRIES = new Map(CODES.split(" ").map((entry) => [entry.slice(0, -2), entry.slice(-2)]));

/**
 * The country of a number, as ISO 3166-1 alpha-2, or in words what it is of instead.
 *
 * @param {string} number in E.164, as far as it is typed
 * @returns {{ region: string } | { words: string } | null} `null` if that cannot be said (yet)
 */
export function countryOf(number) {
  const digits = number.replace(/[^\d]/g, "");
  if (!number.trim().startsWith("+")) {
    return null;
  }
  for (let length = Math.min(4, digits.length); length > 0; length -= 1) {
    const code = digits.slice(0, length);
    const words = ELSEWHERE.get(code);
    if (words !== undefined) {
      return { words };
    }
    if (length === 4 && code.startsWith("1") && CANADA.has(code.slice(1))) {
      return { region: "CA" };
    }
    const region = COUNTRIES.get(code);
    if (region !== undefined) {
      // +1 alone is of two dozen countries.
      return region === "US" && digits.length < 4 ? { words: "North America" } : { region };
    }
  }
  return null;
}

/**
 * What a field for numbers says beneath it.
 *
 * @param {string} text what is typed so far
 * @param {string} [language]
 */
export function aboutNumber(text, language) {
  const typed = text.trim();
  if (typed === "") {
    return "With + and the country's code, or a SIP URI.";
  }
  if (/^sips?:/i.test(typed)) {
    return "A SIP URI.";
  }
  if (!typed.startsWith("+")) {
    return "Begin with + and the country's code, such as +44.";
  }
  const country = countryOf(typed);
  if (country === null) {
    return typed.length < 5 ? "Which country?" : "No country has this code.";
  }
  if ("words" in country) {
    return country.words;
  }
  return new Intl.DisplayNames(language, { type: "region" }).of(country.region) ?? country.region;
}
