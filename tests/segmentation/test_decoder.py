import numpy as np
import pytest

from segmentation.decoder import NO_CLASS, Click, classify_leaves
from segmentation.decoding.graph import build_graph
from segmentation.errors import InvalidArgumentError
from segmentation.pyramid import NODATA_LEAF


def two_groups(n=200):
    """Leaves in two groups that all features tell apart: the first half at -1, the second at 1."""
    rng = np.random.default_rng(0)
    side = np.repeat([-1.0, 1.0], n // 2)
    return (side[:, None] * [1, 1, 1] + rng.normal(0, 0.1, (n, 3))).astype(np.float32)


def around(leaf):
    return np.full(9, leaf, np.uint16)


def test_probabilities_sum_to_one_and_name_the_classes():
    means = two_groups()
    clicks = [Click(0, 0, 7), Click(0, 1, 2), Click(0, 2, 7)]
    got = classify_leaves(means, clicks, [around(3), around(150), around(40)])
    assert got.class_ids.tolist() == [2, 7]
    assert (got.class_ids.dtype, got.probabilities.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(got.probabilities.sum(axis=1), 1, atol=1e-6)
    winner = got.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(got.classes, got.class_ids[winner])
    np.testing.assert_array_equal(got.certainty, got.probabilities.max(axis=1))
    assert (got.classes == np.repeat([7, 2], 100)).mean() > 0.9


def test_one_class_is_certain_everywhere():
    got = classify_leaves(two_groups(), [Click(0, 0, 4)], [around(3)])
    assert (got.classes == 4).all()
    assert got.probabilities.tolist() == [[1]] * 200


def test_click_against_rules_the_class_out_of_its_leaf():
    means = two_groups()
    clicks = [Click(0, 0, 1), Click(0, 1, 2), Click(0, 2, 1, against=True)]
    got = classify_leaves(means, clicks, [around(3), around(150), around(40)])
    assert got.classes[40] == 2
    assert got.probabilities[40].tolist() == [0, 1]


def test_click_against_the_only_class_separates_it_from_the_rest():
    clicks = [Click(0, 0, 5), Click(0, 1, 5, against=True)]
    got = classify_leaves(two_groups(), clicks, [around(3), around(150)])
    assert got.class_ids.tolist() == [NO_CLASS, 5]
    assert (got.classes == np.repeat([5, NO_CLASS], 100)).mean() > 0.9


def test_click_for_a_class_outweighs_a_click_against_it_in_one_leaf():
    clicks = [Click(0, 0, 1), Click(0, 1, 2), Click(0, 2, 1, against=True)]
    got = classify_leaves(two_groups(), clicks, [around(3), around(150), around(3)])
    assert got.classes[3] == 1
    assert got.certainty[3] == 1


def test_latest_click_wins_a_tie_in_one_leaf():
    clicks = [Click(0, 0, 1), Click(0, 0, 2)]
    got = classify_leaves(two_groups(), clicks, [around(3), around(3)])
    assert got.classes[3] == 2


def test_click_against_a_class_teaches_leaves_that_look_alike():
    means = two_groups()
    plain = [Click(0, 0, 1), Click(0, 1, 2)]
    hoods = [around(3), around(150)]
    odd = means.copy()
    odd[:100:10] = [0.5, 0.5, 0.5]  # some leaves between the groups, nearer to class 2
    before = classify_leaves(odd, plain, hoods)
    after = classify_leaves(odd, [*plain, Click(0, 2, 2, against=True)], [*hoods, around(0)])
    assert (before.probabilities[10:100:10, 0] < after.probabilities[10:100:10, 0]).all()


def test_leaf_that_no_class_is_left_for_may_still_be_another():
    clicks = [Click(0, 0, 1), Click(0, 1, 2)] + [Click(0, 2, class_id, against=True) for class_id in (1, 2)]
    got = classify_leaves(two_groups(), clicks, [around(3), around(150), around(80), around(80)])
    assert got.class_ids.tolist() == [NO_CLASS, 1, 2]
    assert got.classes[[3, 80, 150]].tolist() == [1, NO_CLASS, 2]


def test_leaves_between_alike_neighbors_join_them():
    means = two_groups()
    means[7] = [-0.4, -0.4, -0.4]  # a little nearer to the first group, which is all around it
    n = np.full(12, 7, np.int32)
    graph = build_graph(np.minimum(n, np.arange(10, 22)), np.arange(10, 22), np.full(12, 3), means)
    clicks, hoods = [Click(0, 0, 1), Click(0, 1, 2)], [around(3), around(150)]
    alone = classify_leaves(means, clicks, hoods)
    among = classify_leaves(means, clicks, hoods, graph=graph)
    assert among.probabilities[7, 0] > alone.probabilities[7, 0] + 0.05
    np.testing.assert_allclose(among.probabilities.sum(axis=1), 1, atol=1e-5)
    assert among.certainty[3] == 1  # what was clicked stays


def test_trees_hear_what_is_learned_as_much_as_the_rest():
    # The two kinds of features disagree on the last leaf. Among ten given ones a single learned one is seldom drawn,
    # unless trees of its own look at it.
    side = np.repeat([-1.0, 1.0], 100)
    noise = np.random.default_rng(1).normal(0, 0.1, (201, 11))
    means = (np.append(side, 0)[:, None] + noise).astype(np.float32)
    means[200, :10], means[200, 10] = -1, 1
    clicks, hoods = [Click(0, 0, 1), Click(0, 1, 2)], [around(3), around(150)]
    together = classify_leaves(means, clicks, hoods).probabilities[200]
    apart = classify_leaves(means, clicks, hoods, n_learned=1).probabilities[200]
    assert apart[1] > together[1] + 0.1
    assert apart.sum() == pytest.approx(1)


def test_features_that_are_all_learned_are_one_kind():
    means = two_groups()
    clicks, hoods = [Click(0, 0, 1), Click(0, 1, 2)], [around(3), around(150)]
    one, other = (classify_leaves(means, clicks, hoods, n_learned=n) for n in (0, 3))
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_processors_do_not_change_the_answer(monkeypatch):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(20_000, 8)).astype(np.float32)
    clicks = [Click(0, 0, int(label)) for label in rng.integers(0, 3, 30)]
    hoods = [around(leaf) for leaf in rng.integers(0, 20_000, 30)]
    found = []
    for processors in (1, 4):
        monkeypatch.setattr("segmentation.decoder.os.cpu_count", lambda count=processors: count)
        found.append(classify_leaves(means, clicks, hoods).probabilities)
    np.testing.assert_array_equal(*found)


def test_long_strokes_do_not_outweigh_a_click():
    rng = np.random.default_rng(0)
    side = np.repeat([-1.0, 1.0], 3000)
    means = (side[:, None] + rng.normal(0, 0.3, (6000, 4))).astype(np.float32)
    stroke = rng.choice(3000, 2000, replace=False)
    clicks = [Click(0, 0, 1)] * 2000 + [Click(0, 1, 2)]
    got = classify_leaves(means, clicks, [around(leaf) for leaf in stroke] + [around(5000)])
    assert (got.classes == np.repeat([1, 2], 3000)).mean() > 0.95


def test_same_clicks_and_seed_give_the_same_bits():
    clicks = [Click(0, 0, 1), Click(0, 1, 2)]
    one, two = (classify_leaves(two_groups(), clicks, [around(3), around(150)], seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.probabilities, two.probabilities)


@pytest.mark.parametrize(
    ("clicks", "leaves", "message"),
    [
        ([], [], "no click"),
        ([Click(0, 0, 1, against=True)], [around(3)], "All clicks are against a class"),
        ([Click(0, 0, 1)], [around(NODATA_LEAF)], "no data"),
        ([Click(0, 0, 1), Click(0, 0, 2, against=True)], [around(NODATA_LEAF), around(3)], "no data"),
    ],
)
def test_clicks_that_name_no_class_are_refused(clicks, leaves, message):
    with pytest.raises(InvalidArgumentError, match=message):
        classify_leaves(two_groups(), clicks, leaves)
