// @ts-check
/**
 * The softphone of the sandbox: simulated carriers ring it, and whoever sits before the browser is the person called. What goes over the
 * socket is described in the gateway's `api/softphone.rs`.
 *
 * The microphone is open during a call only.
 */

/**
 * @typedef {object} Call a call that rings, or is being made
 * @property {string} provider the provider whose simulated carrier carries it
 * @property {string} call the carrier's id
 * @property {string} from who calls
 * @property {string} to who is called
 */

/** @typedef {{ near: number, far: number }} Levels how loud it is at the microphone and at the speaker, in dBFS; -100 is silence */

/** @typedef {"microphone" | "audio" | "refused" | "connection"} ErrorKind */

/** Samples per second of what is said and heard. */
const RATE_HZ = 16_000;

/** Bytes of a message of sound. */
const TICK_BYTES = 640;

/** Sound that may wait to be sent: 200 ms. What comes after that is dropped. */
const MOST_UNSENT_BYTES = 10 * TICK_BYTES;

const SILENCE_DBFS = -100;

/**
 * A softphone. Events, each a `CustomEvent`:
 *
 * | event | `detail` | meaning |
 * | --- | --- | --- |
 * | `ready` | `{ number }` | it is registered, and that number rings it |
 * | `ringing`, `calling` | {@link Call} | somebody calls; the call asked for is being made |
 * | `answered` | | the two sides are connected |
 * | `ended` | `{ cause }` | the call is over |
 * | `levels` | {@link Levels} | about ten times a second during a call |
 * | `taken-over` | | another softphone has taken the place of this one |
 * | `error` | `{ kind, message }` | what is wrong, and what to do; `kind` is an {@link ErrorKind} |
 * | `closed` | | it is not connected any more, whatever the reason |
 */
export class Softphone extends EventTarget {
  #url;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {Audio | undefined} */
  #audio;
  /** Counts the calls: what is prepared for one that is over is of no use to the next. */
  #turn = 0;
  #hasCall = false;
  /** Whether a call that was asked for is neither made nor refused yet. */
  #isAsking = false;

  /** @param {{ url?: string | URL }} [options] `url`: where the socket is, as `http:` or `https:`; else it is beside the folder of this file */
  constructor({ url = new URL("../api/v1/sandbox/phone", import.meta.url) } = {}) {
    super();
    this.#url = new URL(url, document.baseURI);
  }

  /** Whether there is a call: it rings, is being made, or is up. */
  get hasCall() {
    return this.#hasCall;
  }

  /** Whether it is connected. */
  get isConnected() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /**
   * Connects, and takes over from the softphone before. Calls ring from then on. Does nothing if it is connected.
   *
   * @returns {Promise<void>} resolved once it is connected, or an `error` has said why not
   */
  async connect() {
    if (this.#socket !== undefined) {
      return;
    }
    const url = new URL(this.#url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let wasOpen = false;
    await new Promise((resolve) => {
      socket.addEventListener("open", () => {
        wasOpen = true;
        resolve(undefined);
      });
      socket.addEventListener("message", ({ data }) => {
        if (this.#socket === socket) {
          this.#receive(data);
        }
      });
      socket.addEventListener("close", async () => {
        if (this.#socket === socket) {
          this.#socket = undefined;
          this.#endCall();
          const lost = "The connection to the gateway was lost. Connect again.";
          this.#fail("connection", wasOpen ? lost : await this.#whyNot());
          this.#emit("closed");
        }
        resolve(undefined);
      });
    });
  }

  /**
   * Picks up the call that rings. Must come from a press of a key or a button, or the browser keeps the sound off.
   *
   * @returns {Promise<void>} resolved once it is sent: the microphone is asked for before
   */
  async answer() {
    await this.#openAudioAndSend({ type: "answer" });
  }

  /** Declines the call that rings. */
  decline() {
    this.#send({ type: "decline" });
  }

  /** Ends the call. */
  hangUp() {
    this.#send({ type: "hang_up" });
  }

  /**
   * Presses a key.
   *
   * @param {string} digit `0` to `9`, `*` or `#`
   */
  press(digit) {
    this.#send({ type: "digit", digit });
  }

  /**
   * Calls one of the organization's numbers. Must come from a press of a key or a button, or the browser keeps the sound off.
   *
   * @param {string} to in E.164
   * @param {{ from?: string, provider?: string }} [options] who calls, and through which provider's simulated carrier
   * @returns {Promise<void>} resolved once it is sent: the microphone is asked for before
   */
  async call(to, { from, provider } = {}) {
    if (!this.isConnected || this.#hasCall) {
      this.#fail("refused", this.#hasCall ? "There is a call already." : "The softphone is not connected.");
      return;
    }
    this.#hasCall = true;
    this.#isAsking = true;
    await this.#openAudioAndSend({ type: "call", to, from, provider });
  }

  /** Hangs up and disconnects. */
  close() {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#endCall();
    if (socket !== undefined) {
      socket.close();
      this.#emit("closed");
    }
  }

  /** @param {Record<string, unknown>} message */
  async #openAudioAndSend(message) {
    const turn = this.#turn;
    if (this.#audio === undefined) {
      let audio;
      try {
        audio = await Audio.open({
          tick: (tick) => this.#say(tick),
          levels: (levels) => this.#emit("levels", levels),
          noMicrophone: (reason) => this.#fail("microphone", reason),
        });
      } catch (error) {
        this.#fail("audio", `This browser cannot play or record here: ${text(error)}. You can still press keys.`);
      }
      if (turn === this.#turn && this.#audio === undefined) {
        this.#audio = audio;
      } else {
        audio?.close();
      }
    }
    if (turn === this.#turn) {
      this.#send(message);
    }
  }

