"""What an operator should know of the network before and beside a cast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from castcore.edge.cast import preflight
from castcore.edge.cast.querier import QuerierListener
from castcore.edge.net.interface import Interface
from castcore.errors import NetworkFailed


def advise(
    interfaces: Sequence[Interface], warn: Callable[[str], None], *, querier: bool, stack: ExitStack
) -> None:
    """Tell ``warn`` what would spoil a cast through ``interfaces``: at once, or when it is found out.

    Until ``stack`` closes queriers are listened for; ``querier``: be one where there is none. ``warn``
    may be called from another thread.
    """
    for interface in interfaces:
        for warning in preflight.sender_warnings(interface):
            warn(warning)
        try:
            listener = QuerierListener(interface, warn, ask=querier)
        except NetworkFailed as error:
            warn(f"{error.what}: {error.hint}" if error.hint else error.what)
        else:
            stack.callback(listener.close)
