// Whatever page is open, its console is open: the server is told so while the page lives.
"use strict";

const BEAT = 15000; // milliseconds, well below the minute after which a console counts as closed

async function here() {
  try { await fetch("/live/here"); } catch { /* the server is away; it asks nobody then */ }
}

setInterval(here, BEAT);
// Browsers slow down the clocks of pages that nobody sees.
document.addEventListener("visibilitychange", here);
