"""The dialogue on a serial console: each page once as text, then progress in plain lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from castclient.console import plain_line
from castclient.local.facts import WorkNow
from castclient.local.page import Page, clean
from castclient.local.state import Where

STEP_PERCENT = 10
_END = "\r\n"


@dataclass
class SerialPages:
    """Gives the text due for each page; ``docs/client.md`` documents it, tests and people rely on it."""

    _page: Page | None = None
    _said: tuple[str, int, str] = ("", -1, "")
    _typed: str = ""

    def text(self, page: Page, work: WorkNow | None, typed: str, up: float) -> str:
        """What to write for ``page``, ``up`` seconds after the start; "" when nothing is new."""
        if page.name == Where.WORKING:
            self._page, self._typed = page, ""
            return self._working(work, up)
        new = page != self._page
        self._page, self._said = page, ("", -1, "")
        text = _page_text(page, up) if new else ""
        return text + self._echo("" if new else self._typed, typed)

    def ended(self) -> str:
        """What follows a line that was typed to its end."""
        self._typed = ""
        return _END

    def again(self) -> None:
        """Another has asked the same page: it is written again."""
        self._page = None

    def _working(self, work: WorkNow | None, up: float) -> str:
        if work is None:
            return ""
        now = (work.step, work.percent // STEP_PERCENT, work.detail if not work.total else "")
        if now == self._said:
            return ""
        self._said = now
        fields: dict[str, str | int] = {"local": Where.WORKING, "up": f"{up:.1f}", "step": work.step}
        if work.total:
            fields |= {"done": work.done, "total": work.total, "percent": work.percent}
        if work.rate:
            fields["rate"] = work.rate
        if work.eta is not None:
            fields["eta"] = work.eta
        if work.detail:
            fields["detail"] = work.detail
        return f"{_END}{plain_line(fields)}{_END}"

    def _echo(self, before: str, typed: str) -> str:
        self._typed = typed
        if typed.startswith(before):
            return typed[len(before) :]
        if before.startswith(typed):
            return "\b \b" * (len(before) - len(typed))
        return "\b \b" * len(before) + typed


def _page_text(page: Page, up: float) -> str:
    fields: dict[str, str | int] = {"local": page.name, "up": f"{up:.1f}", **dict(page.fields)}
    if page.problem:
        fields["message"] = page.problem
    lines = [plain_line(fields), f"  {page.headline}", *(f"  {line}" for line in page.body)]
    return _END + _END.join(clean(line) for line in lines) + f"{_END}{page.ask} > "
