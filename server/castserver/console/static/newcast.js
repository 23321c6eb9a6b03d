// The form of a new cast: whom it is for, what is wrong at which field, and the cast itself.
"use strict";

const newCast = document.getElementById("new-cast");
const more = document.getElementById("cast-more");
const meant = document.getElementById("meant");
const fields = newCast.elements;

// What the form asks for in the API's words: a field that the API has gets its line here.
function wished() {
  const given = new FormData(newCast);
  const who = given.get("who");
  const chosen = (field) => (who === "marks" && given.getAll(field).length ? given.getAll(field) : null);
  return {
    image: given.get("image"),
    start_clients: { command: null, once: 1, count: Number(given.get("start_clients")) }[given.get("when")],
    start_after: given.get("minutes") === "" ? null : Math.round(Number(given.get("minutes")) * 60),
    most_at_once: given.get("most_at_once") === "" ? null : Number(given.get("most_at_once")),
    after: given.get("after"),
    keep_open: given.get("keep_open") !== null,
    peers: given.get("peers") !== null,
    update: given.get("update") !== null,
    mac: given.get("mac") !== null,
    encrypt: given.get("encrypt") !== null,
    rate_cap: Math.round(Number(given.get("rate")) * 1e6),
    transport: given.get("transport"),
    rules: given.get("rules").trim(),
    clients: who === "ticked" ? ticked() : null,
    groups: chosen("groups"),
    tags: chosen("tags"),
  };
}

// -- what is shown follows what is chosen ------------------------------------------------------------

function shown(part, visible) {
  part.hidden = !visible;
  for (const one of [part, ...part.querySelectorAll("input")]) if ("disabled" in one) one.disabled = !visible;
}

function showChosen() {
  for (const part of newCast.querySelectorAll("[data-when]")) shown(part, fields.when.value === part.dataset.when);
  for (const part of newCast.querySelectorAll("[data-who]")) shown(part, fields.who.value === part.dataset.who);
  const set = [...more.querySelectorAll("input:not([type=file]), select, textarea")].filter(isSet).length;
  document.getElementById("cast-set").hidden = set === 0;
  document.getElementById("cast-set").textContent = _("{n} set", { n: set });
  whom();
}

function isSet(field) {
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  return field.value !== (field.options ? field.options[0].value : field.defaultValue);
}

let asking = 0;

async function whom() {
  const { who, groups, tags } = { who: fields.who.value, ...wished() };
  const mine = ++asking;
  if (who === "ticked") meant.textContent = _("Ticked in the list of machines below: {n}", { n: ticked().length });
  if (who === "all" || (who === "marks" && !groups && !tags)) meant.textContent = "";
  if (who !== "marks" || !(groups || tags)) return;
  const query = new URLSearchParams([...(groups || []).map((word) => ["group", word]), ...(tags || []).map((word) => ["tag", word])]);
  const answer = await fetch("/ask/machines?" + query).catch(() => null);
  if (mine !== asking || answer === null || !answer.ok) return;
  const said = element(await answer.text());
  meant.replaceChildren(said);
  // As many as are meant, unless somebody has said another number.
  if (!fields.start_clients.dataset.own && Number(said.dataset.count) > 0) fields.start_clients.value = said.dataset.count;
}

fields.start_clients.addEventListener("input", () => { fields.start_clients.dataset.own = "yes"; });
document.addEventListener("change", (event) => {
  if (event.target.form === newCast) showChosen();
  else if (event.target.matches("input[id^=tick-]")) whom();
});
addEventListener("pageshow", showChosen); // the browser may have filled the form as it was

// -- what is wrong --------------------------------------------------------------------------------

function allRight() {
  for (const place of newCast.querySelectorAll(".wrong")) place.textContent = "";
  for (const field of newCast.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

newCast.addEventListener("input", allRight);
// A field that is folded away cannot be shown to be wrong.
newCast.addEventListener("invalid", (event) => { if (more.contains(event.target)) more.open = true; }, true);

document.getElementById("rules-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  fields.rules.value = file.size > fields.rules.maxLength ? "" : await file.text();
  if (file.size > fields.rules.maxLength) await wrongAt({ field: "rules", error: _("This file is too long to be one of rules."), hint: "" });
  event.target.value = "";
  showChosen();
});

newCast.addEventListener("submit", async (event) => {
  event.preventDefault();
  allRight();
  const wish = wished();
  if (fields.who.value === "marks" && !wish.groups && !wish.tags) {
    await wrongAt({ field: "who", error: _("Choose a group or a tag first."), hint: "" });
    return;
  }
  if (!(await castMade(wish))) return;
  newCast.reset();
  delete fields.start_clients.dataset.own;
  more.open = false;
  showChosen();
});
