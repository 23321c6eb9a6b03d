"""A line of the server's log: in its file a JSON object, for machines; read back as text, for people."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """An object to each line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ``trace`` of
    an exception, and whatever the caller named beside (``extra``: ``cast``, ``machine``, ``image``...).
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC)
        said: dict[str, object] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


def as_text(line: str) -> str:
    """A line for people, with its trace below it; one that is no object of ours stays as it is."""
    try:
        said = json.loads(line)
        moment = datetime.fromisoformat(said["time"]).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{moment} {said['level']} {said['logger']}: {said['message']}"
        return "\n".join([text, *str(said.get("trace", "")).splitlines()])
    except (ValueError, TypeError, KeyError):
        return line
