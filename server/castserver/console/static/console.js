// What the live pages let an operator do.
"use strict";

// What they changed comes by the page's stream.
const actions = {
  ...trustActions,
  async start(d) {
    if (await asked("/casts/" + d.cast + "/ask/start")) call("/casts/" + d.cast + "/start");
  },
  async cancel(d) {
    if (await asked("/casts/" + d.cast + "/ask/cancel")) call("/casts/" + d.cast + "/cancel");
  },
  // Neither erases anything: what is paused goes on where it was.
  pause: (d) => call("/casts/" + d.cast + "/pause"),
  resume: (d) => call("/casts/" + d.cast + "/resume"),
  async retry(d) {
    if (await asked("/casts/" + d.cast + "/ask/retry")) call("/casts/" + d.cast + "/retry");
  },
  async pxe(d) {
    const text = d.on ? _("Machines that boot from the network start our client.") :
      _("Machines that boot from the network are sent to their own disks. Those that are loading files go on.");
    const yes = d.on ? _("Turn it on") : _("Turn it off");
    if (await confirmed(_("PXE deploy"), text, yes)) call("/booting", { deploy: Boolean(d.on) }, "PUT");
  },
  async capture(d) {
    const text = _("Its built-in disk becomes an image of this server's library, named by its model, MAC and UUID. The disk is only read.");
    if (await confirmed(_("Capture {label}?", d), text, _("Capture it"))) call("/captures", { client: d.client });
  },
  async "cancel-capture"(d) {
    const text = _("What was sent of it is removed. The machine's disks are as they were.");
    if (await confirmed(_("Cancel the capture of {image}?", d), text, _("Cancel the capture"))) call("/captures/" + d.capture + "/cancel");
  },
  async "boot-client"(d) {
    const text = _("At its next network boot {label} starts our client instead of its own disk.", d);
    if (await confirmed(_("Boot our client again?"), text, _("Boot our client"))) call("/clients/" + d.client + "/boot-client");
  },
};

onButtons(actions);
