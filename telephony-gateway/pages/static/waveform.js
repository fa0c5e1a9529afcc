// @ts-check
/**
 * What a call sounded like: `<div data-waveform="api/…" data-recording="api/…">` with a list of moments. Above the caller, below what the
 * caller heard; a press on it plays from there.
 */

import { ask } from "./api.js";
import { notice } from "./notices.js";
import { clock } from "./times.js";

/** @typedef {{ seconds: number, caller: number[], agent: number[] }} Waveform loudest sample of each slice, 0 to 1 */

/** How high the picture is, in CSS pixels. */
const HEIGHT = 120;

export function bindWaveforms() {
  for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-waveform]"))) {
    void bind(root);
  }
  // The recording of a call that has just ended is put into the page.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) {
        const root = node instanceof Element ? node.querySelector("[data-waveform]") : null;
        if (root instanceof HTMLElement) {
          void bind(root);
        }
      }
    }
  }).observe(document.body, { childList: true, subtree: true });
}

/** @param {HTMLElement} root */
async function bind(root) {
  if (root.dataset.bound !== undefined) {
    return;
  }
  root.dataset.bound = "";
  const audio = document.createElement("audio");
  audio.controls = true;
  audio.preload = "metadata";
  audio.src = new URL(root.dataset.recording ?? "", document.baseURI).href;
  audio.dataset.testid = "player";
  const picture = document.createElement("canvas");
  picture.height = HEIGHT;
  picture.className = "waveform";
  picture.dataset.testid = "waveform-picture";
  picture.setAttribute("role", "img");
  const legend = document.createElement("p");
  legend.className = "about legend";
  legend.textContent = "Above: the caller. Below: what the caller heard. Press anywhere to play from there.";
  root.prepend(picture, audio, legend);
  /** @type {Waveform} */
  let wave;
  try {
    wave = await ask("GET", root.dataset.waveform ?? "");
  } catch (error) {
    picture.remove();
    legend.textContent = /** @type {Error} */ (error).message;
    return;
  }
  picture.setAttribute("aria-label", `Loudness of both sides over ${clock(wave.seconds)}`);
  const moments = [...root.querySelectorAll("[data-at]")].map((item) => ({
    at: Number(/** @type {HTMLElement} */ (item).dataset.at) / 1000,
    what: item.textContent ?? "",
  }));
  const list = root.querySelector(".moments");
  if (list !== null && moments.length > 0) {
    listMoments(/** @type {HTMLElement} */ (list), moments, audio);
  }
  const draw = () => drawWave(picture, wave, moments, audio.currentTime);
  picture.addEventListener("click", (event) => {
    void playFrom(audio, (event.offsetX / picture.clientWidth) * wave.seconds);
  });
  audio.addEventListener("timeupdate", draw);
  audio.addEventListener("seeked", draw);
  new ResizeObserver(draw).observe(picture);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}

/**
 * @param {HTMLAudioElement} audio
 * @param {number} at seconds
 */
async function playFrom(audio, at) {
  audio.currentTime = at;
  try {
    await audio.play();
  } catch (error) {
    // Who stops it before it has begun wants nothing else.
    if (/** @type {DOMException} */ (error).name !== "AbortError") {
      notice(`The recording cannot be played: ${/** @type {Error} */ (error).message}`, "bad");
    }
  }
}

/**
 * @param {HTMLElement} list
 * @param {{ at: number, what: string }[]} moments
 * @param {HTMLAudioElement} audio
 */
function listMoments(list, moments, audio) {
  list.hidden = false;
  list.replaceChildren(
    ...moments.map(({ at, what }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = `${clock(at)} ${what}`;
      button.addEventListener("click", () => playFrom(audio, at));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

/**
 * @param {HTMLCanvasElement} picture
 * @param {Waveform} wave
 * @param {{ at: number }[]} moments
 * @param {number} now seconds
 */
function drawWave(picture, wave, moments, now) {
  const scale = devicePixelRatio;
  const [width, height] = [Math.round(picture.clientWidth * scale), Math.round(HEIGHT * scale)];
  if (picture.width !== width || picture.height !== height) {
    picture.width = width;
    picture.height = height;
  }
  const context = picture.getContext("2d");
  if (context === null || width === 0) {
    return;
  }
  const colour = (/** @type {string} */ name) => getComputedStyle(picture).getPropertyValue(name).trim();
  context.clearRect(0, 0, width, height);
  const middle = height / 2;
  const at = (/** @type {number} */ seconds) => (wave.seconds === 0 ? 0 : (seconds / wave.seconds) * width);
  context.fillStyle = colour("--line");
  context.fillRect(0, middle, width, 1);
  for (const [side, name, direction] of /** @type {const} */ ([
    ["caller", "--caller", -1],
    ["agent", "--agent", 1],
  ])) {
    context.fillStyle = colour(name);
    const peaks = wave[side];
    const step = width / Math.max(1, peaks.length);
    peaks.forEach((peak, index) => {
      // The ear hears ratios: half as loud is a fair part of the height still.
      const high = Math.max(scale, Math.sqrt(peak) * (middle - 2 * scale));
      context.fillRect(index * step, direction < 0 ? middle - high : middle, Math.max(1, step - 0.3), high);
    });
  }
  context.fillStyle = colour("--muted");
  for (const moment of moments) {
    context.fillRect(at(moment.at), 0, scale, height);
  }
  context.fillStyle = colour("--text");
  context.fillRect(at(now), 0, 2 * scale, height);
}
