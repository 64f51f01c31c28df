"""Exact search over packed vectors: order, ties, scores."""

import numpy as np
import pytest

from crossthread.errors import EmbeddingError
from crossthread.search import scan
from crossthread.search.vectors import to_bytes, unit_vectors


def block(groups, stamps=None):
    blobs = [to_bytes(unit_vectors(rows, len(rows), None)) for rows in groups]
    return scan.pack(list(range(len(groups))), stamps or list(range(len(groups))), blobs, len(groups[0][0]))


def test_the_best_come_first_with_scores_true_to_float64():
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((500, 384))
    query = rng.standard_normal(384)
    hits = scan.best(block([[row] for row in vectors]), unit_vectors([query], 1, None)[0], 20)
    true = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    assert [hit.id for hit in hits] == np.argsort(-true)[:20].tolist()
    assert [hit.score for hit in hits] == pytest.approx(sorted(true.tolist(), reverse=True)[:20], abs=1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3, 7, 16, 33, 384, 1000])
@pytest.mark.parametrize("size", [1, 2, 3, 17, 100])
def test_equal_vectors_score_exactly_equal_wherever_they_stand(dims, size):
    rng = np.random.default_rng(dims * 1000 + size)
    same = rng.standard_normal(dims)
    rows = [[rng.standard_normal(dims)] if i % 3 else [same] for i in range(size)]
    query = unit_vectors([rng.standard_normal(dims)], 1, None)[0]
    hits = scan.best(block(rows), query, size)
    assert len({hit.score for hit in hits if hit.id % 3 == 0}) == 1


def test_of_equal_scores_the_later_write_comes_first_across_a_page_end():
    vectors = [[[1.0, 2.0]]] * 50
    hits = scan.best(block(vectors, stamps=list(range(50))), unit_vectors([[1, 1]], 1, None)[0], 7)
    assert [hit.stamp for hit in hits] == [49, 48, 47, 46, 45, 44, 43]


def test_an_item_scores_by_its_best_vector_and_comes_once():
    groups = [[[1, 0], [0, 1]], [[0.6, 0.8]], [[-1, 0], [0, -1], [-1, -1]]]
    hits = scan.best(block(groups), unit_vectors([[0, 1]], 1, None)[0], 10)
    assert [(hit.id, round(hit.score, 6)) for hit in hits] == [(0, 1.0), (1, 0.8), (2, 0.0)]


def test_only_allowed_items_count_and_weak_ones_are_dropped():
    groups = [[[1, 0]], [[0, 1]], [[1, 1]]]
    query = unit_vectors([[1, 0]], 1, None)[0]
    assert [hit.id for hit in scan.best(block(groups), query, 5, allowed=np.array([1, 2]))] == [2, 1]
    assert [hit.id for hit in scan.best(block(groups), query, 5, min_score=0.5)] == [0, 2]
    assert scan.best(block(groups), query, 5, allowed=np.array([], dtype=np.int64)) == []


def test_a_zero_vector_scores_zero():
    hits = scan.best(block([[[0, 0]], [[-1, 0]]]), unit_vectors([[1, 0]], 1, None)[0], 5)
    assert [(hit.id, hit.score) for hit in hits] == [(0, 0.0), (1, -1.0)]
    assert all(hit.score == 0.0 for hit in scan.best(block([[[1, 2]]]), unit_vectors([[0, 0]], 1, None)[0], 5))


@pytest.mark.parametrize(
    ("raw", "expected", "dims", "message"),
    [
        ([[1, 2]], 2, 2, "1 vectors for 2 texts"),
        ([[1, 2], [1, 2]], 1, 2, "2 vectors for 1 texts"),
        ([[1, 2, 3]], 1, 2, "3 dimensions where 2"),
        ([[1, 2], [1]], 2, None, "1 dimensions where 2"),
        ([[1, float("nan")]], 1, 2, "nan at position 1 of vector 0"),
        ([[1, 2], [float("inf"), 2]], 2, 2, "inf at position 0 of vector 1"),
        ([[]], 1, None, "0 dimensions"),
        ([[[1]]], 1, None, "not a list of vectors"),
        ([[10**400]], 1, 1, "not a list of vectors"),
        (None, 1, 2, "not a list of vectors"),
        ([["a", "b"]], 1, 2, "not a list of vectors"),
        ([1.0], 1, 2, "shape"),
        (np.array([[1j, 2]]), 1, 2, "complex"),
    ],
)
def test_what_is_no_embedding_is_refused_with_its_numbers(raw, expected, dims, message):
    with pytest.raises(EmbeddingError, match=message):
        unit_vectors(raw, expected, dims)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1, 1e30, 1e300])
def test_any_finite_length_becomes_one(scale):
    row = unit_vectors([[3 * scale, 4 * scale]], 1, 2)[0]
    assert row.tolist() == pytest.approx([0.6, 0.8], abs=1e-7)


@pytest.mark.parametrize("dims", [1, 2, 3, 17, 384, 1023])
def test_a_vector_is_the_same_alone_and_among_others(dims):
    """Lists and arrays, one or many, beside vectors whose squares leave float64: equal embeddings are equal bytes."""
    rows = np.random.default_rng(5).standard_normal((60, dims))
    alone = b"".join(to_bytes(unit_vectors([row.tolist()], 1, dims)) for row in rows)
    assert to_bytes(unit_vectors(rows.tolist(), 60, dims)) == alone
    assert to_bytes(unit_vectors(rows, 60, None)) == alone
    assert to_bytes(unit_vectors(list(rows), 60, dims)) == alone
    assert to_bytes(unit_vectors([*rows.tolist(), [1e300] * dims], 61, dims)[:60]) == alone
    assert to_bytes(unit_vectors(tuple(map(tuple, rows.tolist())), 60, dims)) == alone
