// Following a stream of the server's, and telling how it stands.
"use strict";

const ABSENT = 3000; // milliseconds before a stream that was refused is tried again

// `path()` is where the stream is, each time anew; `heard` gets its events `name`.
function follow(path, name, heard) {
  const line = document.getElementById("line");
  const stream = new EventSource(path());
  stream.addEventListener(name, heard);
  stream.onopen = () => { line.textContent = _("live"); };
  stream.onerror = () => {
    line.textContent = _("server gone, trying again…");
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => anew(path, name, heard), ABSENT);
  };
}

// The stream was refused: by a session that ended, or by a server that is starting.
async function anew(path, name, heard) {
  try {
    const answer = await fetch("/live");
    if (answer.status === 401) { location.href = "/login"; return; }
  } catch { /* not back yet */ }
  follow(path, name, heard);
}
