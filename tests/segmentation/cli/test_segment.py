"""The command line: what it prints, its exit codes, and that nothing is left half-written."""

import json

import pytest

from segmentation import open_segmentation
from segmentation.testing import synthetic_scene, write_scene


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pixels, _ = synthetic_scene(300, 260, 3, seed=1)
    return write_scene(tmp_path_factory.mktemp("cli") / "scene.tif", pixels)


def test_segment_writes_a_store_and_says_what_it_holds(run, image, tmp_path):
    done = run("segment", image, tmp_path / "s", "--leaves", 60, "--bands", "3,1", "--mode", "fast", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    found = open_segmentation(tmp_path / "s")
    assert (facts["height"], facts["width"], facts["pixels"]) == (300, 260, 300 * 260)
    assert facts["leaves"] == found.n_leaves <= 60
    assert len(found.spectrum(0, 1)[0]) == 2


def test_segment_speaks_plainly_and_shows_progress(run, image, tmp_path):
    done = run("segment", image, tmp_path / "s", "--mode", "fast")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("260 x 300 pixels, 78000 of them with data, in ")


def test_help_names_the_command_and_its_options(run):
    assert "segment" in run("--help").stdout
    assert "--superpixel-px" in run("segment", "--help").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--bands", "1,x"], 2, 'The bands are "1,x"; give numbers'),
        (["--bands", "9"], 2, "choose different ones from 1 to 3"),
        (["--superpixel-px", "5"], 2, "The superpixel size is 5 pixels"),
        (["--mode", "slow"], 2, 'The mode is "slow"'),
        (["--leaves", "many"], 2, "Invalid value for '--leaves'"),
        (["--aoi", "nowhere.geojson"], 2, "nowhere.geojson cannot be read"),
    ],
)
def test_bad_arguments_are_one_sentence_and_leave_nothing(run, image, tmp_path, arguments, code, sentence):
    done = run("segment", image, tmp_path / "s", *arguments)
    assert done.returncode == code
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(("text", "sentence"), [("{", "is not JSON"), ("[1]", "is not a GeoJSON object")])
def test_broken_area_files_are_refused(run, image, tmp_path, text, sentence):
    (tmp_path / "area.json").write_text(text)
    done = run("segment", image, tmp_path / "s", "--aoi", tmp_path / "area.json")
    assert (done.returncode, sentence in done.stderr) == (2, True)


def test_unreadable_images_are_refused(run, tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    done = run("segment", tmp_path / "text.tif", tmp_path / "s")
    assert done.returncode == 1
    assert "text.tif" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("segment", tmp_path / "missing.tif", tmp_path / "s").returncode == 1
