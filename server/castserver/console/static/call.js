// What the pages share: asking before something is done, and calling the API.
"use strict";

async function confirmed(title, text, yes, no = _("Do nothing")) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").textContent = text;
  document.getElementById("confirm-yes").textContent = yes;
  document.getElementById("confirm-no").textContent = no;
  document.getElementById("confirm-no").hidden = no === "";
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return dialog.returnValue === "yes";
}

const told = (title, text) => confirmed(title, text, _("Close"), "");

// The answer of the API; null when it refused, which is told then.
async function call(path, body, method = "POST") {
  let answer, said;
  try {
    answer = await fetch("/api/v1" + path, {
      method,
      headers: { "Content-Type": "application/json", "X-Fleetcast-Console": "1" },
      body: JSON.stringify(body || {}),
    });
    if (answer.status === 401) { location.href = "/login"; return null; }
    said = await answer.json();
  } catch {
    await told(_("That did not work"), _("The server did not answer as it should."));
    return null;
  }
  if (answer.ok) return said;
  await told(_("That did not work"), said.error + (said.hint ? " (" + said.hint + ")" : ""));
  return null;
}
