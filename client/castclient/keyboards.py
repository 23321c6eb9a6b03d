"""Every keyboard that is or gets plugged in, read below the consoles (evdev): chords work on each."""

from __future__ import annotations

import contextlib
import os
import selectors
from collections.abc import Callable

import pyudev

from castclient.hotkeys import EVENT, Hotkey, Keyboard

_EVENTS = 64
_NODES = "/dev/input/event"


class Keyboards:
    """Gives each hotkey to ``press``; never returns."""

    def __init__(self, press: Callable[[Hotkey], None]) -> None:
        self._press = press
        self._selector = selectors.DefaultSelector()
        self._open: dict[str, int] = {}

    def run(self) -> None:
        """Read for ever. Raises OSError where there is no udev."""
        context = pyudev.Context()
        monitor = pyudev.Monitor.from_netlink(context)
        monitor.filter_by("input")
        monitor.start()
        self._selector.register(monitor.fileno(), selectors.EVENT_READ)
        for device in context.list_devices(subsystem="input"):
            self._appeared(device)
        while True:
            for key, _ in self._selector.select():
                if isinstance(key.data, Keyboard):
                    self._read(key.fd, key.data)
                else:
                    self._plugged(monitor)

    def _plugged(self, monitor: pyudev.Monitor) -> None:
        while (device := monitor.poll(timeout=0)) is not None:
            if device.action == "remove":
                self._closed(device.device_node or "")
            else:
                self._appeared(device)

    def _appeared(self, device: pyudev.Device) -> None:
        node = device.device_node or ""
        has_keys = device.properties.get("ID_INPUT_KEY") or device.properties.get("ID_INPUT_KEYBOARD")
        if not node.startswith(_NODES) or not has_keys or node in self._open:
            return
        with contextlib.suppress(OSError):
            fd = os.open(node, os.O_RDONLY | os.O_NONBLOCK)
            self._open[node] = fd
            self._selector.register(fd, selectors.EVENT_READ, Keyboard())

    def _read(self, fd: int, keyboard: Keyboard) -> None:
        try:
            data = os.read(fd, EVENT.size * _EVENTS)
        except BlockingIOError:
            return
        except OSError:  # pulled out
            data = b""
        if not data:
            self._closed(next(node for node, opened in self._open.items() if opened == fd))
        for hotkey in keyboard.feed(data):
            self._press(hotkey)

    def _closed(self, node: str) -> None:
        fd = self._open.pop(node, None)
        if fd is not None:
            self._selector.unregister(fd)
            os.close(fd)
