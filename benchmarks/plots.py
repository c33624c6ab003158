"""Plots as SVG, from values alone: bars, and lines over a logarithmic or linear axis. Enough for the report, and no library."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 44, 48
_COLOURS = ("#0b6e4f", "#c1440e", "#3b5b92", "#8a5a9e", "#a67c00", "#5f6b6d")


def bars(title: str, unit: str, values: Mapping[str, float]) -> str:
    """A horizontal bar for each value."""
    most = max(values.values(), default=1) or 1
    height = 56 + 34 * len(values)
    parts = [_text(16, 26, title, size=16), _text(16, 44, unit, size=11)]
    for row, (name, value) in enumerate(values.items()):
        y = 60 + 34 * row
        width = 330 * value / most
        parts += [
            _text(230, y + 15, name, anchor="end"),
            f'<rect x="240" y="{y}" width="{width:.1f}" height="22" fill="{_COLOURS[0 if row == 0 else 5]}"/>',
            _text(246 + width, y + 15, f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"),
        ]
    return _svg(_WIDTH, height, title, parts)


def lines(
    title: str,
    x_unit: str,
    y_unit: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    logarithmic: bool = False,
) -> str:
    """A line for each series of points. `logarithmic` is about the vertical axis; values must be above zero there."""
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError("a plot needs points")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_ticks = _decades(min(ys), max(ys)) if logarithmic else _steps(max(ys))
    scale = math.log10 if logarithmic else float
    low, high = scale(y_ticks[0]), scale(y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (scale(y) - low) / (high - low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_text(16, 26, title, size=16), _text(_LEFT, _TOP - 4, y_unit, size=11)]
    for tick in y_ticks:
        _, y = place(x_low, tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{tick:,g}", anchor="end", size=11))
    for x in sorted(set(xs)):
        at, _ = place(x, y_ticks[0])
        parts.append(_text(at, _HEIGHT - _BOTTOM + 16, f"{x:,g}", anchor="middle", size=11))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_unit, anchor="middle", size=11))
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [place(x, y) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        key = _TOP + 12 + 20 * number
        parts.append(f'<rect x="{_WIDTH - _RIGHT + 14}" y="{key - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(_WIDTH - _RIGHT + 30, key, name, size=11))
    return _svg(_WIDTH, _HEIGHT, title, parts)


def _decades(least: float, most: float) -> list[float]:
    begin, finish = math.floor(math.log10(least)), math.ceil(math.log10(most))
    return [10.0**power for power in range(begin, max(finish, begin + 1) + 1)]


def _steps(most: float) -> list[float]:
    most = most or 1.0
    size = 10 ** math.floor(math.log10(most))
    step = next(size * share for share in (0.2, 0.5, 1, 2) if most / (size * share) <= 6)
    return [step * number for number in range(math.ceil(most / step) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#222">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}" font-family="sans-serif">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *parts, "</svg>"]) + "\n"
