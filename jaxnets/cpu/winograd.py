"""3x3 convolutions with 16 products for every 36: F(2x2, 3x3) of Lavin and Gray, arXiv:1509.09308.

Images are cut into 4x4 tiles that overlap by two pixels; each gives 2x2 pixels of the output:
A' [(G g G') * (B' d B)] A for a tile d and a kernel g, summed over channels, so that each of the 16 places of
a tile is one matrix product. The two gradients are the same formula read from its other ends.

All entries of B and A are 0, 1 or -1, so that equal pixels cancel exactly: where pixels are equal along rows
or columns, so are the pixels of the output.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.cpu.taps import Pads, Pair

Grid = list[list[jax.Array]]
Matrix = Sequence[Sequence[float]]

B_T = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
A_T = ((1, 1, 1, 0), (0, 1, -1, -1))
G = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
B, A, G_T = (tuple(zip(*matrix, strict=True)) for matrix in (B_T, A_T, G))

PRODUCTS = 48  # so many in a matrix product take as long as computing and storing one number of a tile


def pays(x: jax.Array, kernel: jax.Array, strides: Pair, pads: Pads) -> bool:
    """Returns whether the products saved outweigh computing the tiles of image, kernel and output."""
    height, width, channels, features = kernel.shape
    if (height, width) != (3, 3) or strides != (1, 1) or min(x.shape[1:3]) < 3:
        return False
    rows, columns = _size(x, pads)
    tiles = x.shape[0] * _half(rows) * _half(columns)
    saved = 9 * x.shape[0] * rows * columns - 16 * tiles
    return channels * features * saved > 16 * PRODUCTS * (
        tiles * channels + tiles * features + channels * features
    )


def convolve(x: jax.Array, kernel: jax.Array, pads: Pads) -> jax.Array:
    """Returns x (batch, height, width, c) convolved with kernel (3, 3, c, features)."""
    batch, (rows, columns) = x.shape[0], _size(x, pads)
    products = _each(jnp.matmul, _of_image(x, pads), _both(G, _places(kernel)))
    y = _joined(_both(A_T, _unfolded(products, (batch, _half(rows), _half(columns)))))
    return y[:, :rows, :columns]


def gradients(x: jax.Array, kernel: jax.Array, dy: jax.Array, pads: Pads) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients of x and kernel, given that of the output (batch, height', width', features)."""
    batch, rows, columns, _ = dy.shape
    dy = jnp.pad(dy, ((0, 0), (0, rows % 2), (0, columns % 2), (0, 0)))
    of_dy = _flat(_both(A, [[dy[:, i::2, j::2] for j in (0, 1)] for i in (0, 1)]))
    of_kernel = _each(lambda image, dy: image.T @ dy, _of_image(x, pads), of_dy)
    of_image = _each(lambda dy, kernel: dy @ kernel.T, of_dy, _both(G, _places(kernel)))
    tiles = _both(B, _unfolded(of_image, (batch, _half(rows), _half(columns))))
    dx = _joined([[_overlapping(tiles, i, j) for j in (0, 1)] for i in (0, 1)])
    (top, _), (left, _) = pads
    dx = dx[:, top : top + x.shape[1], left : left + x.shape[2]]
    return dx, jnp.stack([jnp.stack(row) for row in _both(G_T, of_kernel)])


def _half(size: int) -> int:
    return (size + 1) // 2


def _size(x: jax.Array, pads: Pads) -> Pair:
    rows, columns = (x.shape[axis + 1] + sum(pads[axis]) - 2 for axis in (0, 1))
    return rows, columns


def _of_image(x: jax.Array, pads: Pads) -> Grid:
    """Returns B' d B for every tile d, as 4 x 4 arrays (tiles, c)."""
    rows, columns = (2 * _half(size) for size in _size(x, pads))  # in whole tiles of the output
    (top, _), (left, _) = pads
    below, right = rows + 2 - top - x.shape[1], columns + 2 - left - x.shape[2]
    x = jnp.pad(x, ((0, 0), (top, below), (left, right), (0, 0)))
    places = [[x[:, i : i + rows - 1 : 2, j : j + columns - 1 : 2] for j in range(4)] for i in range(4)]
    return _flat(_both(B_T, places))


def _places(kernel: jax.Array) -> Grid:
    return [[kernel[i, j] for j in range(3)] for i in range(3)]


def _both(matrix: Matrix, grid: Grid) -> Grid:
    """Returns matrix @ grid @ matrix.T."""

    def product(grid: Grid) -> Grid:
        columns = list(zip(*grid, strict=True))
        return [[_sum(row, column) for column in columns] for row in matrix]

    def turned(grid: Grid) -> Grid:
        return [list(row) for row in zip(*grid, strict=True)]

    return turned(product(turned(product(grid))))


def _sum(numbers: Sequence[float], arrays: Sequence[jax.Array]) -> jax.Array:
    """Returns the sum of number * array; multiplies by 1 and -1 are left out, as there would be thousands."""
    terms = [(number, array) for number, array in zip(numbers, arrays, strict=True) if number]
    scale = abs(terms[0][0])
    if any(abs(number) != scale for number, _ in terms):
        terms, scale = [(1, number * array) for number, array in terms], 1
    first, *others = [array if number > 0 else -array for number, array in terms]
    total = sum(others, first)
    return total if scale == 1 else scale * total


def _each(function, *grids: Grid) -> Grid:
    return [[function(*some) for some in zip(*rows, strict=True)] for rows in zip(*grids, strict=True)]


def _flat(grid: Grid) -> Grid:
    return _each(lambda array: array.reshape(-1, array.shape[-1]), grid)


def _unfolded(grid: Grid, shape: tuple[int, int, int]) -> Grid:
    return _each(lambda array: array.reshape(*shape, -1), grid)


def _overlapping(tiles: Grid, i: int, j: int) -> jax.Array:
    """Returns the sum, for every second pixel from (i, j) on, over the tiles that see it."""
    around = ((0, 1), (1, 0))  # seen by its own tile at the place, by the one before at the place + 2
    first, *others = [
        jnp.pad(tiles[i + 2 * up][j + 2 * left], ((0, 0), around[up], around[left], (0, 0)))
        for up in (0, 1)
        for left in (0, 1)
    ]
    return sum(others, first)


def _joined(grid: Grid) -> jax.Array:
    """Returns the image in which every second pixel from (i, j) on is grid[i][j]."""
    rows = [jnp.stack(row, axis=3) for row in grid]
    image = jnp.stack(rows, axis=2)
    batch, height, _, width, _, channels = image.shape
    return image.reshape(batch, 2 * height, 2 * width, channels)
