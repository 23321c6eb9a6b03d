// One machine: rebooting it, what it boots, its capture, which entry it is, whether it is let in; its state is kept live.
"use strict";

const PAUSE = 5000; // milliseconds between two redraws
const reloaded = () => location.reload();
const at = (client, what) => "/clients/" + encodeURIComponent(client) + "/" + what;

async function leave(d, kind) {
  const question = await questioned("/machines/" + encodeURIComponent(d.client) + "/ask/" + kind);
  if (question === null) return;
  const { title, yes } = question.dataset;
  if (!(await decided(title, question, yes || _("Close"), yes ? undefined : "")) || !yes) return;
  if (await call(at(d.client, "order"), { kind })) reloaded();
}

const actions = {
  reboot: (d) => leave(d, "reboot"),
  "power-off": (d) => leave(d, "power-off"),
  async "boot-client"(d) {
    const text = _("At its next network boot {label} starts our client. What it was to boot once is taken back.", d);
    if (await confirmed(_("Boot our client again?"), text, _("Boot our client")) && await call(at(d.client, "boot-client"))) reloaded();
  },
  async "boot-disk"(d) {
    const text = _("From now on the network boots of {label} end at once, so that it goes on to its own disk. What it was to boot once is taken back.", d);
    if (await confirmed(_("Boot its own disk?"), text, _("Boot its own disk")) && await call(at(d.client, "boot-disk"))) reloaded();
  },
  async "boot-cancel"(d) {
    const text = _("{label} boots what it had before, unless it has begun with {image} already.", d);
    if (!(await confirmed(_("Take the order back?"), text, _("Take it back")))) return;
    if (await call("/boot-images/cancel", { machines: [d.client] })) reloaded();
  },
  async approve(d) { if (await trustActions.approve(d)) reloaded(); },
  async deny(d) { if (await trustActions.deny(d)) reloaded(); },
};

onButtons(actions);

function onForm(id, send) {
  const form = document.getElementById(id);
  if (form) onSubmit(id, (given) => send(given, form.dataset));
}

onForm("boot-once", async (given, d) => {
  const image = given.get("image");
  const text = _("At its next network boot {label} boots {image} in place of what it boots otherwise. What the image does to its disks is the image's own affair.", { image, label: d.label });
  if (!(await confirmed(_("Boot {image} once?", { image }), text, _("Boot it once")))) return;
  if (await call("/boot-images/" + encodeURIComponent(image) + "/boot", { machines: [d.client] })) reloaded();
});

onForm("capture", async (given, d) => {
  const wish = {
    client: d.client,
    image: given.get("image").trim(),
    disks: given.getAll("disks"),
    partitions: (given.get("partitions").match(/\d+/g) || []).map(Number),
    full_sectors: given.get("full_sectors") !== null,
    rescue: given.get("rescue") !== null,
    replace: given.get("replace") !== null,
  };
  const text = wish.replace ?
    _("Its disks are only read. This machine's older image of that name is gone once the new one is whole.") :
    _("Its disks are only read; the image comes to this server's library.");
  if (await confirmed(_("Capture {label}?", d), text, _("Capture it")) && await call("/captures", wish)) location.href = "/";
});

onForm("claim", async (given, d) => {
  const entry = given.get("entry");
  const text = _("{label} takes name, groups, tags and note of the entry {entry}, which ends. That cannot be undone.", { entry, label: d.label });
  if (!(await confirmed(_("Is it this machine?"), text, _("It is")))) return;
  if (await call("/machines/" + encodeURIComponent(d.client) + "/claim", { entry })) reloaded();
});

// -- what is shown is kept live, but not under somebody who is in it ---------------------------------

let wanted = false;
let drawing = false;

async function redraw() {
  wanted = true;
  if (drawing) return;
  drawing = true;
  while (wanted) {
    wanted = false;
    const answer = await fetch(location.href).catch(() => null);
    if (answer && answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  drawing = false;
}

function put(page) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = page.getElementById(old.id);
    if (now && now.innerHTML !== old.innerHTML && !old.contains(document.activeElement)) old.replaceWith(now);
  }
}

if (document.getElementById("stands")) follow(() => "/api/v1/events", "state", redraw);
