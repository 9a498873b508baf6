"""Users, signed-in clients and scenes for the tests of the web application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from django.contrib.auth.models import User
from django.test import Client
from rasterio.transform import Affine, from_origin

from webapp.jobs import door
from webapp.models import Project, Scene


@pytest.fixture
def user(db) -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def stranger(db) -> User:
    return User.objects.create_user("boris")


@pytest.fixture
def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def other_client(stranger: User) -> Client:
    client = Client()
    client.force_login(stranger)
    return client


@pytest.fixture
def submitted(monkeypatch) -> dict[str, list]:
    """What was handed to the job engine, which does not run here."""
    calls: dict[str, list] = {"imports": [], "projects": []}
    monkeypatch.setattr(
        door, "submit_import", lambda scene, path: calls["imports"].append((scene, Path(path)))
    )
    monkeypatch.setattr(door, "project_created", calls["projects"].append)
    return calls


def write_raster(path: Path, data: np.ndarray, valid: np.ndarray | None = None, **profile) -> None:
    """A tiled GeoTIFF with overviews and an internal mask, as an import makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = data.shape
    layout = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": data.dtype,
        **layout,
        **profile,
    }
    with rasterio.open(path, "w", **profile) as file:
        file.write(data)
        if valid is not None:
            file.write_mask(valid)
        file.build_overviews([2, 4], rasterio.enums.Resampling.average)


@pytest.fixture
def make_scene(user: User) -> Callable[..., Scene]:
    """Make a ready scene of an array (bands, height, width)."""

    def make(
        data: np.ndarray | None = None,
        *,
        owner: User | None = None,
        crs: str | None = "EPSG:32633",
        transform: Affine | None = None,
        valid: np.ndarray | None = None,
        roles: tuple[str, ...] = (),
        name: str = "field",
        **changes,
    ) -> Scene:
        if data is None:
            data = np.full((3, 64, 64), 100, np.uint8)
        transform = transform or (from_origin(500_000, 5_200_000, 10, 10) if crs else Affine.identity())
        scene = Scene.objects.create(
            owner=owner or user, name=name, source_name=f"{name}.tif", state=Scene.State.READY
        )
        profile = {"crs": crs, "transform": transform} if crs else {}
        write_raster(scene.cog_path, data, valid, **profile)
        scene.thumbnail_path.write_bytes(b"RIFF0000WEBP")
        bands, height, width = data.shape
        bounds = None
        if crs:
            with rasterio.open(scene.cog_path) as file:
                bounds = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
        limits = [[float(np.nanpercentile(band, 2)), float(np.nanpercentile(band, 98))] for band in data]
        scene.info = {
            "width": width,
            "height": height,
            "n_bands": bands,
            "dtype": str(data.dtype),
            "crs": crs,
            "bounds": bounds,
            "band_roles": list(roles) or [""] * bands,
            "percentiles": limits,
            "max_zoom": 14 if crs else max(0, int(np.ceil(np.log2(max(width, height) / 256)))),
            "min_zoom": 0,
            "gsd_m": 10.0 if crs else None,
        }
        scene.size_bytes = 1000
        for field, value in changes.items():
            setattr(scene, field, value)
        scene.save()
        return scene

    return make


@pytest.fixture
def make_project(user: User, make_scene) -> Callable[..., Project]:
    def make(scene: Scene | None = None, *, owner: User | None = None, name: str = "map") -> Project:
        scene = scene or make_scene(owner=owner)
        return Project.objects.create(owner=scene.owner, scene=scene, name=name, updated_by=scene.owner)

    return make
