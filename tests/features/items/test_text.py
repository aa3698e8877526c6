"""Text vectors: unit length, order-free, and the same for an item that arrives later."""

import numpy as np

from features.items.text import TEXT_SIZE, embed, words


def test_vectors_have_unit_length_and_similar_text_is_closer() -> None:
    cat, kitten, tax = (
        embed(words(title, description, (category,)))
        for title, description, category in [
            ("Cats at home", "the quiet life of cats", "animals"),
            ("Kittens at home", "the loud life of cats", "animals"),
            ("Income tax", "forms and deadlines", "finance"),
        ]
    )
    assert cat.shape == (TEXT_SIZE,)
    assert np.isclose(np.linalg.norm(cat), 1.0)
    assert cat @ kitten > cat @ tax + 0.3


def test_an_item_without_text_is_the_zero_vector() -> None:
    assert not embed(words(None, None, ())).any()


def test_a_category_is_a_unit_and_not_its_words() -> None:
    assert set(words(None, None, ("Science Fiction",))) == {"category=Science Fiction"}
