"""A PostgreSQL server of our own: below a temporary folder, a user without rights, by a socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from castserver.database.databaseplace import PostgresPlace

from tests.support.certificates import make_certificate

USER = "fleetcast"
START_SECONDS = 60.0


def programs() -> Path:
    """Where the newest installed server's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    assert found, "the package postgresql is not installed (tools/packages.txt)"
    return found[-1].parent


class Cluster:
    """Runs from :meth:`start` to :meth:`stop`; its end is also that of the thread that started it.

    ``lasting``: a commit is on the disk when it returns, as on a real server; for most tests that costs
    time alone. ``tcp``: also on this port of 127.0.0.1, where passwords are asked for. ``tls``: that
    takes TLS alone, and proves to be "localhost" by :attr:`certificate`.
    """

    def __init__(self, *, lasting: bool = False, tcp: int = 0, tls: bool = False) -> None:
        # In memory where that is all the same: thousands of small files.
        memory = None if lasting or not os.access("/dev/shm", os.W_OK) else "/dev/shm"
        self._folder = Path(tempfile.mkdtemp(prefix="fleetcast-postgres-", dir=memory))
        self._lasting, self._tcp, self._tls = lasting, tcp, tls
        self.certificate = self._folder / "server.crt"
        self._server: subprocess.Popen[bytes] | None = None
        self._as: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
            self._as = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]

    def start(self) -> None:
        """Make the cluster at the first start; return when it answers."""
        data = self._folder / "data"
        if not data.exists():
            words = ["-D", str(data), "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            self._run("initdb", *words, "--auth-local=trust", "--auth-host=scram-sha-256")
            if self._tls:
                self._take_tls_alone(data / "pg_hba.conf")
        settings = {
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self._tcp or 5432),
            "unix_socket_directories": str(self._folder),
            "fsync": "on" if self._lasting else "off",
            "shared_buffers": "32MB",
            "max_connections": "200",
        }
        if self._tls:
            settings |= {"ssl": "on", "ssl_cert_file": str(self.certificate)}
            settings["ssl_key_file"] = str(self._folder / "server.key")
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as out:
            self._server = subprocess.Popen(
                [
                    "setpriv",
                    *self._as,
                    "--pdeathsig",
                    "INT",
                    str(programs() / "postgres"),
                    "-D",
                    str(data),
                    *words,
                ],
                stdout=out,
                stderr=out,
                cwd=self._folder,
            )
        end = time.monotonic() + START_SECONDS
        ready = [str(programs() / "pg_isready"), "-q", "-h", str(self._folder), "-p", settings["port"]]
        while subprocess.run(ready, check=False).returncode:
            assert self._server.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cleanly, SIGQUIT as a crash does. What it holds stays."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        """End it and forget all of it."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def freeze(self) -> None:
        """Let every process of it hang until :meth:`thaw`, as one behind a cut cable does."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def place(self, database: str, user: str = USER) -> PostgresPlace:
        """Where ``database`` is, by the socket."""
        return PostgresPlace(str(self._folder), self._tcp or 5432, database, user)

    def log(self) -> str:
        """What the server said."""
        return (self._folder / "log").read_text()

    def _take_tls_alone(self, rules: Path) -> None:
        key = self._folder / "server.key"
        make_certificate(self.certificate, key, "localhost")
        key.chmod(0o600)
        owner = rules.stat()
        for path in (self.certificate, key):
            os.chown(path, owner.st_uid, owner.st_gid)
        rules.write_text(rules.read_text().replace("\nhost ", "\nhostssl "))

    def _run(self, program: str, *words: str) -> None:
        command = ["setpriv", *self._as, str(programs() / program), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._folder)
        assert done.returncode == 0, done.stderr

    def _signal_all(self, how: signal.Signals) -> None:
        assert self._server is not None
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text()
        for pid in (self._server.pid, *map(int, children.split())):
            os.kill(pid, how)
