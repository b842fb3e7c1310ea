"""Ink on paper, found in a photograph whatever the light.

Light changes slowly, or at the edge of a shadow that is wide; ink is what reflects less than all around it
and is narrower than half of the picture. So a shade, a vignette and over-exposure do no harm, and faint ink
is as good as black ink while it stands out from the noise.
"""

from dataclasses import dataclass

import numpy as np

FAR, NEAR = (
    256,
    1024,
)  # pixels of the longer side at which a picture is looked at, and from which it is cropped
EDGE = 0.2  # an edge is at least this steep, relative to the steepest one
NOISE = 4.0  # and relative to the median of all slopes, which in a photograph are noise
VISIBLE = 0.02  # ink takes away at least this part of the light
CLEAR = 8.0  # and stands out by as many standard deviations of the noise
EVEN = 0.03  # of the light, at most, is between most of the paper and the surface that light forms
DARK = 64  # grey levels at which no paper is white any more
PLAIN = 0.12  # it is faint if it takes away less
REACHED = 0.03  # of the border, at least, is ink where ink reaches it
DUST = 0.0015  # of the picture is the size of a mark that may be dust
SMALL = 0.05  # of the largest mark's size: smaller ones are dust as well
SHEET = 0.05  # of the picture, at least, is a sheet that lies on something darker
FILLED = 0.82  # of the smallest rectangle around it is filled by a sheet, at least: a disc fills 0.79
NARROW = 0.35  # times as wide as long is a sheet, at least: a stroke is narrower
WRITTEN = 0.35  # of a sheet is covered with ink, at most
RIM = 25  # times narrower than the picture is the rim of a sheet that is left out
LEAST = 8  # pixels of a side are needed to see anything


@dataclass(frozen=True)
class Traced:
    """The ink in a picture.

    Attributes:
        ink: How much of a pixel is ink, float32 (h, w) from 0 to 1, cropped to the ink.
        dark: Whether it is darker than the paper.
        on_sheet: Whether the paper is a sheet that lies on something darker.
        doubt: Why it may not be what was meant, or None.
    """

    ink: np.ndarray
    dark: bool
    on_sheet: bool = False
    doubt: str | None = None


def trace(grey: np.ndarray, *, dark: bool | None = None) -> Traced | None:
    """Returns the ink in a picture, or None if there is nothing but paper.

    Args:
        grey: uint8 (H, W).
        dark: Whether the ink is darker than the paper. By default found out.

    Examples:
        >>> shade = np.linspace(120, 250, 90)[None].repeat(90, 0)
        >>> shade[20:70, 40:48] *= 0.5
        >>> found = trace(shade.astype(np.uint8))
        >>> found.dark, found.on_sheet
        (True, False)
    """
    if min(grey.shape) * min(1, FAR / max(grey.shape)) < LEAST:
        return None
    picture = _shrunk(grey.astype(np.float32), NEAR)
    far = _look(picture)
    on_sheet, unknown = False, dark is None
    if dark is None:
        paper = _paper(far.even)
        dark = _is_dark(far.even, paper)
        if not dark and (sheet := _sheet(far.even, paper)) is not None:
            cut = _cut_out(picture, sheet)
            ink, _ = _ink(far_cut := _look(cut), True)
            if 0 < ink.mean() <= WRITTEN and not _border(ink > 0.5).any():
                picture, far, dark, on_sheet = cut, far_cut, True, True
    ink, depth = _ink(far, dark)
    if unknown and not dark and 0 < depth < PLAIN:  # as likely shade: what takes more light away is ink
        other, other_depth = _ink(far, True)
        if other_depth > depth:
            ink, depth, dark = other, other_depth, True
    if not ink.any():
        return None
    ink, depth = _closer(picture, ink, depth, dark)
    doubt = f"the ink is faint: it takes away {depth:.0%} of the light" if depth < PLAIN else None
    return Traced(ink[_box(ink > 0.5)], dark, on_sheet, doubt)