  /** @param {ArrayBuffer} tick */
  #say(tick) {
    const socket = this.#socket;
    if (socket?.readyState === WebSocket.OPEN && socket.bufferedAmount <= MOST_UNSENT_BYTES) {
      socket.send(tick);
    }
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(message));
    } else {
      this.#fail("connection", "The softphone is not connected.");
    }
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    if (typeof data !== "string") {
      this.#audio?.play(data);
      return;
    }
    const { type, ...detail } = JSON.parse(data);
    switch (type) {
      case "ringing":
      case "calling":
        this.#hasCall = true;
        this.#isAsking = false;
        break;
      case "ended":
        this.#endCall();
        break;
      case "refused":
        if (this.#isAsking) {
          this.#endCall();
        }
        this.#fail("refused", `It was not done: ${detail.reason}.`);
        return;
      case "taken_over": {
        const socket = this.#socket;
        this.#socket = undefined;
        this.#endCall();
        socket?.close();
        this.#emit("taken-over");
        this.#emit("closed");
        return;
      }
      default:
        break;
    }
    this.#emit(type, detail);
  }

  #endCall() {
    this.#turn += 1;
    this.#hasCall = false;
    this.#isAsking = false;
    this.#audio?.close();
    this.#audio = undefined;
  }

  /** Asks the gateway why there is no socket, which the browser does not tell. */
  async #whyNot() {
    try {
      const response = await fetch(this.#url, { headers: { accept: "application/problem+json" } });
      if ([401, 403, 404, 503].includes(response.status)) {
        const problem = await response.json();
        return `The softphone cannot be connected: ${problem.detail}.`;
      }
    } catch (error) {
      return `The gateway cannot be reached: ${text(error)}.`;
    }
    return "The softphone cannot be connected. A proxy in between must let WebSockets through.";
  }

  /**
   * @param {string} name
   * @param {unknown} [detail]
   */
  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /**
   * @param {ErrorKind} kind
   * @param {string} message
   */
  #fail(kind, message) {
    this.#emit("error", { kind, message });
  }
}

/** The microphone and the speaker, during a call. */
class Audio {
  #context;
  #playout;
  /** @type {MediaStream | undefined} */
  #microphone;

  /**
   * @param {AudioContext} context
   * @param {AudioWorkletNode} playout
   * @param {MediaStream | undefined} microphone
   */
  constructor(context, playout, microphone) {
    this.#context = context;
    this.#playout = playout;
    this.#microphone = microphone;
  }

  /**
   * Opens both. Without a microphone one can still listen.
   *
   * @param {{ tick: (tick: ArrayBuffer) => void, levels: (levels: Levels) => void, noMicrophone: (reason: string) => void }} told
   * @returns {Promise<Audio>}
   */
  static async open(told) {
    const context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    /** @type {MediaStream | undefined} */
    let microphone;
    try {
      // The first thing, so that it is still within the press of the button.
      const resumed = context.resume();
      await context.audioWorklet.addModule(new URL("softphone-worklet.js", import.meta.url).href);
      await resumed;
      let near = SILENCE_DBFS;
      const playout = new AudioWorkletNode(context, "softphone-playout", { numberOfInputs: 0, outputChannelCount: [1] });
      playout.port.onmessage = ({ data }) => {
        told.levels({ near, far: data.level });
      };
      playout.connect(context.destination);
      microphone = await openMicrophone(told.noMicrophone);
      if (microphone !== undefined) {
        const capture = new AudioWorkletNode(context, "softphone-capture", {
          numberOfOutputs: 0,
          channelCount: 1,
          channelCountMode: "explicit",
        });
        capture.port.onmessage = ({ data }) => {
          if (data.tick === undefined) {
            near = data.level;
          } else {
            told.tick(data.tick);
          }
        };
        context.createMediaStreamSource(microphone).connect(capture);
      }
      return new Audio(context, playout, microphone);
    } catch (error) {
      stop(microphone);
      await context.close();
      throw error;
    }
  }

  /** @param {ArrayBuffer} tick */
  play(tick) {
    this.#playout.port.postMessage(tick, [tick]);
  }

  close() {
    stop(this.#microphone);
    this.#playout.disconnect();
    void this.#context.close();
  }
}

/**
 * @param {(reason: string) => void} refused
 * @returns {Promise<MediaStream | undefined>}
 */
async function openMicrophone(refused) {
  if (navigator.mediaDevices === undefined) {
    refused("The browser lends the microphone to pages on https:// and on this machine only. You can listen, but not be heard.");
    return undefined;
  }
  try {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    const advice =
      name === "NotAllowedError"
        ? "Allow this page to use the microphone, beside its address, and answer again."
        : name === "NotFoundError"
          ? "Plug one in, and answer again."
          : `The browser says: ${text(error)}.`;
    refused(`There is no microphone: you can listen, but not be heard. ${advice}`);
    return undefined;
  }
}

/** @param {MediaStream | undefined} microphone */
function stop(microphone) {
  microphone?.getTracks().forEach((track) => track.stop());
}

/** @param {unknown} error */
function text(error) {
  return error instanceof Error ? error.message : String(error);
}
