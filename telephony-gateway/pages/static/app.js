// @ts-check
/** What every page does with its scripts: each part looks for the attributes that are its own. */

import { bindActions } from "./actions.js";
import { bindDials } from "./dial.js";
import { bindForms } from "./forms.js";
import { bindLive } from "./live.js";
import { bindNotices } from "./notices.js";
import { localizeTimes, startTimers } from "./times.js";
import { bindWaveforms } from "./waveform.js";

bindActions();
bindForms();
bindNotices();
bindDials();
bindLive();
bindWaveforms();
localizeTimes(document);
startTimers();

// With a base address, a link to a place in the page would lead to the base.
document.querySelector("[data-skip]")?.addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("content")?.focus();
});

for (const root of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-softphone]"))) {
  const { mountSoftphone } = await import("./softphone-panel.js");
  const { phone } = mountSoftphone(root);
  for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-call-number]"))) {
    button.addEventListener("click", () => phone.call(button.dataset.callNumber ?? ""));
  }
}
