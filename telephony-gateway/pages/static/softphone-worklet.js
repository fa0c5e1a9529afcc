// @ts-check
/**
 * The softphone's ends of the audio, on the audio thread: one takes ticks from the microphone, the other plays those that are heard.
 *
 * A tick is 20 ms: 320 samples of 16 bits, mono, 16 kHz little-endian (the order of every machine that has a browser). Both report how loud it is, in dBFS, ten times a second.
 */

/** @typedef {{ AudioWorkletProcessor: new () => { port: MessagePort }, registerProcessor: (name: string, made: unknown) => void }} Scope */

/** @type {Scope} */
const { AudioWorkletProcessor, registerProcessor } = /** @type {any} */ (globalThis);

/** Samples in a tick. */
const TICK = 320;

/** So much is held back before it is played, and after a gap: 60 ms. */
const HOLD = 3 * TICK;

/** So much may wait. Beyond 200 ms a talk is no talk, and the oldest goes, down to what is held back. */
const MOST = 10 * TICK;

/** How often loudness is reported: 100 ms. */
const LEVEL_EVERY = 1_600;

/** What silence counts as. */
const SILENCE_DBFS = -100;

/** How loud it was since the last report. */
class Loudness {
  #squares = 0;
  #samples = 0;

  /**
   * @param {Float32Array} samples
   * @returns {number | undefined} the level in dBFS, once it is time to report it
   */
  add(samples) {
    for (const sample of samples) {
      this.#squares += sample * sample;
    }
    this.#samples += samples.length;
    if (this.#samples < LEVEL_EVERY) {
      return undefined;
    }
    const mean = this.#squares / this.#samples;
    this.#squares = 0;
    this.#samples = 0;
    return Math.max(SILENCE_DBFS, 10 * Math.log10(mean));
  }
}

/** Takes ticks from its input. Posts `{ tick: ArrayBuffer }` and `{ level: number }`. */
class Capture extends AudioWorkletProcessor {
  #tick = new Int16Array(TICK);
  #filled = 0;
  #loudness = new Loudness();

  /** @param {Float32Array[][]} inputs */
  process(inputs) {
    const samples = inputs[0]?.[0];
    if (samples === undefined) {
      return true;
    }
    for (const sample of samples) {
      this.#tick[this.#filled] = Math.round(Math.max(-1, Math.min(1, sample)) * 32_767);
      this.#filled += 1;
      if (this.#filled === TICK) {
        const tick = this.#tick.buffer;
        this.#tick = new Int16Array(TICK);
        this.#filled = 0;
        this.port.postMessage({ tick }, [tick]);
      }
    }
    const level = this.#loudness.add(samples);
    if (level !== undefined) {
      this.port.postMessage({ level });
    }
    return true;
  }
}

/** Plays ticks. Is posted an `ArrayBuffer` each, or `null` to forget what waits; posts `{ level: number }`. */
class Playout extends AudioWorkletProcessor {
  #ring = new Float32Array(MOST);
  #start = 0;
  #waiting = 0;
  #holding = true;
  #loudness = new Loudness();

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === null) {
        this.#waiting = 0;
        this.#holding = true;
      } else {
        this.#take(new Int16Array(data));
      }
    };
  }

  /** @param {Int16Array} tick */
  #take(tick) {
    if (this.#waiting + tick.length > MOST) {
      const dropped = this.#waiting + tick.length - HOLD;
      this.#start = (this.#start + dropped) % MOST;
      this.#waiting -= dropped;
    }
    for (const sample of tick) {
      this.#ring[(this.#start + this.#waiting) % MOST] = sample / 32_768;
      this.#waiting += 1;
    }
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const output = outputs[0]?.[0];
    if (output === undefined) {
      return true;
    }
    if (this.#holding && this.#waiting >= HOLD) {
      this.#holding = false;
    }
    if (!this.#holding) {
      const count = Math.min(output.length, this.#waiting);
      for (let n = 0; n < count; n += 1) {
        output[n] = this.#ring[(this.#start + n) % MOST] ?? 0;
      }
      this.#start = (this.#start + count) % MOST;
      this.#waiting -= count;
      this.#holding = count < output.length;
    }
    const level = this.#loudness.add(output);
    if (level !== undefined) {
      this.port.postMessage({ level });
    }
    return true;
  }
}

registerProcessor("softphone-capture", Capture);
registerProcessor("softphone-playout", Playout);
