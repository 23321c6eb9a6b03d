// The list of machines: its rows kept live, ticks, marks, casts to the ticked, editing, import.
"use strict";

const rows = document.getElementById("rows");
const PAUSE = 5000; // milliseconds between two redraws
let wanted = false;
let drawing = false;

const words = (text) => text.split(",").map((word) => word.trim()).filter((word) => word);
const form = (id) => document.getElementById(id);

async function redraw() {
  wanted = true;
  if (drawing) return;
  drawing = true;
  while (wanted) {
    wanted = false;
    try {
      const answer = await fetch("/machines/rows" + location.search);
      if (answer.status === 401) { location.href = "/login"; return; }
      if (answer.ok) put(await answer.text());
    } catch { /* the event stream says when the server is back */ }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
  drawing = false;
}

// Keyboard focus and ticks survive a redraw.
function put(html) {
  const focused = document.activeElement && document.activeElement.id;
  const before = new Set(ticked());
  rows.innerHTML = html;
  for (const box of boxes()) box.checked = before.has(box.value);
  const again = focused && rows.querySelector("#" + CSS.escape(focused));
  if (again) again.focus();
  count();
}

const boxes = () => rows.querySelectorAll("input[type=checkbox]");

function count() {
  if (!form("ticked")) return;
  const n = ticked().length;
  form("ticked").textContent = n;
  form("ticked-bar").hidden = n === 0;
  form("ticked-bar").firstElementChild.textContent = _("{n} ticked", { n });
}

rows.addEventListener("change", count);
addEventListener("pageshow", count); // the browser may have ticked some as they were

function on(id, kind, act) {
  if (form(id)) form(id).addEventListener(kind, (event) => { event.preventDefault(); act(event); });
}

on("mark", "submit", async (event) => {
  const chosen = ticked();
  if (!chosen.length) { await noneTicked(); return; }
  const given = new FormData(event.target);
  const field = event.submitter.value + "_" + given.get("what");
  if (await call("/machines/marks", { machines: chosen, [field]: [given.get("word")] })) location.reload();
});

on("cast", "submit", async (event) => {
  const given = new FormData(event.target);
  const clients = ticked();
  const all = given.get("when") === "all" ? clients.length : null;
  const wish = { image: given.get("image"), after: given.get("after"), clients, start_clients: all };
  if (await castMade(wish)) location.href = "/";
});

on("add", "submit", async (event) => {
  const given = new FormData(event.target);
  const body = {
    name: given.get("name"), macs: words(given.get("mac")), uuid: given.get("uuid"),
    groups: words(given.get("groups")), tags: words(given.get("tags")),
  };
  if (await call("/machines", body)) location.reload();
});

let edited = "";
const judged = (act) => async (d) => { if (await act(d)) redraw(); };
const actions = {
  approve: judged(trustActions.approve),
  deny: judged(trustActions.deny),
  edit(d) {
    edited = d.client;
    form("edit-title").textContent = d.label;
    for (const field of ["name", "groups", "tags", "note"]) form("edit-form").elements[field].value = d[field];
    form("edit").showModal();
  },
  async remove(d) {
    const text = _("Its name, groups and tags end. Casts that name it stay as they were, and when it boots our client again it is met anew.");
    if (!(await confirmed(_("Remove {label}?", d), text, _("Remove")))) return;
    if (await call("/machines/" + encodeURIComponent(d.client) + "/remove")) redraw();
  },
};

onButtons(actions);

on("edit-no", "click", () => form("edit").close());

on("edit-form", "submit", async (event) => {
  const given = new FormData(event.target);
  const body = {
    name: given.get("name"), groups: words(given.get("groups")), tags: words(given.get("tags")), note: given.get("note"),
  };
  form("edit").close();
  if (await call("/machines/" + encodeURIComponent(edited), body, "PUT")) redraw();
});

// -- import: the plan is shown first, and what is imported is the file that was shown ---------------

let file = null;

async function upload(path) {
  try {
    const answer = await fetch("/api/v1/machines/" + path, {
      method: "POST", headers: { "Content-Type": "text/csv", "X-Fleetcast-Console": "1" }, body: file,
    });
    if (answer.status === 401) { location.href = "/login"; return null; }
    const said = await answer.json();
    if (answer.ok) return said;
    await told(_("That did not work"), said.error + (said.hint ? " (" + said.hint + ")" : ""));
  } catch {
    await told(_("That did not work"), _("The server did not answer as it should."));
  }
  return null;
}

function planLines(plan) {
  if (plan.problems.length) {
    return plan.problems.map((p) => _("line {line}", p) + (p.column ? ", " + p.column : "") + ": " + p.what);
  }
  return plan.changes.map((change) => {
    const fields = Object.entries(change.fields).map(([column, [was, will]]) => column + ": " + (was ? was + " → " : "") + (will || "–"));
    return _("line {line}", change) + ": " + change.label + " · " + fields.join(" · ");
  });
}

on("import", "submit", async (event) => {
  file = await event.target.elements.file.files[0].arrayBuffer();
  const plan = await upload("plan-import");
  if (!plan) return;
  const good = plan.problems.length === 0;
  form("plan-text").textContent = good ?
    _("{add} to add, {change} to change, {same} as they are (read as {encoding})", plan) :
    _("Nothing can be imported (read as {encoding}):", plan);
  form("plan-text").className = good ? "" : "bad";
  form("plan-lines").replaceChildren(...planLines(plan).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  form("plan-do").hidden = !good || plan.add + plan.change === 0;
  form("plan").hidden = false;
});

on("plan-do", "click", async () => {
  if (await upload("import")) location.href = "/machines";
});

follow(() => "/api/v1/events", "state", redraw);
