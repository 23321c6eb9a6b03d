"""Takes secrets out of text that leaves a machine: logs, mostly. Pure.

What is taken out by its shape: bearer tokens, values of words that name a secret, passwords in URLs,
private keys in PEM, Windows product keys. What is known to be secret is taken out wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REMOVED = "[removed]"
# Shorter ones would be found by chance.
LEAST_SECRET = 8

_NAMES = r"password|passwd|passphrase|secret|token|credential|api[_-]?key|private[_-]?key|psk"
_SECRET_WORDS = rf"[\w.-]*(?:{_NAMES})[\w-]*"
_SHAPES = (
    # -----BEGIN ... PRIVATE KEY----- to its end, or to the end of the text when that is cut off
    re.compile(
        r"(?P<kept>-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        re.DOTALL,
    ),
    re.compile(r"(?P<kept>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE),
    re.compile(r"(?P<kept>\b[a-z][a-z0-9+.-]*://)[^\s/@]+(?=@)", re.IGNORECASE),
    re.compile(
        rf"(?P<kept>\b{_SECRET_WORDS}[\"']?\s*[=:]\s*)(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&\"']+)",
        re.IGNORECASE,
    ),
    # 25 letters and digits in five groups
    re.compile(r"(?P<kept>)(?<![A-Z0-9-])[A-Z0-9]{5}(?:-[A-Z0-9]{5}){4}(?![A-Z0-9-])", re.IGNORECASE),
)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without what has the shape of a secret, and without the known ``secrets``."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(secret, REMOVED)
    for shape in _SHAPES:
        text = shape.sub(lambda found: found["kept"] + REMOVED, text)
    return text
