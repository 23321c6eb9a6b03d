"""Where an operator finds each operation of the API on the command line and in the console.

A new operation gets its row here. On the command line it has a command (with its action) whose code
makes the call; in the console a piece of a script, template or module that makes it or shows the same.
Where one of them has it not, a :class:`Lacks` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

# Operations that the clients on the machines call, by the tag that the document gives them.
OF_CLIENTS = frozenset({"clients", "taking part in a cast", "uploading an image"})


@dataclass(frozen=True)
class Lacks:
    """It is not there, and why."""

    why: str


@dataclass(frozen=True)
class There:
    """``text`` stands in ``file`` of the console."""

    file: str
    text: str


@dataclass(frozen=True)
class Places:
    """``command`` is what one types behind `fleetcast`."""

    command: str | Lacks
    console: There | Lacks


def script(name: str, text: str) -> There:
    """In a script: the path that it calls."""
    return There(f"static/{name}.js", text)


def page(module: str, place: str) -> There:
    """A page that shows it, at ``place``."""
    return There(f"{module}.py", f'"{place}"')


LIVE, MACHINE, MACHINES = (
    page("livepages", "/"),
    page("machinepages", "/machines/{machine}"),
    page("machinepages", "/machines"),
)
ROOM, SETTINGS, LOGS = (
    page("livepages", "/casts/{cast}"),
    page("settingpages", "/settings"),
    page("logpages", "/logs"),
)
PICTURE = Lacks("it is for programs that follow; `fleetcast hud` and `casts wait` ask for the state")
OWN = Lacks("the command line calls by a token, which has no password")

TABLE: dict[str, Places] = {
    # machines
    "GET /clients": Places("machines show", MACHINES),
    "GET /clients/{client}": Places("machines show", MACHINE),
    "GET /clients/{client}/logs": Places(
        "machines logs", Lacks("a machine that needs a look hands in its log, which is on /logs")
    ),
    "GET /clients/{client}/devices": Places(
        "machines show", Lacks("it is what `media-builder drivers check` takes")
    ),
    "GET /clients/{client}/boots": Places(
        "machines show", Lacks("the pages say how the latest stands, and what to do")
    ),
    "POST /clients/{client}/boot-client": Places(
        "machines boot-client", script("machine", '"boot-client")')
    ),
    "POST /clients/{client}/boot-disk": Places("machines boot-disk", script("machine", '"boot-disk")')),
    "POST /clients/{client}/order": Places("machines reboot", script("machine", '"order"), { kind }')),
    "POST /clients/{client}/approve": Places("machines approve", script("trust", '+ "/approve"')),
    "POST /clients/{client}/deny": Places("machines deny", script("trust", '+ "/deny"')),
    "GET /clients/{client}/log": Places("logs show", page("logpages", "/logs/{machine}/{number}")),
    "GET /approval": Places("machines approval", SETTINGS),
    "PUT /approval": Places("machines approval", script("settings", '"/approval"')),
    "POST /machines": Places("machines add", script("machines", 'call("/machines", body)')),
    "PUT /machines/{machine}": Places(
        "machines rename", script("machines", 'encodeURIComponent(edited), body, "PUT"')
    ),
    "GET /machines/marks": Places("machines groups", MACHINES),
    "POST /machines/marks": Places("machines tag", script("machines", '"/machines/marks"')),
    "POST /machines/{machine}/remove": Places("machines remove", script("machines", '+ "/remove"')),
    "POST /machines/{machine}/claim": Places("machines claim", script("machine", '+ "/claim"')),
    "GET /machines/export": Places(
        "machines export", There("templates/machines.html", "/api/v1/machines/export")
    ),
    "POST /machines/plan-import": Places("machines import", script("machines", 'upload("plan-import")')),
    "POST /machines/import": Places("machines import", script("machines", 'upload("import")')),
    "GET /machines/deployed": Places("machines deployed", MACHINES),
    "GET /machines/{machine}/history": Places("machines history", MACHINE),
    # network boot
    "GET /boots": Places(Lacks("`machines list` has them in the state, `machines show MAC` one"), LIVE),
    "GET /boots/{mac}": Places("machines show", LIVE),
    "GET /booting": Places("booting show", SETTINGS),
    "PUT /booting": Places("booting on", script("settings", '"/booting", {')),
    "PUT /booting/{interface}": Places("booting choose", script("settings", '"/booting/" + ')),
    "GET /leases": Places("leases list", SETTINGS),
    "GET /lease-rule": Places("leases list", SETTINGS),
    "POST /lease-rule": Places("leases everyone", script("settings", '"/lease-rule"')),
    "GET /reservations": Places("leases reservations", SETTINGS),
    "POST /reservations": Places("leases reserve", script("settings", '"/reservations", {')),
    "POST /reservations/{mac}/remove": Places(
        "leases unreserve", script("settings", '"/reservations/" + ')
    ),
    "GET /boot-images": Places("bootimages list", page("bootimagepages", "/boot-images")),
    "POST /boot-images/{image}/boot": Places("bootimages boot", script("bootimages", '+ "/boot"')),
    "POST /boot-images/cancel": Places(
        "bootimages cancel", script("bootimages", '"/boot-images/cancel"')
    ),
    "POST /boot-images/{image}/delete": Places("bootimages delete", script("bootimages", '+ "/delete"')),
    # casts, captures, images
    "GET /casts": Places("casts list", LIVE),
    "POST /casts": Places("casts create", script("call", '"/casts", wish')),
    "POST /casts/preview": Places("casts preview", script("call", '"/ask/cast", wish')),
    "GET /casts/{cast}": Places("casts show", ROOM),
    "GET /casts/{cast}/rates": Places("casts rates", ROOM),
    "POST /casts/{cast}/start": Places("casts start", script("console", '+ "/start"')),
    "POST /casts/{cast}/pause": Places("casts pause", script("console", '+ "/pause"')),
    "POST /casts/{cast}/resume": Places("casts resume", script("console", '+ "/resume"')),
    "POST /casts/{cast}/retry": Places("casts retry", script("console", '+ "/retry"')),
    "POST /casts/{cast}/cancel": Places(
        "casts cancel", script("console", '"/casts/" + d.cast + "/cancel"')
    ),
    "GET /captures": Places("captures list", LIVE),
    "POST /captures": Places("captures start", script("machine", '"/captures", wish')),
    "GET /captures/{capture}": Places("captures show", LIVE),
    "POST /captures/{capture}/cancel": Places(
        "captures cancel", script("console", '"/captures/" + d.capture + "/cancel"')
    ),
    "GET /images": Places("images list", page("imagepages", "/images")),
    "GET /images/checks": Places("images list", page("imagepages", "/images")),
    "POST /images/{image}/check": Places("images check", script("images", '+ "/check"')),
    "POST /images/{image}/delete": Places("images delete", script("images", '+ "/delete"')),
    "GET /media": Places("media list", LIVE),
    "GET /licences": Places("licences list", page("licencepages", "/licences")),
    "GET /licences/uses": Places("licences uses", page("licencepages", "/licences")),
    "POST /licences/{medium}/release": Places("licences release", script("licences", '+ "/release"')),
    # the server
    "GET /state": Places("machines list", LIVE),
    "GET /events": Places(PICTURE, script("machines", '"/api/v1/events"')),
    "GET /history": Places("history", page("historypages", "/history")),
    "GET /history.csv": Places("history", There("historypages.py", "/history.csv")),
    "GET /logs": Places("logs collect", There("logpages.py", "/logs")),
    "GET /logs/server": Places("logs show", LOGS),
    "GET /logs/machines": Places("logs list", LOGS),
    "GET /logs/machines/{machine}/{number}": Places(
        "logs show", page("logpages", "/logs/{machine}/{number}")
    ),
    "GET /settings": Places("settings", SETTINGS),
    "GET /audit": Places("audit show", page("auditpages", "/audit")),
    "GET /audit/proof": Places("audit verify", page("auditpages", "/audit")),
    # people
    "GET /me": Places(OWN, page("accountpages", "/account")),
    "PUT /me/password": Places(OWN, script("account", '"/me/password"')),
    "GET /users": Places("users list", page("accountpages", "/users")),
    "POST /users": Places("users add", script("account", 'call("/users", {')),
    "PUT /users/{name}": Places("users role", script("account", '{ role: d.role }, "PUT"')),
    "POST /users/{name}/remove": Places("users remove", script("account", '+ "/remove"')),
    "GET /tokens": Places("tokens list", page("accountpages", "/users")),
    "POST /tokens": Places("tokens make", script("account", 'call("/tokens", {')),
    "POST /tokens/{token}/revoke": Places("tokens revoke", script("account", '+ "/revoke"')),
}

# What an operator does at the server's own machine alone, though the console shows what comes of it.
AT_THE_SERVER = {
    "bootimages add": "gigabytes of a file that lies there already are copied; the API takes none yet",
}
