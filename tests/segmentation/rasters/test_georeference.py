"""Positions and areas against PROJ's own, asked for directly."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyproj
import pytest
from affine import Affine
from rasterio.crs import CRS

from segmentation.errors import InvalidArgumentError
from segmentation.rasters.georeference import Georeference, earth_crs
from segmentation.rasters.mesh import MERCATOR_LAT, interpolate

WORLD_M = 20037508.342789244


@dataclass(frozen=True)
class Grid:
    crs: int
    transform: Affine
    height: int = 1000
    width: int = 1300


GRIDS = {
    "utm": Grid(32633, Affine(10, 0, 5e5, 0, -10, 5e6)),
    "utm-fine": Grid(32633, Affine(0.3, 0, 7.9e5, 0, -0.3, 6.9e6)),
    "utm-odd-size": Grid(32633, Affine(60, 0, 3e5, 0, -60, 7e6), 1537, 1025),
    "mercator-60n": Grid(3857, Affine(20, 0, 1e6, 0, -20, 8.4e6)),
    "degrees": Grid(4326, Affine(0.001, 0, 10, 0, -0.001, 50)),
    "degrees-coarse": Grid(4326, Affine(0.01, 0, 10, 0, -0.01, 50)),
    "rotated": Grid(32633, Affine(10, 0, 5e5, 0, -10, 5e6) * Affine.rotation(30)),
    "sheared": Grid(32719, Affine(8, 1, 4e5, -2, -9, 7e6)),
    "south-up": Grid(32633, Affine(10, 0, 5e5, 0, 10, 5e6)),
    "antimeridian-utm": Grid(32660, Affine(30, 0, 8e5, 0, -30, 2e6)),
    "antimeridian-degrees": Grid(4326, Affine(0.005, 0, 177, 0, -0.005, -16)),
    "antimeridian-mercator": Grid(3857, Affine(100, 0, WORLD_M - 60_000, 0, -100, 5e5)),
    "lambert": Grid(2154, Affine(500, 0, 1.5e5, 0, -500, 7.1e6)),
    "polar": Grid(3413, Affine(500, 0, 1e6, 0, -500, -1e6)),
    "nad27-degrees": Grid(4267, Affine(0.001, 0, -100, 0, -0.001, 40)),
}
each_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())


def place(grid: Grid) -> Georeference:
    return Georeference(grid.transform, CRS.from_epsg(grid.crs), grid.height, grid.width)


def proj_lonlat(grid: Grid, cols, rows):
    to_lonlat = pyproj.Transformer.from_crs(grid.crs, 4326, always_xy=True)
    return to_lonlat.transform(*(grid.transform * (np.asarray(cols, float), np.asarray(rows, float))))


@each_grid
def test_to_lonlat_is_proj_but_for_turns(grid):
    georeference = place(grid)
    cols, rows = np.meshgrid(np.linspace(0, grid.width, 31), np.linspace(0, grid.height, 29))
    lons, lats = georeference.to_lonlat(cols, rows)
    proj_lons, proj_lats = proj_lonlat(grid, cols, rows)
    assert np.abs(lats - proj_lats).max() < 1e-12
    turns = (lons - proj_lons) / 360
    assert np.abs(turns - np.round(turns)).max() < 1e-12
    # No jump within the scene, and all of it where its bounds say.
    assert np.abs(np.diff(lons, axis=1)).max() < 90
    west, south, east, north = georeference.bounds
    assert west - 1e-9 <= lons.min() <= lons.max() <= east + 1e-9
    assert south - 1e-9 <= lats.min() <= lats.max() <= north + 1e-9
    assert -180 <= west < 180


@each_grid
def test_from_lonlat_undoes_to_lonlat(grid):
    georeference = place(grid)
    cols, rows = np.meshgrid(np.linspace(0, grid.width, 13), np.linspace(0, grid.height, 11))
    lons, lats = georeference.to_lonlat(cols, rows)
    for turn in (-360, 0, 360):
        back_cols, back_rows = georeference.from_lonlat(lons + turn, lats)
        assert np.abs(back_cols - cols).max() < 1e-3
        assert np.abs(back_rows - rows).max() < 1e-3


@pytest.mark.parametrize("name", ["antimeridian-utm", "antimeridian-degrees", "antimeridian-mercator"])
def test_bounds_run_on_over_the_antimeridian(name):
    west, _, east, _ = place(GRIDS[name]).bounds
    assert 170 < west < 180 < east < 190


def test_a_world_map_keeps_its_ends_apart():
    world = Georeference(Affine(0.25, 0, -180, 0, -0.25, 90), CRS.from_epsg(4326), 720, 1440)
    assert world.bounds == (-180, -90, 180, 90)
    lons, _ = world.to_lonlat([0, 720, 1440], [360, 360, 360])
    assert lons.tolist() == [-180, 0, 180]
    cols, _ = world.from_lonlat([-180, 180, 190], [0, 0, 0])
    assert cols == pytest.approx([0, 1440, 40])


def test_a_world_map_of_cell_centers_ends_at_the_poles():
    world = Georeference(Affine(0.25, 0, -0.125, 0, -0.25, 90.125), CRS.from_epsg(4326), 721, 1440)
    assert world.bounds == (-0.125, -90, 359.875, 90)


def test_bounds_around_a_pole_are_the_whole_circle():
    west, south, east, north = Georeference(
        Affine(5000, 0, -2.5e6, 0, -5000, 2.5e6), CRS.from_epsg(3413), 1000, 1000
    ).bounds
    assert (west, east, north) == (-180, 180, 90)
    assert 55 < south < 60


@each_grid
def test_block_mesh_is_within_a_quarter_texel(grid):
    georeference = place(grid)
    for level, row, col in [(0, 0, 0), (0, 1, 1), (1, 0, 1), (2, 0, 0)]:
        if min(-(-grid.height // 2**level) - row * 512, -(-grid.width // 2**level) - col * 512) < 1:
            continue
        mesh = georeference.block_mesh(level, row, col)
        n = len(mesh)
        assert mesh.shape == (n, n, 2)
        assert mesh.dtype == np.float64
        assert n in (2, 3, 5, 9, 17, 33)
        # Used texels may stick out of the scene by less than a texel.
        used_height = min(512, -(-grid.height // 2**level) - row * 512)
        used_width = min(512, -(-grid.width // 2**level) - col * 512)
        texel_rows, texel_cols = np.meshgrid(
            np.linspace(0, used_height, 71), np.linspace(0, used_width, 67), indexing="ij"
        )
        shown = interpolate(mesh, texel_rows / used_height * (n - 1), texel_cols / used_width * (n - 1))
        # Back from the map to texels, through PROJ alone.
        lons = np.degrees(shown[..., 0] / 6_378_137)
        lats = np.degrees(np.arctan(np.sinh(shown[..., 1] / 6_378_137)))
        cols, rows = georeference.from_lonlat(lons, lats)
        error_rows = rows / 2**level - row * 512 - texel_rows
        error_cols = cols / 2**level - col * 512 - texel_cols
        assert np.hypot(error_rows, error_cols).max() < 0.25


@each_grid
def test_block_meshes_meet(grid):
    georeference = place(grid)
    left, right = georeference.block_mesh(0, 0, 0), georeference.block_mesh(0, 0, 1)
    # Corners that two blocks share are the same place, on the same turn around the Earth.
    assert np.abs(left[0, -1] - right[0, 0]).max() < 1e-6
    assert np.abs(left[-1, -1] - right[-1, 0]).max() < 1e-6


def test_block_mesh_takes_few_points_where_the_grid_is_straight():
    assert len(place(GRIDS["mercator-60n"]).block_mesh(0, 0, 0)) == 2


def test_block_mesh_stays_on_the_square_map():
    world = Georeference(Affine(0.25, 0, -180, 0, -0.25, 90), CRS.from_epsg(4326), 720, 1440)
    mesh = world.block_mesh(0, 0, 0)
    top = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(0, MERCATOR_LAT)[1]
    assert np.isfinite(mesh).all()
    assert mesh[..., 1].max() == pytest.approx(top)


def test_block_mesh_without_crs_is_in_pixels():
    georeference = Georeference(Affine.identity(), None, 700, 1030)
    assert georeference.block_mesh(0, 1, 2).tolist() == [
        [[1024, 512], [1030, 512]],
        [[1024, 700], [1030, 700]],
    ]
    # At level 1 the last row of texels covers rows 698 and 699, at level 3 rows 696 to 703.
    assert georeference.block_mesh(3, 0, 0)[-1, -1].tolist() == [1032, 704]


@pytest.mark.parametrize("block", [(0, 2, 0), (0, 0, 3), (0, -1, 0), (-1, 0, 0), (70, 0, 0)])
def test_block_mesh_refuses_blocks_outside(block):
    with pytest.raises(InvalidArgumentError, match="There is no block"):
        place(GRIDS["utm"]).block_mesh(*block)


@each_grid
def test_pixel_areas_add_up_to_the_geodesic_area_of_the_scene(grid):
    georeference = place(grid)
    areas = georeference.pixel_areas_m2(0, 0, grid.height, grid.width)
    along = np.arange(grid.width + 1.0)
    up = np.arange(grid.height + 1.0)
    cols = np.concatenate([along, np.full(len(up), grid.width), along[::-1], np.zeros(len(up))])
    rows = np.concatenate([np.zeros(len(along)), up, np.full(len(along), grid.height), up[::-1]])
    exact, _ = pyproj.Geod(ellps="WGS84").polygon_area_perimeter(*proj_lonlat(grid, cols, rows))
    assert areas.sum() == pytest.approx(abs(exact), rel=1e-7)


@each_grid
def test_pixel_areas_are_geodesic(grid):
    georeference = place(grid)
    geod = pyproj.Geod(ellps="WGS84")
    rng = np.random.default_rng(1)
    # Squares of pixels, since the geodesic area of a single small one has few digits.
    size = max(1, min(64, round(300 / georeference.gsd_m)))
    areas = georeference.pixel_areas_m2(0, 0, grid.height, grid.width)
    for _ in range(40):
        row, col = rng.integers(grid.height - size), rng.integers(grid.width - size)
        corners = proj_lonlat(grid, col + size * np.array([0, 1, 1, 0]), row + size * np.array([0, 0, 1, 1]))
        exact = abs(geod.polygon_area_perimeter(*corners)[0])
        assert areas[row : row + size, col : col + size].sum() == pytest.approx(exact, rel=1e-6)


@each_grid
def test_pixel_areas_do_not_depend_on_the_window(grid):
    georeference = place(grid)
    whole = georeference.pixel_areas_m2(0, 0, grid.height, grid.width)
    for row, col, height, width in [(0, 0, 1, 1), (505, 3, 17, 700), (999, 1000, 1, 25), (511, 511, 2, 2)]:
        part = georeference.pixel_areas_m2(row, col, height, width)
        assert np.array_equal(part, whole[row : row + height, col : col + width])


def test_pixel_areas_of_the_world_are_the_surface_of_the_ellipsoid():
    world = Georeference(Affine(0.5, 0, -180, 0, -0.5, 90), CRS.from_epsg(4326), 360, 720)
    assert world.pixel_areas_m2(0, 0, 360, 720).sum() == pytest.approx(510_065_621_724_088, rel=1e-9)


def test_pixel_areas_around_a_pole():
    polar = Georeference(Affine(5000, 0, -2.5e6, 0, -5000, 2.5e6), CRS.from_epsg(3413), 1000, 1000)
    areas = polar.pixel_areas_m2(480, 480, 40, 40)
    # The pole is the corner of four pixels; the scale of the projection there is 1 / 0.9695 squared in area.
    assert areas[19:21, 19:21] == pytest.approx(areas[19, 19])
    assert areas[19, 19] == pytest.approx(5155.39**2, rel=1e-3)


def test_pixel_areas_without_crs_are_none():
    assert Georeference(Affine.identity(), None, 5, 5).pixel_areas_m2(0, 0, 5, 5) is None


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, 1001, 5), (0, 1299, 1, 2)])
def test_pixel_areas_refuse_windows_outside(window):
    with pytest.raises(InvalidArgumentError, match="is not inside the scene of 1000 x 1300 pixels"):
        place(GRIDS["utm"]).pixel_areas_m2(*window)


def test_gsd_is_measured_on_the_ground():
    # Web Mercator stretches by 1 / cos(latitude): 20 m on the map at about 60 degrees are 10 m.
    assert place(GRIDS["mercator-60n"]).gsd_m == pytest.approx(10.03, abs=0.01)
    assert place(GRIDS["utm"]).gsd_m == pytest.approx(10.004, abs=0.001)
    assert Georeference(Affine.identity(), None, 5, 5).gsd_m is None


@each_grid
def test_outline_is_a_closed_ring_around_the_scene(grid):
    ring = np.array(place(grid).outline)
    assert (ring[0] == ring[-1]).all()
    x, y = ring.T
    assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0  # counter-clockwise
    west, south, east, north = place(grid).bounds
    assert [x.min(), y.min(), x.max(), y.max()] == pytest.approx([west, south, east, north], abs=0.02)


def test_outline_without_crs_is_in_pixels():
    ring = Georeference(Affine.identity(), None, 3, 5).outline
    assert ring == [[0, 0], [5, 0], [5, 3], [0, 3], [0, 0]]


@pytest.mark.parametrize(
    "crs",
    [
        None,
        "",
        'ENGCRS["site",EDATUM["post"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]',
        "EPSG:4978",  # geocentric
        "EPSG:5703",  # heights
        "+proj=longlat +a=1737400 +b=1737400 +no_defs",  # the Moon
        "+proj=merc +R=3396190 +no_defs",  # Mars
        "no such system",
    ],
)
def test_earth_crs_counts_systems_without_place_on_earth_as_none(crs):
    assert earth_crs(crs) is None


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:32633",
        "EPSG:4326",
        pyproj.CRS(2154),
        CRS.from_epsg(3857),
        "EPSG:7415",
        "+proj=sinu +R=6371007.181",
    ],
)
def test_earth_crs_keeps_systems_on_earth(crs):
    assert isinstance(earth_crs(crs), CRS)


def test_earth_crs_wants_the_whole_grid_on_earth():
    full_disk = "+proj=geos +h=35786023 +lon_0=0 +ellps=GRS80"
    assert earth_crs(full_disk) is not None
    assert earth_crs(full_disk, Affine(3000, 0, -5.5e6, 0, -3000, 5.5e6), 3667, 3667) is None
    assert earth_crs(full_disk, Affine(3000, 0, -1e6, 0, -3000, 1e6), 600, 600) is not None
    assert earth_crs("EPSG:32633", Affine(0, 0, 5e5, 0, 0, 5e6), 10, 10) is None
    assert earth_crs("EPSG:4326", Affine(1, 0, 0, 0, -1, 0), 400, 300) is None  # rows taken for degrees
    assert (
        earth_crs("EPSG:4326", Affine(0.5, 0, -0.25, 0, -0.5, 90.25), 361, 720) is not None
    )  # half a cell over


def test_georeference_can_be_shared_by_threads_and_pickled():
    grid = GRIDS["utm"]
    georeference = pickle.loads(pickle.dumps(place(grid)))
    with ThreadPoolExecutor(4) as pool:
        meshes = list(pool.map(lambda _: georeference.block_mesh(0, 0, 0), range(16)))
    expected = place(grid).block_mesh(0, 0, 0)
    assert all(np.array_equal(mesh, expected) for mesh in meshes)


def test_georeference_refuses_an_empty_grid():
    with pytest.raises(InvalidArgumentError, match="0 x 5"):
        Georeference(Affine.identity(), None, 0, 5)
