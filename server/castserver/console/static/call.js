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

// What a page's buttons do, by their data-do: each is given the button's data.
function onButtons(actions) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-do]");
    if (button) actions[button.dataset.do](button.dataset);
  });
}

// `send` gets what is in the form `id` of the page, where it has one.
function onSubmit(id, send) {
  const form = document.getElementById(id);
  if (form) form.addEventListener("submit", (event) => { event.preventDefault(); send(new FormData(form)); });
}

// Ask what the server says of this moment at `path`, sent `body` where there is one. Whether to do it;
// null when it cannot be asked, which is told then.
async function asked(path, body) {
  for (let before = null; ;) {
    const question = await questioned(path, body);
    if (question === null) return null;
    // Others have joined while somebody read: what was agreed to is not what would be done.
    if (before !== null && before === question.dataset.weight) return true;
    if (!(await decided(question.dataset.title, question, question.dataset.yes))) return false;
    before = question.dataset.weight;
    if (before === "") return true;
  }
}

async function questioned(path, body) {
  const json = { "Content-Type": "application/json", "X-Fleetcast-Console": "1" };
  try {
    const answer = await fetch(path, body ? { method: "POST", headers: json, body: JSON.stringify(body) } : {});
    if (answer.status === 401) { location.href = "/login"; return null; }
    if (answer.ok) return element(await answer.text());
    if (answer.status === 422) { await wrongAt(await answer.json()); return null; }
  } catch { /* told below */ }
  await told(_("That did not work"), _("The server did not answer as it should."));
  return null;
}

function element(html) {
  const holder = document.createElement("template");
  holder.innerHTML = html;
  return holder.content.firstElementChild;
}

// What is wrong with a field of a form stands in the element "wrong-FIELD" beside it; where a page has none, it is told.
async function wrongAt(said) {
  const text = said.error + (said.hint ? " (" + said.hint + ")" : "");
  const place = document.getElementById("wrong-" + said.field);
  if (place === null) { await told(_("That did not work"), text); return; }
  place.textContent = text;
  const field = document.querySelector(`[aria-describedby~="${place.id}"]`);
  for (let folded = place.closest("details"); folded; folded = folded.parentElement.closest("details")) folded.open = true;
  field.setAttribute("aria-invalid", "true");
  field.focus();
}

// The machines whose boxes are seen ticked now: their disks are what a cast erases.
const ticked = () => [...document.querySelectorAll("tbody input[id^=tick-]:checked")].map((box) => box.value);

// The box at the head of a list ticks all that it shows, and unticks them.
document.addEventListener("change", (event) => {
  if (!event.target.matches("input.tick-all")) return;
  const boxes = [...event.target.closest("table").querySelectorAll("tbody input[id^=tick-]")];
  for (const box of boxes) box.checked = event.target.checked;
  if (boxes.length) boxes[0].dispatchEvent(new Event("change", { bubbles: true }));
});

async function noneTicked() {
  await told(_("Ticked machines"), _("Tick some in the list first."));
  return null;
}

// Make the cast `wish` (the API's words) when what it does is agreed to; its `clients` are null for whoever
// shows up. The answer of the API; null when there is none.
async function castMade(wish) {
  if (wish.clients && wish.clients.length === 0) return noneTicked();
  return (await asked("/ask/cast", wish)) ? call("/casts", wish) : null;
}
