// Licences: giving back what another server left reserved.
"use strict";

async function release({ medium }) {
  const text = _("Licences that another server left reserved on it are free again. What casts of this server hold is kept.");
  if (!(await confirmed(_("Give reservations of {medium} back?", { medium }), text, _("Give them back")))) return;
  const answer = await call("/licences/" + encodeURIComponent(medium) + "/release");
  if (!answer) return;
  await told(medium, _("{n} licences were given back.", { n: answer.released }));
  location.reload();
}

onButtons({ release });