@dataclass(frozen=True)
class _Look:
    """A picture from afar in even light, 1 on paper, float32 (h, w), and the noise that is left in it."""

    even: np.ndarray
    noise: float


def _look(picture: np.ndarray) -> _Look:
    """Returns a picture, float32 (H, W), as it is looked at."""
    from scipy import ndimage

    picture = _shrunk(picture, FAR)
    blur = max(picture.shape) / 100
    smooth = ndimage.gaussian_filter(picture, blur)
    light = np.maximum(_slow_light(smooth), DARK)
    noise = 1.4826 * np.median(np.abs(picture - smooth) / light) / max(1, 3.5 * blur)
    return _Look(np.maximum(smooth, 1) / light, float(noise))


def _slow_light(picture: np.ndarray) -> np.ndarray:
    """Returns light that grows weaker to one side or to all: a quadratic surface, if most pixels are near it.

    It is constant otherwise: with a hard shadow, or a sheet on a table.
    """

    def terms(height: int, width: int) -> np.ndarray:
        y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
        return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1).reshape(-1, 6)

    few = _shrunk(picture, 48)
    known, levels = terms(*few.shape), few.ravel()
    weights = np.ones_like(levels)
    for _ in range(10):  # what lies far from the others counts for little
        weighted = known * weights[:, None]
        fit = np.linalg.lstsq(weighted.T @ known, weighted.T @ levels, rcond=None)[0]
        off = np.abs(known @ fit - levels)
        weights = 1 / (1 + (off / max(2 * np.median(off), 1)) ** 2)
    if np.median(off) > EVEN * np.median(levels):
        return np.full_like(picture, np.median(levels))
    return (terms(*picture.shape) @ fit).reshape(picture.shape).astype(np.float32)


