// What the pages share: asking before something is done, calling the API, and making a cast.
"use strict";

async function confirmed(title, text, yes, no = _("Do nothing")) {
  const said = document.createElement("p");
  said.textContent = text;
  return decided(title, said, yes, no);
}

// The same with an element in place of a text.
async function decided(title, said, yes, no = _("Do nothing")) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").replaceChildren(said);
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

// Ask what the server says of this moment at `path`. Whether to do it; null when it is not there.
async function asked(path) {
  for (let before = null; ;) {
    const question = await questioned(path);
    if (question === null) return null;
    // Others have joined while somebody read: what was agreed to is not what would be done.
    if (before !== null && before === question.dataset.weight) return true;
    if (!(await decided(question.dataset.title, question, question.dataset.yes))) return false;
    before = question.dataset.weight;
    if (before === "") return true;
  }
}

async function questioned(path) {
  try {
    const answer = await fetch(path);
    if (answer.status === 401) { location.href = "/login"; return null; }
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    if (answer.ok) return holder.content.firstElementChild;
  } catch { /* told below */ }
  await told(_("That did not work"), _("The server did not answer as it should."));
  return null;
}

// The machines whose boxes are seen ticked now: their disks are what a cast erases.
const ticked = () => [...document.querySelectorAll("tbody input[id^=tick-]:checked")].map((box) => box.value);

async function noneTicked() {
  await told(_("Ticked machines"), _("Tick some in the list first."));
  return null;
}

// Make the cast `wish` when what it does is agreed to; its `clients` are null for whoever shows up. The
// answer of the API; null when there is none.
async function castMade(wish) {
  if (wish.clients !== null && wish.clients.length === 0) return noneTicked();
  const question = new URLSearchParams({ image: wish.image });
  if (wish.start_clients) question.set("count", wish.start_clients);
  if (wish.start_after) question.set("seconds", wish.start_after);
  for (const client of wish.clients || []) question.append("client", client);
  return (await asked("/ask/cast?" + question)) ? call("/casts", wish) : null;
}
