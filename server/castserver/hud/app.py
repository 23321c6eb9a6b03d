"""The head-up display as a program for a terminal: tables that are brought up to date each second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from castcore.errors import FleetcastError
from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Label, Static

from castserver.api.views import CastView, StateView
from castserver.casts.policy import CastState
from castserver.hud import figures
from castserver.hud.dialogues import Choice, Question
from castserver.hud.figures import CASTS, MACHINES, PARTS, Cells
from castserver.hud.server import HudServer

LOOK_SECONDS = 1.0


class Hud(App[None]):
    """The display; ``server`` answers its questions and carries out its orders."""

    TITLE = "Fleetcast"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 4; padding: 0 1; background: $panel; }
    #casts { height: auto; min-height: 3; max-height: 40%; }
    #machines { height: 1fr; }
    .title { padding: 0 1; text-style: bold; }
    #said { height: auto; padding: 0 1; color: $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New cast"),
        Binding("s", "start", "Start"),
        Binding("c", "cancel", "Cancel"),
        Binding("p", "pxe", "PXE deploy on/off"),
        Binding("a", "all", "All machines"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, server: HudServer) -> None:
        super().__init__()
        self._server = server
        self._state: StateView | None = None
        self._all = self._missed = self._looking = False

    def compose(self) -> ComposeResult:
        """Head, casts, machines, what was said last, keys."""
        yield Static(id="head", markup=False)
        yield Label("Casts", classes="title")
        yield DataTable(id="casts", cursor_type="row")
        yield Label("Machines", id="whose", classes="title", markup=False)
        yield DataTable(id="machines", cursor_type="row")
        yield Static(id="said", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._casts.focus()
        self.look()
        self.set_interval(LOOK_SECONDS, self.look)

    def look(self) -> None:
        """Ask the server once, unless its last answer is still awaited."""
        if not self._looking:
            self._looking = True
            self._look()

    @work(thread=True)
    def _look(self) -> None:
        """When it does not answer, that is said, and what was seen last stays."""
        try:
            state = self._server.state()
        except FleetcastError as error:
            self.call_from_thread(self._away, f"{error.what}; next: {error.hint}")
        else:
            self.call_from_thread(self._here, state)
        finally:
            self._looking = False

    def _away(self, sentence: str) -> None:
        self._missed = True
        self._say(sentence)

    def _here(self, state: StateView) -> None:
        if self._missed:
            self._missed = False
            self._say("")
        self.show(state)

    def show(self, state: StateView) -> None:
        """Bring everything up to date."""
        self._state = state
        self.query_one("#head", Static).update("\n".join(figures.head(state, int(time.time()))))
        _fill(self._casts, CASTS, [(c.cast, figures.cast_row(c)) for c in state.casts])
        cast = None if self._all else self._chosen()
        whose = f"Machines of cast {cast.cast}, {cast.image}" if cast else "Machines"
        self.query_one("#whose", Label).update(whose)
        rows = figures.part_rows(cast) if cast else figures.machine_rows(state)
        _fill(self.query_one("#machines", DataTable), PARTS if cast else MACHINES, rows)

    def on_data_table_row_highlighted(self, _moved: DataTable.RowHighlighted) -> None:
        """Another cast is looked at: its machines are shown."""
        if self._state is not None and self._casts.has_focus:
            self.show(self._state)

    def action_all(self) -> None:
        """Show every machine, or again those of the cast."""
        self._all = not self._all
        if self._state is not None:
            self.show(self._state)

    def action_new(self) -> None:
        """Make a cast of an image that is chosen."""
        self._ask_images()

    def action_start(self) -> None:
        """Start the cast that is looked at, once confirmed."""
        cast = self._chosen()
        if cast is None or cast.state is not CastState.GATHERING:
            self._say("No gathering cast is chosen.")
            return
        self._confirmed(figures.question(cast), lambda: self._server.start(cast.cast))

    def action_cancel(self) -> None:
        """End the cast that is looked at, once confirmed."""
        cast = self._chosen()
        if cast is None or cast.state.ended:
            self._say("No cast that goes on is chosen.")
            return
        cost = "Machines in the middle of it are left incomplete."
        sentence = f"Cancel cast {cast.cast}? {cost if cast.started else 'No disk was touched yet.'}"
        self._confirmed(sentence, lambda: self._server.cancel(cast.cast))

    def action_pxe(self) -> None:
        """Turn PXE deploy on or off, once confirmed."""
        if self._state is None:
            return
        on = not self._state.pxe.deploy
        sentence = f"Turn PXE deploy {'on' if on else 'off'}?"
        self._confirmed(sentence, lambda: self._server.deploy(on=on))

    @property
    def _casts(self) -> DataTable[Text]:
        return self.query_one("#casts", DataTable)

    def _chosen(self) -> CastView | None:
        casts = self._state.casts if self._state is not None else []
        row = self._casts.cursor_row
        return casts[row] if 0 <= row < len(casts) else None

    def _confirmed(self, sentence: str, order: Callable[[], str]) -> None:
        def answered(yes: bool | None) -> None:  # noqa: FBT001
            if yes:
                self._carry_out(order)

        self.push_screen(Question(sentence), answered)

    @work(thread=True)
    def _carry_out(self, order: Callable[[], str]) -> None:
        try:
            said = order()
        except FleetcastError as error:
            said = f"{error.what}; next: {error.hint}"
        self.call_from_thread(self._say, said)

    @work(thread=True)
    def _ask_images(self) -> None:
        try:
            names = self._server.images()
        except FleetcastError as error:
            self.call_from_thread(self._say, error.what)
            return
        if not names:
            self.call_from_thread(self._say, "The server has no image that can be cast.")
            return

        def chosen(name: str | None) -> None:
            if name:
                self._carry_out(lambda: self._server.create(name))

        self.call_from_thread(
            self.push_screen, Choice("Cast which image, to whoever shows up?", names), chosen
        )

    def _say(self, sentence: str) -> None:
        self.query_one("#said", Static).update(sentence)


def _fill(table: DataTable[Text], headings: Cells, rows: Sequence[tuple[str, Cells]]) -> None:
    """Make ``table`` hold ``rows`` under ``headings``; the cursor stays on the row that it was on.

    Cells are text, never markup: machines say what stands there.
    """
    keys = [key for key, _ in rows]
    old = [str(key.value) for key in table.rows]
    if [str(column.label) for column in table.columns.values()] != list(headings):
        table.clear(columns=True)
        table.add_columns(*headings)
        old = []
    if old != keys:
        on = old[table.cursor_row] if 0 <= table.cursor_row < len(old) else ""
        table.clear()
        for key, cells in rows:
            table.add_row(*map(Text, cells), key=key)
        if on in keys:
            table.move_cursor(row=keys.index(on))
        return
    columns = list(table.columns)
    for key, cells in rows:
        for column, cell in zip(columns, cells, strict=True):
            table.update_cell(key, column, Text(cell), update_width=True)
