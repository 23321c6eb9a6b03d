// A live page: the server's stream says which blocks changed; nothing else of the page is touched.
"use strict";

const live = document.getElementById("live");
// What a person has set stays as it is.
const OURS = new Set(["open", "data-shown", "aria-pressed"]);
let mark = live.dataset.mark;

// Make `old` like `fresh`, leaving in place what is the same: focus, ticks and selections stay.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (!OURS.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!OURS.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  if (!old.hasAttribute("data-list")) morphChildren(old, [...fresh.childNodes]);
}

function morphChildren(old, fresh) {
  let at = old.firstChild;
  for (const child of fresh) {
    // An element with an id is the same one wherever it was; what stands before it has gone.
    let same = child.id ? at : null;
    while (same !== null && same.id !== child.id) same = same.nextSibling;
    while (same !== null && at !== same) { const gone = at; at = at.nextSibling; gone.remove(); }
    if (at === null) { old.append(child); continue; }
    if (same === null && at.id) { old.insertBefore(child, at); continue; }
    const next = at.nextSibling;
    morph(at, child);
    at = next;
  }
  while (at !== null) { const gone = at; at = at.nextSibling; gone.remove(); }
}

// Put the blocks of one list in order, making those that are new.
function arrange(list, ids, blocks) {
  let at = list.firstElementChild;
  const wanted = new Set(ids);
  for (const id of ids) {
    while (at !== null && !wanted.has(at.id)) { const gone = at; at = at.nextElementSibling; gone.remove(); }
    if (at !== null && at.id === id) { at = at.nextElementSibling; continue; }
    const block = document.getElementById(id) || (id in blocks ? element(blocks[id]) : null);
    if (block !== null) list.insertBefore(block, at);
  }
  while (at !== null) { const gone = at; at = at.nextElementSibling; gone.remove(); }
}

function update(change) {
  const { lists, blocks } = change;
  // First the blocks that are there: one of them may have got the place of a list.
  for (const [id, html] of Object.entries(blocks)) {
    const old = document.getElementById(id);
    if (old !== null) morph(old, element(html));
  }
  for (const [name, ids] of Object.entries(lists)) {
    const list = document.getElementById(name);
    if (list !== null) arrange(list, ids, blocks);
  }
  mark = change.mark;
  live.dataset.mark = mark;
}

function since() {
  const query = new URLSearchParams({ since: mark });
  if (live.dataset.cast) query.set("cast", live.dataset.cast);
  return "/live/events?" + query;
}

// Show the machines of one phase alone.
document.addEventListener("click", (event) => {
  const chip = event.target.closest("button[data-show]");
  if (chip === null) return;
  const pressed = chip.getAttribute("aria-pressed") === "true" ? "" : chip.dataset.show;
  document.getElementById("tiles").dataset.shown = pressed;
  for (const other of document.querySelectorAll("button[data-show]")) {
    other.setAttribute("aria-pressed", String(other.dataset.show === pressed));
  }
});

follow(since, "board", (event) => update(JSON.parse(event.data)));
