"""The rates of a cast on a terminal."""

from __future__ import annotations

from castserver.cli.ratescreen import BAR, MOST_LINES, rate_lines
from castserver.commands import casts

from tests.support.serverlab import ServerLab
from tests.support.watchedcast import gathered
from tests.unit.test_server_machinepages import run


def sample(at: float, fresh: int, repair: int = 0, goodput: int = 0) -> dict[str, float]:
    return {"at": at, "fresh": fresh, "repair": repair, "goodput": goodput}


def test_every_stretch_has_its_figures_and_a_bar_to_the_same_scale() -> None:
    heading, *lines = rate_lines(
        [sample(1.0, 75_000_000, 25_000_000, 70_000_000), sample(62.0, 50_000_000)]
    )
    assert heading.split()[:4] == ["UNTIL", "IMAGE", "REPAIR", "GOODPUT"]
    assert lines[0].split() == ["0:01", "75.0", "25.0", "70.0", "#" * (BAR * 3 // 4) + "+" * (BAR // 4)]
    assert lines[1].split() == ["1:02", "50.0", "0.0", "0.0", "#" * (BAR // 2)]


def test_a_long_cast_fits_a_screen() -> None:
    lines = rate_lines([sample(float(n), n * 1_000_000) for n in range(1, 181)])
    assert len(lines) <= MOST_LINES + 1
    assert lines[-1].split()[0] == "3:00"


def test_a_cast_that_sent_nothing_says_so() -> None:
    assert rate_lines([]) == ["nothing was sent since the server started"]
    assert "#" not in rate_lines([sample(1.0, 0)])[1]


def test_the_command_shows_what_the_api_has() -> None:
    lab = ServerLab()
    cast, _ = gathered(lab, 1)
    said, result = run(lab, ["rates", cast], casts)
    assert result == {"rates": lab.operator("GET", f"/casts/{cast}/rates")}
    assert said
