"""Where corners are written: rounding, steps, the table."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from segmentation.errors import UnsupportedSceneError
from segmentation.rasters.georeference import Georeference
from segmentation.vectors.positions import NO_STEP, Positions

SHAPE = (900, 1300)


def grid(transform, epsg, shape=SHAPE):
    return Georeference(transform, CRS.from_epsg(epsg) if epsg else None, *shape)


GRIDS = {
    "utm": grid(Affine(10, 0, 3e5, 0, -10, 6e6), 32633),
    "rotated": grid(Affine(3, 2, 3e5, 2, -3, 6e6), 32633),
    "coarse": grid(Affine(2000, 0, 2.6e6, 0, -2000, 5.2e6), 3035),
    "mercator": grid(Affine(300, 0, 1e6, 0, -300, 8.4e6), 3857),
    "degrees": grid(Affine(0.01, 0, 10, 0, -0.01, 50), 4326),
    "pole": grid(Affine(9000, 0, -5e6, 0, -9000, 4e6), 3413),
}


def corners(count=4000, shape=SHAPE):
    rng = np.random.default_rng(3)
    rows = rng.integers(0, shape[0] + 1, count).astype(np.int32)
    return rows, rng.integers(0, shape[1] + 1, count).astype(np.int32)


@pytest.mark.parametrize("name", GRIDS)
def test_corners_are_within_a_hundredth_of_a_pixel(name):
    positions = Positions(GRIDS[name], *SHAPE)
    rows, cols = corners()
    x, y = positions.scaled(rows, cols)
    back = GRIDS[name].from_lonlat(x / 10.0**positions.digits, y / 10.0**positions.digits)
    off = np.hypot(back[0] - cols, back[1] - rows)
    # Rounding to 1/100 px and the table's 1/200 px add up.
    assert off.max() < 0.016


@pytest.mark.parametrize("name", GRIDS)
def test_a_corner_is_the_same_whoever_asks_for_it(name):
    positions = Positions(GRIDS[name], *SHAPE)
    rows, cols = corners(500)
    together = np.stack(positions.scaled(rows, cols))
    alone = [np.stack(positions.scaled(rows[i : i + 1], cols[i : i + 1]))[:, 0] for i in range(len(rows))]
    np.testing.assert_array_equal(together, np.stack(alone, axis=1))


@pytest.mark.parametrize("name", ["utm", "rotated", "coarse", "mercator", "degrees"])
def test_edges_between_steps_are_straight_to_a_twentieth_of_a_pixel(name):
    positions = Positions(GRIDS[name], *SHAPE)
    for along_cols, step in ((True, positions.step_cols), (False, positions.step_rows)):
        length = min(step, SHAPE[1] if along_cols else SHAPE[0])
        right, down = (length, 0) if along_cols else (0, length)
        rng = np.random.default_rng(1)
        cols, rows = rng.uniform(0, SHAPE[1] - right, 300), rng.uniform(0, SHAPE[0] - down, 300)
        start, end = (GRIDS[name].to_lonlat(cols + k * right, rows + k * down) for k in (0, 1))
        for share in np.linspace(0.1, 0.9, 9):
            lon, lat = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            col, row = GRIDS[name].from_lonlat(lon, lat)
            bow = row - rows if along_cols else col - cols
            assert np.abs(bow).max() < 0.06


def test_grids_of_degrees_need_no_corners_on_straight_edges():
    positions = Positions(GRIDS["degrees"], *SHAPE)
    assert (positions.step_rows, positions.step_cols) == (NO_STEP, NO_STEP)


def test_digits_follow_the_pixel_size():
    # 1/100 px: 0.1 m (6 digits of a degree) and 5 mm (8 digits).
    assert Positions(GRIDS["utm"], *SHAPE).digits == 6
    assert Positions(grid(Affine(0.5, 0, 3e5, 0, -0.5, 6e6), 32633), *SHAPE).digits == 8


@pytest.mark.parametrize(
    ("transform", "mirrored"),
    [
        (Affine(10, 0, 3e5, 0, -10, 6e6), True),
        (Affine(10, 0, 3e5, 0, 10, 6e6), False),
        (Affine(-10, 0, 3e5, 0, -10, 6e6), False),
        (Affine(0, 10, 3e5, 10, 0, 6e6), True),
        (Affine(0, 10, 3e5, -10, 0, 6e6), False),
    ],
)
def test_the_sense_of_rings_follows_the_transform(transform, mirrored):
    assert Positions(grid(transform, 32633), *SHAPE).mirrored is mirrored


def test_poles_and_the_antimeridian_are_noticed():
    pole = Positions(GRIDS["pole"], *SHAPE)
    assert (pole.has_pole, pole.must_cut, pole.step_rows, pole.step_cols) == (True, True, 1, 1)
    across = Positions(grid(Affine(0.01, 0, 175, 0, -0.01, 50), 4326), *SHAPE)
    assert (across.has_pole, across.must_cut) == (False, True)
    utm = Positions(GRIDS["utm"], *SHAPE)
    assert (utm.has_pole, utm.must_cut) == (False, False)


def test_a_world_map_has_sides_but_no_pole():
    world = Positions(grid(Affine(1, 0, -180, 0, -1, 90), 4326, (180, 360)), 180, 360)
    assert (world.has_pole, world.must_cut) == (False, False)


def test_without_crs_corners_are_columns_and_rows():
    positions = Positions(grid(Affine.identity(), None), *SHAPE)
    rows, cols = corners(50)
    x, y = positions.scaled(rows, cols)
    np.testing.assert_array_equal(x, cols)
    np.testing.assert_array_equal(y, rows)
    assert (positions.digits, positions.mirrored) == (0, False)


def test_a_corner_without_place_on_earth_is_refused(monkeypatch):
    georeference = grid(Affine(9000, 0, -5e6, 0, -9000, 4e6), 3413)
    positions = Positions(georeference, *SHAPE)
    monkeypatch.setattr(
        georeference, "to_lonlat", lambda cols, rows: (np.full(len(cols), np.inf), rows * 0.0)
    )
    with pytest.raises(UnsupportedSceneError, match="no longitude and latitude"):
        positions.scaled(*corners(3))
