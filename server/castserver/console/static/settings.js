// Settings: PXE deploy with what ends it, the choice for each interface, addresses, who is let in.
"use strict";

const saved = async (path, body, method = "PUT") => { if (await call(path, body, method)) location.reload(); };

const deploy = document.getElementById("deploy");
const was = deploy.elements.deploy.checked;
deploy.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(deploy);
  const on = form.get("deploy") !== null;
  if (was && !on) {
    const text = _("Machines that boot from the network are sent to their own disks. Those that are loading files go on.");
    if (!(await confirmed(_("PXE deploy"), text, _("Turn it off")))) return;
  }
  saved("/booting", { deploy: on === was ? null : on, ends: form.getAll("ends") });
});

for (const form of document.querySelectorAll("form.interface")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = new FormData(form);
    const body = { wanted: given.get("wanted"), own_dhcp: given.get("own_dhcp") !== null };
    saved("/booting/" + encodeURIComponent(form.dataset.interface), body);
  });
}

onSubmit("lease-rule", (form) => saved("/lease-rule", { everyone: form.get("everyone") !== null }, "POST"));
onSubmit("reserve", (form) => saved("/reservations", { mac: form.get("mac").trim(), address: form.get("address").trim() }, "POST"));

const actions = {
  async approval(d) {
    const text = d.on ? _("Machines that are here and were never approved have to wait from now on.") :
      _("Every machine on the network may register from now on, but those that were denied.");
    const title = d.on ? _("Approve machines by hand?") : _("Let all machines in?");
    if (await confirmed(title, text, d.on ? _("Approve by hand") : _("Let all in"))) saved("/approval", { required: Boolean(d.on) });
  },
  async unreserve(d) {
    const text = _("The machine gets any free address from its next request on.");
    if (await confirmed(_("Keep no address for {mac}?", d), text, _("Remove"))) saved("/reservations/" + encodeURIComponent(d.mac) + "/remove", {}, "POST");
  },
};

onButtons(actions);
