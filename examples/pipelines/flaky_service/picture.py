"""Load over time as a drawing (SVG) that is read on light pages and on dark ones."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from .load import Load
from .service import FAILING, LIMITED

WIDTH, HEIGHT = 860, 440
LEFT, RIGHT, TOP, BOTTOM = 66, 20, 92, 56
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #33414d }
.title { font-size: 18px; font-weight: 600 }
.grid { stroke: #7d8a96; stroke-opacity: 0.25 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
.colour-0 { stroke: #cf5a24 }
.colour-1 { stroke: #2a6fc0 }
.capacity { stroke: #33414d; stroke-width: 1.5; stroke-dasharray: 6 4 }
.failing { fill: #cf5a24; fill-opacity: 0.16 }
.limited { fill: #b8962e; fill-opacity: 0.13 }
@media (prefers-color-scheme: dark) {
  text { fill: #d5dde4 }
  .colour-0 { stroke: #f08b5b }
  .colour-1 { stroke: #72acef }
  .capacity { stroke: #d5dde4 }
}
"""
SHADED = {FAILING: "the service fails", LIMITED: "it limits its rate"}


def picture(loads: dict[str, Load], capacity: float) -> str:
    """The loads, each under its name, with the outage and the capacity of the service."""
    rates = {name: load.rates() for name, load in loads.items()}
    end = max(rate[-1][0] for rate in rates.values())
    most = max(capacity, *(value for rate in rates.values() for _, value in rate))
    sheet = Sheet(end, most)
    sheet.shade(next(iter(loads.values())))
    sheet.axes()
    sheet.capacity(capacity)
    for index, (name, rate) in enumerate(rates.items()):
        sheet.line(index, name, rate)
    return sheet.text()


class Sheet:
    """A drawing with seconds to the right and requests per second upwards."""

    def __init__(self, end: float, most: float) -> None:
        self._end, self._most = end, most * 1.15
        self._svg = Element(
            "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img"
        )
        title = "Requests that arrive at a service which fails for a while"
        add(self._svg, "title", title)
        add(self._svg, "style", STYLE)
        self._write(LEFT, 28, title, **{"class": "title"})

    def text(self) -> str:
        indent(self._svg)
        return tostring(self._svg, encoding="unicode") + "\n"

    def shade(self, load: Load) -> None:
        """Shade what is not healthy, with a word on it."""
        for phase, words in SHADED.items():
            begin, end = map(self._x, load.span(phase))
            height = HEIGHT - TOP - BOTTOM
            box = {"x": begin, "y": TOP, "width": end - begin, "height": height}
            add(self._svg, "rect", **box, **{"class": phase})
            self._write((begin + end) / 2, TOP + 18, words, **MIDDLE)

    def axes(self) -> None:
        for value in ticks(self._most):
            y = self._y(value)
            self._stroke("grid", (LEFT, y), (WIDTH - RIGHT, y))
            self._write(LEFT - 8, y + 4, f"{value:g}", **{"text-anchor": "end"})
        for second in ticks(self._end):
            self._write(self._x(second), HEIGHT - BOTTOM + 20, f"{second:g}", **MIDDLE)
        centre = (LEFT + WIDTH - RIGHT) / 2
        self._write(centre, HEIGHT - 10, "time since the first page (seconds)", **MIDDLE)
        middle = (TOP + HEIGHT - BOTTOM) / 2
        turned = {"transform": f"rotate(-90 18 {middle:g})", **MIDDLE}
        self._write(18, middle, "load (requests per second)", **turned)

    def capacity(self, capacity: float) -> None:
        y = self._y(capacity)
        self._stroke("capacity", (LEFT, y), (WIDTH - RIGHT, y))
        self._legend(2, "capacity", "what the healthy service can serve")

    def line(self, index: int, name: str, rate: list[tuple[float, float]]) -> None:
        path = " ".join(f"{self._x(second):.1f},{self._y(value):.1f}" for second, value in rate)
        add(self._svg, "polyline", points=path, **{"class": f"line colour-{index}"})
        self._legend(index, f"line colour-{index}", name)

    def _legend(self, place: int, kind: str, words: str) -> None:
        x, y = LEFT + place * 210, 58
        self._stroke(kind, (x, y), (x + 28, y))
        self._write(x + 36, y + 4, words)

    def _stroke(self, kind: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        (x1, y1), (x2, y2) = start, end
        add(self._svg, "line", x1=x1, y1=y1, x2=x2, y2=y2, **{"class": kind})

    def _write(self, x: float, y: float, words: str, **attributes: str) -> None:
        add(self._svg, "text", words, x=x, y=y, **attributes)

    def _x(self, second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / self._end

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self._most


MIDDLE = {"text-anchor": "middle"}


def add(parent: Element, tag: str, text: str = "", /, **attributes: float | str) -> None:
    """Put an element into another, with its numbers short."""
    shown = {
        name: value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
        for name, value in attributes.items()
    }
    SubElement(parent, tag, shown).text = text or None


def ticks(end: float) -> list[float]:
    """Four to nine round numbers from zero."""
    steps = [factor * 10.0**power for power in range(-3, 7) for factor in (1, 2, 5)]
    step = next(step for step in steps if end / step < 9)
    return [number * step for number in range(int(end / step) + 1)]
