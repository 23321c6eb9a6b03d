"""Every text that the console has translated, found in its templates, scripts and helpers."""

from __future__ import annotations

from pathlib import Path

import castserver.console
from babel.messages.extract import extract_from_dir
from castserver.console.statewords import state_words

FOLDER = Path(castserver.console.__file__).parent
METHODS = [("**.html", "jinja2"), ("**.js", "javascript"), ("**.py", "python")]


def console_texts() -> set[str]:
    """The texts in English, as a catalogue names them."""
    found = extract_from_dir(str(FOLDER), method_map=METHODS, keywords={"_": None, "words": None})
    return {str(text) for _, _, text, _, _ in found} | state_words()