def _paper(even: np.ndarray) -> np.ndarray:
    """Returns what can be reached from most of the border without crossing an edge, bool (h, w)."""
    from scipy import ndimage

    side = max(even.shape)
    slopes = np.hypot(*(one - ndimage.gaussian_filter(one, side / 10) for one in np.gradient(even)))
    steepest = slopes.max()
    edges = slopes > max(EDGE * steepest, min(NOISE * np.median(slopes), steepest / 2))
    edges = ndimage.binary_dilation(edges, iterations=max(1, side // 80))  # over gaps in them
    labels, _ = ndimage.label(~edges)
    contact = np.bincount(_border(labels), minlength=2)
    paper = labels == 1 + np.argmax(contact[1:])
    return paper if paper.any() else ~paper


def _is_dark(even: np.ndarray, paper: np.ndarray) -> bool:
    """Returns whether ink is darker than paper: what is next to it, or most of a border that it reaches."""
    from scipy import ndimage

    middle = (even.min() + even.max()) / 2
    reach = max(
        _border(np.abs(even - _light(even, dark)) > middle - even.min()).mean() for dark in (True, False)
    )
    if reach > REACHED:
        return bool(np.median(_border(even)) > middle)
    nearest = ndimage.distance_transform_edt(~paper, return_distances=False, return_indices=True)
    return bool((even[tuple(nearest)] - even).sum() > 0)


def _ink(look: _Look, dark: bool) -> tuple[np.ndarray, float]:
    """Returns how much of each pixel is ink, and how much of the light the ink takes away."""
    from scipy import ndimage

    light = _light(look.even, dark)
    depth = 1 - look.even / light if dark else look.even - light
    depth -= np.median(depth)
    seen = _large(depth > max(VISIBLE, CLEAR * look.noise), DUST * depth.size)
    if not seen.any():
        return np.zeros_like(depth), 0.0
    between, full = _halves(depth[seen])
    kept = ndimage.binary_dilation(_marks(depth > between), iterations=2)
    return np.clip((depth - between) / full + 0.5, 0, 1) * kept, full


def _halves(depths: np.ndarray) -> tuple[float, float]:
    """Returns the depth halfway between the shallow ones and the deep ones, and the mean of the deep ones."""
    between = depths.mean()
    for _ in range(20):
        deep, shallow = depths[depths >= between].mean(), depths[depths <= between].mean()
        between = (deep + shallow) / 2
    return float(between), float(deep)


def _light(even: np.ndarray, dark: bool) -> np.ndarray:
    """Returns the picture without what is darker (lighter) than all around and narrower than half of it."""
    from scipy import ndimage

    window = max(3, min(even.shape) // 2)
    around = min(window, *(side - 1 for side in even.shape))
    bright = even if dark else -even
    padded = np.pad(bright, around, "reflect", reflect_type="odd")  # shade goes on beyond the border
    closed = ndimage.grey_closing(np.minimum(padded, bright.max()), (window, window))
    inner = closed[around:-around, around:-around]
    return inner if dark else -inner


def _closer(picture: np.ndarray, ink: np.ndarray, depth: float, dark: bool) -> tuple[np.ndarray, float]:
    """Returns `_ink` of that part of the picture where it was found from afar."""
    zoom = picture.shape[0] / ink.shape[0]
    box = _box(ink > 0.5)
    margin = 0.5 * max(side.stop - side.start for side in box)
    rows, columns = (
        slice(max(0, round((side.start - margin) * zoom)), round((side.stop + margin) * zoom)) for side in box
    )
    near, near_depth = _ink(_look(picture[rows, columns]), dark)
    return (near, near_depth) if near.any() else (ink, depth)


def _marks(mask: np.ndarray) -> np.ndarray:
    """Returns the mask without dust, and without what reaches the border unless all does that counts."""
    labels, sizes = _parts(mask)
    at_border = np.zeros(len(sizes), bool)
    at_border[np.unique(_border(labels))] = True
    inside = np.where(at_border, 0, sizes)
    main = inside if inside.max() >= 0.25 * sizes.max() else sizes
    return (main >= SMALL * main.max())[labels] & mask


def _large(mask: np.ndarray, size: float) -> np.ndarray:
    """Returns the mask without what is smaller."""
    labels, sizes = _parts(mask)
    return (sizes >= size)[labels] & mask


def _parts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the connected parts, (h, w), and their sizes; what is in none has number 0."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels, sizes


def _sheet(even: np.ndarray, paper: np.ndarray) -> np.ndarray | None:
    """Returns where a sheet lies, bool (h, w), if the largest thing beside the supposed paper is like one."""
    from scipy import ndimage

    labels, sizes = _parts(~paper)
    sheet = ndimage.binary_fill_holes(labels == np.argmax(sizes))
    turns = np.radians(np.arange(0, 90, 3))
    outline = np.argwhere(sheet & ~ndimage.binary_erosion(sheet))
    along = np.ptp(outline @ np.stack([np.cos(turns), np.sin(turns)]), 0) + 1
    across = np.ptp(outline @ np.stack([-np.sin(turns), np.cos(turns)]), 0) + 1
    best = (along * across).argmin()
    length, width = sorted((along[best], across[best]), reverse=True)
    inner = ndimage.binary_erosion(sheet, iterations=max(sheet.shape) // RIM + 1, border_value=1)
    if sheet.sum() < FILLED * length * width or width < NARROW * length or inner.mean() < SHEET:
        return None
    return inner if np.median(even[inner]) > (even.min() + even.max()) / 2 else None


def _cut_out(picture: np.ndarray, sheet: np.ndarray) -> np.ndarray:
    """Returns the part of a picture with the sheet, continued over what lies beside it."""
    from PIL import Image
    from scipy import ndimage

    inside = np.asarray(Image.fromarray(sheet).resize(picture.shape[::-1], Image.Resampling.NEAREST))
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return picture[tuple(nearest)][_box(inside)]


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Returns the rows and columns of the box around what is marked."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _border(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def _shrunk(picture: np.ndarray, most: int) -> np.ndarray:
    """Returns a picture, float32 (H, W), with at most that many pixels on its longer side."""
    from PIL import Image

    scale = most / max(picture.shape)
    if scale >= 1:
        return picture
    size = tuple(max(1, round(side * scale)) for side in picture.shape[::-1])
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
