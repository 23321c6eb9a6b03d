// The overview, live: the API's event stream says that something changed, the server renders what.
"use strict";

const live = document.getElementById("live");
const line = document.getElementById("line");
const ticked = new Set();
const PAUSE = 1000; // milliseconds between two redraws
const AGING = 15000; // and the longest between two: what is said of a machine changes by silence too
let wanted = false;
let drawing = false;

async function redraw() {
  wanted = true;
  if (drawing) return;
  drawing = true;
  while (wanted) {
    wanted = false;
    try {
      const answer = await fetch("/live");
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
  live.innerHTML = html;
  for (const box of live.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  const again = focused && live.querySelector("#" + CSS.escape(focused));
  if (again) again.focus();
}

async function post(path, body, method = "POST") {
  if (await call(path, body, method) !== null) redraw();
}

const machines = (n) => (n === 1 ? _("1 machine") : _("{n} machines", { n }));

const actions = {
  async start(d) {
    const text = _("The disks of {machines} that joined will be erased, and of those that join later.", { machines: machines(Number(d.count)) });
    if (await confirmed(_("Start casting {image}?", d), text, _("Erase and cast"))) post("/casts/" + d.cast + "/start");
  },
  async cancel(d) {
    const text = _("Of {machines} taking part, those already receiving are left with an incomplete disk.", { machines: machines(Number(d.count)) });
    if (await confirmed(_("Cancel the cast of {image}?", d), text, _("Cancel the cast"))) post("/casts/" + d.cast + "/cancel");
  },
  async pxe(d) {
    const text = d.on ? _("Machines that boot from the network start our client.") :
      _("Machines that boot from the network are sent to their own disks. Those that are loading files go on.");
    const yes = d.on ? _("Turn it on") : _("Turn it off");
    if (await confirmed(_("PXE deploy"), text, yes)) post("/booting", { deploy: Boolean(d.on) }, "PUT");
  },
  async capture(d) {
    const text = _("Its built-in disk becomes an image of this server's library, named by its model, MAC and UUID. The disk is only read.");
    if (await confirmed(_("Capture {label}?", d), text, _("Capture it"))) post("/captures", { client: d.client });
  },
  async "cancel-capture"(d) {
    const text = _("What was sent of it is removed. The machine's disks are as they were.");
    if (await confirmed(_("Cancel the capture of {image}?", d), text, _("Cancel the capture"))) post("/captures/" + d.capture + "/cancel");
  },
  async approve(d) {
    const text = d.code ? _("Only if its screen shows {code}. It is let in now and whenever it starts again.", d) :
      _("It is let in now and whenever it starts again.");
    if (await confirmed(_("Let {label} in?", d), text, _("Approve"))) post("/clients/" + d.client + "/approve", { code: d.code });
  },
  async deny(d) {
    const text = _("It gets no orders and no image; a part in a cast that it has is lost.");
    if (await confirmed(_("Keep {label} out?", d), text, _("Deny"))) post("/clients/" + d.client + "/deny", { code: d.code });
  },
  async "boot-client"(d) {
    const text = _("At its next network boot {label} starts our client instead of its own disk.", d);
    if (await confirmed(_("Boot our client again?"), text, _("Boot our client"))) post("/clients/" + d.client + "/boot-client");
  },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) actions[button.dataset.do](button.dataset);
});

live.addEventListener("change", (event) => {
  if (event.target.checked) ticked.add(event.target.value);
  else ticked.delete(event.target.value);
});

document.getElementById("new-cast").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const count = form.get("when") === "count" ? Number(form.get("count")) : null;
  const clients = form.get("who") === "ticked" ? [...ticked] : null;
  const ready = Number(document.getElementById("ready").textContent);
  const who = clients ? _("The disks of {machines} ticked", { machines: machines(clients.length) }) :
    _("The disks of all machines that show up ({machines} ready now)", { machines: machines(ready) });
  const text = count ? _("{who} will be erased as soon as {n} have joined.", { who, n: count }) :
    _("{who} will be erased when you start the cast.", { who });
  if (!(await confirmed(_("Make a cast of {image}?", { image: form.get("image") }), text, _("Make the cast")))) return;
  post("/casts", {
    image: form.get("image"), start_clients: count, after: form.get("after"),
    keep_open: form.get("keep_open") !== null, update: form.get("update") !== null,
    peers: form.get("peers") !== null, mac: form.get("mac") !== null, encrypt: form.get("encrypt") !== null, clients,
  });
});

const stream = new EventSource("/api/v1/events");
stream.addEventListener("state", redraw);
setInterval(redraw, AGING);
stream.onopen = () => { line.textContent = _("live"); };
stream.onerror = () => { line.textContent = _("server gone, trying again…"); };
