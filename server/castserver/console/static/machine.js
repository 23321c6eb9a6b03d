// The page of one machine: what it is told to do.
"use strict";

const reloaded = (act) => async (d) => { if (await act(d)) location.reload(); };

const actions = {
  async order(d) {
    const off = d.kind === "power-off";
    const title = off ? _("Power {label} off?", d) : _("Reboot {label}?", d);
    return (await confirmed(title, _("Nothing on its disks is changed by this."), off ? _("Power it off") : _("Reboot it"))) &&
      call("/clients/" + d.client + "/order", { kind: d.kind });
  },
  async boot(d) {
    const text = d.next === "client" ? _("At its next network boot {label} starts our client instead of its own disk.", d) :
      _("From its next network boot on {label} starts its own disk, and takes part in no cast.", d);
    const title = d.next === "client" ? _("Boot our client again?") : _("Boot its own disk?");
    return (await confirmed(title, text, d.next === "client" ? _("Boot our client") : _("Boot its own disk"))) &&
      call("/clients/" + d.client + "/boot-" + d.next);
  },
  ...trustActions,
};

onButtons(Object.fromEntries(Object.entries(actions).map(([name, act]) => [name, reloaded(act)])));
