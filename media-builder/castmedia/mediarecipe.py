"""A medium's recipe: one TOML file that gives the same options as the command line.

A key has the name of an option (``address``, ``serial``, ``hook``...); what the command line gives
goes before it. Files that it names are looked for beside it.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from castcore.bootsettings import BadSettings
from castcore.errors import NotFound, Refused

# What only a command line can say.
NO_KEYS = frozenset({"help", "json", "recipe", "write", "yes", "erase", "replace"})
# Options whose texts are NAME=FILE.
PAIRS = frozenset({"file", "hook"})


def apply(args: argparse.Namespace, declare: Callable[[argparse.ArgumentParser], None]) -> None:
    """Fill what the command line left out of ``args`` from the recipe that it names, if any.

    ``declare`` is the command's ``add_arguments``; an option that a recipe may give has no default
    (None, or False for a switch). Raises NotFound, and BadSettings for no TOML, a key that is no
    option (with the nearest that is one), a value of another kind.
    """
    path: Path | None = args.recipe
    if path is None:
        return
    options = _options(declare)
    for key, value in read(path, options).items():
        action = options[key]
        given = getattr(args, action.dest)
        if given is None or given is False:  # 0 is a number that was given
            setattr(args, action.dest, _converted(path, key, value, action))


def output_of(args: argparse.Namespace) -> Path:
    """Where the result goes. Raises Refused when neither options nor recipe say."""
    if args.output is None:
        raise Refused("no output is named", hint="give --output, or output in the recipe")
    output: Path = args.output
    return output


def read(path: Path, known: Mapping[str, argparse.Action]) -> Mapping[str, Any]:
    """The recipe at ``path``, its keys all ``known``. Raises NotFound, BadSettings."""
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise NotFound(f"the recipe {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadSettings(f"the recipe {path} is no TOML: {error}") from None
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it may have {', '.join(sorted(known))}"
            raise BadSettings(f"the recipe {path} has an unknown key {key!r}", hint=hint)
    return values


def _options(declare: Callable[[argparse.ArgumentParser], None]) -> dict[str, argparse.Action]:
    """The options of a command by their names without hyphens in front."""
    parser = argparse.ArgumentParser(add_help=False)
    declare(parser)
    named = {o[2:]: a for a in parser._actions for o in a.option_strings}  # noqa: SLF001 - no other way
    return {name: action for name, action in named.items() if name not in NO_KEYS}


def _converted(path: Path, key: str, value: Any, action: argparse.Action) -> Any:
    """``value`` as ``action`` takes it from a command line."""
    if action.nargs == 0:
        return _kind(path, key, value, bool, "true or false")
    if not isinstance(action, argparse._AppendAction):  # noqa: SLF001 - argparse gives it no other name
        return _one(path, key, value, action)
    values = _kind(path, key, value, list, "a list of texts")
    return [_one(path, key, v, action) for v in values]


def _one(path: Path, key: str, value: Any, action: argparse.Action) -> Any:
    if action.type is int:
        return _kind(path, key, value, int, "a number")
    text: str = _kind(path, key, value, str, "a text")
    if key in PAIRS:
        return _beside(path, text)
    if action.type is Path:
        return path.parent / text
    if action.choices is not None and text not in action.choices:
        hint = f"one of {', '.join(map(str, action.choices))}"
        raise BadSettings(f"the recipe {path}: {key} cannot be {text!r}", hint=hint)
    return action.type(text) if callable(action.type) else text


def _kind(path: Path, key: str, value: Any, kind: type, wanted: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadSettings(f"the recipe {path}: {key} takes {wanted}, not {value!r}")
    return value


def _beside(recipe: Path, pair: str) -> str:
    name, equals, file = pair.partition("=")
    return f"{name}{equals}{recipe.parent / file}" if equals else pair
