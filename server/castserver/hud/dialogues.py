"""The dialogues of the head-up display: a sentence to confirm, a name to choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label, OptionList


class Question(ModalScreen[bool]):
    """A sentence that takes a yes or a no; no is what Enter and Escape say."""

    DEFAULT_CSS = """
    Question { align: center middle; }
    Question #box { width: 60; height: auto; max-height: 80%; padding: 1 2; border: thick $error; }
    Question #box { background: $surface; }
    Question #sentence { width: 100%; margin-bottom: 1; }
    Question #box Horizontal { height: auto; align-horizontal: right; }
    Question #box Button { margin-left: 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]

    def __init__(self, sentence: str) -> None:
        super().__init__()
        self._sentence = sentence

    def compose(self) -> ComposeResult:
        """The sentence and two buttons."""
        with Vertical(id="box"):
            yield Label(self._sentence, id="sentence", markup=False)
            with Horizontal():
                yield Button("No (n)", id="no")
                yield Button("Yes (y)", id="yes", variant="error")

    def on_button_pressed(self, pressed: Button.Pressed) -> None:
        """A button is an answer too."""
        self.dismiss(pressed.button.id == "yes")

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001
        """A key is an answer."""
        self.dismiss(answer)


class Choice(ModalScreen[str]):
    """One of several names, "" when nothing was chosen."""

    DEFAULT_CSS = """
    Choice { align: center middle; }
    Choice #box { width: 60; height: auto; max-height: 80%; padding: 1 2; border: thick $accent; }
    Choice #box { background: $surface; }
    Choice #sentence { width: 100%; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]

    def __init__(self, title: str, names: Sequence[str]) -> None:
        super().__init__()
        self._title, self._names = title, names

    def compose(self) -> ComposeResult:
        """The title and the names."""
        with Vertical(id="box"):
            yield Label(self._title, id="sentence")
            yield OptionList(*self._names, markup=False)

    def on_option_list_option_selected(self, chosen: OptionList.OptionSelected) -> None:
        """Enter on a name chooses it."""
        self.dismiss(self._names[chosen.option_index])

    def action_leave(self) -> None:
        """Escape chooses nothing."""
        self.dismiss("")
