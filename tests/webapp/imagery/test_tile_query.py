"""What a tile is asked to show."""

import pytest
from django.http import QueryDict

from webapp.errors import InvalidInputError
from webapp.imagery.tile_query import TileStyle, default_bands, parse_style

INFO = {
    "n_bands": 4,
    "band_roles": ["blue", "green", "red", "nir"],
    "percentiles": [[1, 11], [2, 12], [3, 13], [4, 14]],
}


def test_style_without_query_is_true_color_with_the_percentiles():
    assert parse_style(QueryDict(""), INFO) == TileStyle((3, 2, 1), ((3, 13), (2, 12), (1, 11)))


def test_style_takes_bands_and_their_percentiles():
    assert parse_style(QueryDict("bands=4,3,2"), INFO) == TileStyle((4, 3, 2), ((4, 14), (3, 13), (2, 12)))
    assert parse_style(QueryDict("bands=2"), INFO) == TileStyle((2,), ((2, 12),))


def test_style_takes_one_stretch_for_all_or_one_a_band():
    assert parse_style(QueryDict("bands=1,2,3&stretch=0,5"), INFO).stretch == ((0, 5),) * 3
    each = parse_style(QueryDict("bands=1,2,3&stretch=0,5%3B-1,6.5%3B2,7"), INFO)
    assert each.stretch == ((0, 5), (-1, 6.5), (2, 7))


def test_style_of_an_index_finds_its_bands_by_role():
    assert parse_style(QueryDict("index=ndvi"), INFO) == TileStyle((4, 3), ((-0.2, 0.8),), "ndvi")
    assert parse_style(QueryDict("index=ndwi"), INFO).bands == (2, 4)
    assert parse_style(QueryDict("index=ndvi&index_bands=2,1&stretch=0,1"), INFO) == TileStyle(
        (2, 1), ((0, 1),), "ndvi"
    )


@pytest.mark.parametrize(
    ("roles", "bands"),
    [
        (["", "", ""], (1, 2, 3)),
        (["", "", "", "", ""], (1, 2, 3)),
        ([""], (1,)),
        (["", "alpha"], (1,)),
        (["", "", "alpha"], (1,)),
        (["alpha", "", "", ""], (2, 3, 4)),
        (["red", "green", "blue", "alpha"], (1, 2, 3)),
    ],
)
def test_default_bands_skip_alpha_and_need_three_for_color(roles, bands):
    assert default_bands({"n_bands": len(roles), "band_roles": roles}) == bands


def test_equal_percentiles_put_the_value_in_the_middle():
    (low, high), *_ = parse_style(QueryDict("bands=1"), {**INFO, "percentiles": [[7, 7]] * 4}).stretch
    assert (low + high) / 2 == 7
    assert low < high


def test_unknown_percentiles_fall_back_to_bytes():
    assert parse_style(QueryDict("bands=1"), {**INFO, "percentiles": [None] * 4}).stretch == ((0, 255),)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("bands=0", "asks for band 0; the scene has bands 1 to 4"),
        ("bands=1,2,9", "asks for band 9"),
        ("bands=1,2", "takes 1 or 3 band numbers, not 2"),
        ("bands=a", "must be band numbers"),
        ("bands=-1", "must be band numbers"),
        ("bands=%D9%A3", "must be band numbers"),  # an Arabic-Indic digit, which int() would take
        ("bands=" + "9" * 5000, "must be band numbers"),
        ("stretch=1", "stretch must be low,high"),
        ("stretch=5,5", "stretch must be low,high"),
        ("stretch=nan,1", "stretch must be low,high"),
        ("stretch=0,inf", "stretch must be low,high"),
        ("stretch=0,1%3B0,1", "stretch takes 1 or 3 pairs here, not 2"),
        ("index=evi", "There is no index 'evi'"),
        ("index=ndvi&index_bands=1", "index_bands takes 2 band numbers"),
        ("index=ndvi&index_bands=1,7", "asks for band 7"),
    ],
)
def test_style_refuses_with_a_sentence(query, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        parse_style(QueryDict(query), INFO)


def test_index_without_known_bands_says_which_are_missing():
    with pytest.raises(InvalidInputError, match="NDVI needs the nir band"):
        parse_style(QueryDict("index=ndvi"), {**INFO, "band_roles": ["red", "", "", ""]})
