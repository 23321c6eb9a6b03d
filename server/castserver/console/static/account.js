// One's own password; for an administrator users and tokens.
"use strict";

const again = () => location.reload();

async function secret(title, text) {
  await told(title, text);
  again();
}

const actions = {
  async "new-password"(d) {
    if (!(await confirmed(_("A new password for {name}?", d), _("The present one ends, and every session with it."), _("Make one")))) return;
    const user = await call("/users/" + encodeURIComponent(d.name), { new_password: true }, "PUT");
    if (user) secret(_("The new password of {name}", user), _("{secret} (it is shown this once)", { secret: user.password }));
  },
  async role(d) {
    if (await call("/users/" + encodeURIComponent(d.name), { role: d.role }, "PUT")) again();
  },
  async remove(d) {
    if (!(await confirmed(_("Remove {name}?", d), _("Every session of this user ends."), _("Remove")))) return;
    if (await call("/users/" + encodeURIComponent(d.name) + "/remove")) again();
  },
  async revoke(d) {
    if (!(await confirmed(_("Revoke {name}?", d), _("Scripts that use this token fail from now on."), _("Revoke")))) return;
    if (await call("/tokens/" + encodeURIComponent(d.id) + "/revoke")) again();
  },
};

onButtons(actions);

onSubmit("my-password", async (form) => {
  const body = { old_password: form.get("old_password"), new_password: form.get("new_password") };
  if (await call("/me/password", body, "PUT")) { await told(_("Your password"), _("It is changed.")); again(); }
});

onSubmit("new-user", async (form) => {
  const user = await call("/users", { name: form.get("name"), role: form.get("role") });
  if (user) secret(_("The password of {name}", user), _("{secret} (it is shown this once)", { secret: user.password }));
});

onSubmit("new-token", async (form) => {
  const token = await call("/tokens", { name: form.get("name"), role: form.get("role"), days: Number(form.get("days")) });
  if (token) secret(_("The token {name}", token), _("{secret} (it is shown this once)", token));
});
