// Images: checking and deleting one.
"use strict";

const LOOK_AGAIN = 3000; // milliseconds, while an image is being checked

const actions = {
  async check(d) {
    if (await call("/images/" + encodeURIComponent(d.image) + "/check")) location.reload();
  },
  async delete(d) {
    const text = _("It is gone for good, and {size} are free. Machines that were cast keep what they have.", d);
    if (!(await confirmed(_("Delete image {image}?", d), text, _("Delete it")))) return;
    if (await call("/images/" + encodeURIComponent(d.image) + "/delete")) location.reload();
  },
};

onButtons(actions);

// What is being checked is shown as it goes on, but not under somebody who is being asked something.
async function lookAgain() {
  const answer = await fetch("/images").catch(() => null);
  if (answer && answer.ok && !document.getElementById("confirm").open) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focused = document.activeElement && document.activeElement.dataset;
    document.getElementById("images").replaceWith(page.getElementById("images"));
    const again = focused && focused.do && document.querySelector(`[data-do="${focused.do}"][data-image="${CSS.escape(focused.image)}"]`);
    if (again) again.focus();
  }
  if (document.getElementById("images").dataset.checking) setTimeout(lookAgain, LOOK_AGAIN);
}

if (document.getElementById("images").dataset.checking) setTimeout(lookAgain, LOOK_AGAIN);
