"""The table of rooms in architecture.md, and architecture.svg, which is drawn of it.

python docs/architecture.py
"""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from statistics import mean

PAGE = Path(__file__).with_suffix(".md")
WIDTH, BOX, HEIGHT, FLOOR = 1000, 128, 34, 78  # pixels: of the drawing, of a room and of a floor
Rooms = Mapping[str, frozenset[str]]


def rooms() -> tuple[frozenset[str], Rooms]:
    """The rooms of the ground floor, which all may import; and those above it, with what else each may."""
    rows = re.findall(r"^\| (`.*) \| .* \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    (ground, _), *others = [(names_in(room), names_in(imports)) for room, imports in rows]
    return ground, {name: imports for names, imports in others for name in sorted(names)}


def names_in(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"`(\w+)/?`", cell))


def below(name: str, above: Rooms) -> frozenset[str]:
    """All rooms that a room may import, also by way of others."""
    return above[name].union(*(below(other, above) for other in above[name]))


def floors(above: Rooms) -> list[list[str]]:
    """From the first floor up: a room is above all that it may import, and right below what imports it."""
    lowest: dict[str, int] = {}
    while len(lowest) < len(above):
        ready = [name for name in above if name not in lowest and above[name] <= lowest.keys()]
        assert ready, f"a circle: {above.keys() - lowest.keys()}"
        lowest |= {name: max((lowest[other] + 1 for other in above[name]), default=0) for name in ready}
    floor: dict[str, int] = {}
    for name in sorted(above, key=lambda name: -lowest[name]):
        floor[name] = min((floor[other] - 1 for other in floor if name in above[other]), default=lowest[name])
    return [[name for name in above if floor[name] == number] for number in range(max(floor.values()) + 1)]


def draw() -> str:
    """The drawing, SVG: the highest floor on top, an arrow to each room that is imported."""
    ground, above = rooms()
    stories = floors(above)
    size = FLOOR * (len(stories) + 2)
    direct = {
        name: [other for other in above[name] if not any(other in below(one, above) for one in above[name])]
        for name in above
    }
    places: dict[str, tuple[float, float]] = {}
    for number, story in reversed(list(enumerate(stories))):
        users = {name: [places[one][0] for one in places if name in direct[one]] for name in story}
        for column, name in enumerate(sorted(story, key=lambda name: mean(users[name] or [WIDTH]))):
            places[name] = (WIDTH * (column + 0.5) / len(story), size - FLOOR * (number + 1.5))
    arrows, boxes = [], []
    for name, (x, y) in places.items():
        boxes.append(box(x, y, BOX, name))
        for other in sorted(direct[name]):
            start = spread(x, [places[one][0] for one in direct[name]], places[other][0])
            end = spread(places[other][0], [places[one][0] for one in above if other in direct[one]], x)
            top, bottom = y + HEIGHT / 2, places[other][1] - HEIGHT / 2 - 6
            bend = FLOOR * 0.45
            arrows.append(
                f'<path d="M{start:.0f},{top:.0f} C{start:.0f},{top + bend:.0f} '
                f'{end:.0f},{bottom - bend:.0f} {end:.0f},{bottom:.0f}"/>'
            )
    boxes.append(box(WIDTH / 2, FLOOR / 2, WIDTH - 40, "experiments, tests: everything below"))
    boxes.append(box(WIDTH / 2, size - FLOOR / 2, WIDTH - 40, f"for all: {', '.join(sorted(ground))}"))
    return "\n".join([HEAD.format(width=WIDTH, height=size), *arrows, "</g>", *boxes, "</svg>"]) + "\n"


def spread(center: float, others: list[float], this: float) -> float:
    """Where on a side of a room an arrow begins or ends, so that those to the left stand on the left."""
    return center + BOX * ((sorted(others).index(this) + 1) / (len(others) + 1) - 0.5)


HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">
<marker id="tip" viewBox="0 0 6 6" refX="1" refY="3" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0,0 L6,3 L0,6 z" fill="#556"/></marker>
<rect width="{width}" height="{height}" fill="#fff"/>
<g fill="none" stroke="#556" marker-end="url(#tip)">"""


def box(x: float, y: float, width: float, text: str) -> str:
    corner = f'x="{x - width / 2:.0f}" y="{y - HEIGHT / 2:.0f}"'
    return (
        f'<rect {corner} width="{width}" height="{HEIGHT}" rx="5" fill="#eef2fa" stroke="#335"/>'
        f'<text x="{x:.0f}" y="{y + 5:.0f}" font-size="15" text-anchor="middle">{escape(text)}</text>'
    )


if __name__ == "__main__":
    PAGE.with_suffix(".svg").write_text(draw(), encoding="utf-8")
