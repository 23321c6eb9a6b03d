// Boot images: having machines boot one once, taking that back, deleting one.
"use strict";

const actions = {
  async cancel(d) {
    const text = _("{label} boots what it had before, unless it has begun with {image} already.", d);
    if (!(await confirmed(_("Take the order back?"), text, _("Take it back")))) return;
    if (await call("/boot-images/cancel", { machines: [d.machine] })) location.reload();
  },
  async delete(d) {
    const text = _("It is gone for good, and {size} are free. A machine that runs from it now reads errors from then on.", d);
    if (!(await confirmed(_("Delete boot image {image}?", d), text, _("Delete it")))) return;
    if (await call("/boot-images/" + encodeURIComponent(d.image) + "/delete")) location.reload();
  },
};

onButtons(actions);

onSubmit("boot-once", async (given) => {
  const image = given.get("image");
  const machines = given.get("machines").split(/[,\n]/).map((word) => word.trim()).filter((word) => word);
  const text = _("Machines that boot {image} at their next network boot, in place of what they boot otherwise: {n}. What the image does to their disks is the image's own affair.", { image, n: machines.length });
  if (!(await confirmed(_("Boot {image} once?", { image }), text, _("Boot it once")))) return;
  if (await call("/boot-images/" + encodeURIComponent(image) + "/boot", { machines })) location.reload();
});
