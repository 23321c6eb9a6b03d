// Settings: PXE deploy with what ends it, and the choice for each interface.
"use strict";

const saved = async (path, body) => { if (await call(path, body, "PUT")) location.reload(); };

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
