// @ts-check
/** Times in the viewer's zone, and timers that run. */

const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const TO_THE_SECOND = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/**
 * Writes every `<time data-time>` in the viewer's zone; all of it stands in its title.
 *
 * @param {ParentNode} root
 */
export function localizeTimes(root) {
  for (const shown of /** @type {NodeListOf<HTMLTimeElement>} */ (root.querySelectorAll("time[data-time]"))) {
    const moment = new Date(shown.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      shown.textContent = DAY_AND_TIME.format(moment);
      shown.title = TO_THE_SECOND.format(moment);
    }
  }
}

/**
 * A length of time as a clock shows it: `0:07`, `1:00:00`.
 *
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ part) => String(part).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Lets every `[data-timer]` count up from its moment, once a second. */
export function startTimers() {
  const tick = () => {
    for (const shown of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-timer]"))) {
      shown.textContent = clock((Date.now() - Date.parse(shown.dataset.timer ?? "")) / 1000);
    }
  };
  tick();
  setInterval(tick, 1_000);
}
