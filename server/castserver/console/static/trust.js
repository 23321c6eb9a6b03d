// Letting a machine in, or keeping it out; the answer of the API, nothing where it was left alone.
"use strict";

const trustActions = {
  async approve(d) {
    const text = d.code ? _("Only if its screen shows {code}. It is let in now and whenever it starts again.", d) :
      _("It is let in now and whenever it starts again.");
    return (await confirmed(_("Let {label} in?", d), text, _("Approve"))) && call("/clients/" + d.client + "/approve", { code: d.code });
  },
  async deny(d) {
    const text = _("It gets no orders and no image; a part in a cast that it has is lost.");
    return (await confirmed(_("Keep {label} out?", d), text, _("Deny"))) && call("/clients/" + d.client + "/deny", { code: d.code });
  },
};
