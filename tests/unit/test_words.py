"""Words: what a text is found by, and that nothing somebody writes makes it grow without end."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import snowballstemmer

from crossthread.errors import ConfigurationError
from crossthread.search import words
from crossthread.search.words import MOST_QUERY_TERMS, MOST_TERMS, Language, as_column, counts_of, languages


def terms(text, language="english"):
    return list(Language(language).words([text]).counts)


def test_words_are_counted_and_so_is_their_number():
    found = Language("english").words(["The tea, green TEA", "teas; trains"])
    assert found.counts == {"tea": 3, "green": 1, "train": 1}
    assert found.length == 5
    assert Language("english").words([]) == ({}, 0)
    assert Language("english").words(["the ... !?"]) == ({}, 0)


def test_a_column_tells_the_counts():
    found = Language("simple").words(["tea café tea 茶"])
    assert counts_of(as_column(found), ("tea", "cafe", "茶", "roses")) == [2, 1, 1, 0]


@pytest.mark.parametrize("language", sorted(languages()))
def test_a_number_is_the_term_that_a_stemmer_would_make_of_it(language):
    stem = snowballstemmer.stemmer(language).stemWord
    for number in ("0", "7", "007", "1984", "1000000", "9" * 64):
        assert terms(number, language) == [stem(number)] == [number]


@pytest.mark.parametrize(
    "text", ["tea trains", "tea_trains", "tea\u2019trains", "tea\x00trains", "tea\ud800trains", "tea🍵trains"]
)
def test_what_is_no_letter_separates(text):
    assert terms(text, "simple") == ["tea", "trains"]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("CAFÉ", "cafe"),
        ("cafe\u0301", "cafe"),
        ("x\u030c", "x"),
        ("İstanbul", "istanbul"),
        ("Straße", "STRASSE"),
        ("\ufb01nance", "finance"),
        ("\uff34\uff45\uff41", "tea"),
        ("inter\u00adnational", "international"),
        ("\ufefftea", "tea"),
        ("t\u200dea\u200e", "tea"),
        ("1\ufe0f\u20e3", "1"),
        ("x²", "x2"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ﾄﾏﾄ", "トマト"),
        ("가", "\u1100\u1161"),
    ],
)
@pytest.mark.parametrize("language", ["simple", "english", "german", "turkish"])
def test_one_word_however_it_is_written(text, same, language):
    assert terms(text, language) == terms(same, language) != []


@pytest.mark.parametrize("word", ["Beyoncé", "André", "résumé", "naïve", "Renée", "José", "Chloé", "Zoë", "Málaga"])
def test_accents_do_not_matter_to_a_stemmer_that_knows_none(word):
    plain = {"é": "e", "ï": "i", "á": "a", "ë": "e"}
    bare = "".join(plain.get(char, char) for char in word)
    assert terms(word) == terms(bare) == terms(word.upper())


@pytest.mark.parametrize(
    "text", ["\u2764\ufe0f", "\ufe0f", "\u0301", " \u0301 \u20dd ", "\U000e0061", "\ufffe", "👍🏽", "\u200b"]
)
def test_marks_without_a_letter_are_no_words(text):
    assert terms(text) == []
    assert Language("english").query(text) == ()


def test_accents_of_other_scripts_are_letters():
    assert terms("\u0437\u0430\u0301\u043c\u043e\u043a \u043c\u043e\u0301\u0439", "simple") == [
        "\u0437\u0430\u043c\u043e\u043a",
        "\u043c\u043e\u0439",
    ]
    assert terms("ёж йод", "simple") == ["ёж", "йод"]
    assert terms("がか", "simple") != terms("かか", "simple")
    assert terms("schön schon", "simple") == ["schon"]
    assert terms("Häuser Café cafe", "german") == ["haus", "caf"]


def test_stop_words_are_left_out_however_they_are_written():
    assert terms("The THE the\ufeff \uff34\uff28\uff25") == []
    assert terms("weiß muß daß dass", "german") == ["weiss"]
    assert terms("thé vert") == ["the", "vert"]
    assert terms("the", "simple") == ["the"]


def test_forms_that_no_stemmer_knows():
    assert Language("english").query("went goes gone go") == ("go",)
    assert Language("simple").query("went goes") == ("went", "goes")


def test_pairs_of_scripts_without_spaces():
    assert Language("english").query("東京都") == ("東京", "京都")
    assert Language("english").query("東") == ("東",)
    assert set(terms("東京都")) == {"東", "京", "都", "東京", "京都"}
    assert Language("english").query("東 京") == ("東", "京")
    assert Language("english").query("Tokyo東京2024") == ("tokyo", "東京", "2024")


@pytest.mark.parametrize("language", sorted(languages()))
def test_every_language_takes_any_text(language):
    text = (
        "Running cafés 東京 ชาเขียว שלום مرحبا हिन्दी Ελλάδα Москва 12.5 "
        + "\u0301\u20dd\u200d"
        + "x" * 300
        + " '\"\\:|&!()*"
    )
    found = Language(language)
    counts, length = found.words([text])
    assert set(found.query(text)) <= set(counts)
    assert length >= 10
    for term in counts:
        assert 0 < len(term.encode()) <= 64
        assert not set(term) & set(" \t\n'\"\\:|&!()*<>\x00")
    assert found.words([text]) == Language(language).words([text])


@pytest.mark.parametrize("letter", ["a", "я", "𞤀", "e\u0301"])
def test_a_very_long_word_is_cut(letter):
    found = Language("english")
    (term,) = found.query(letter * 100_000)
    assert len(term.encode()) <= 64
    assert set(found.words([letter * 100_000]).counts) == {term}
    assert all(len(word) <= 100 for word in found._terms)


def test_a_very_long_text_has_a_bound():
    found = Language("simple").words([" ".join(f"w{n}" for n in range(MOST_TERMS + 500))])
    assert len(found.counts) == MOST_TERMS
    assert list(found.counts)[-1] == f"w{MOST_TERMS - 1}"
    assert found.length == MOST_TERMS + 500
    often = Language("simple").words(["tea " * 100_000 + "x"])
    assert often.counts == {"tea": 255, "x": 1}
    assert often.length == 100_001


@pytest.mark.parametrize("separator", [" ", " é "])
def test_a_very_long_query_has_a_bound(separator):
    query = Language("simple").query(separator.join(f"w{n}" for n in range(100_000)))
    assert len(query) == MOST_QUERY_TERMS
    assert query[0] == "w0"


def test_the_words_met_before_have_a_bound(monkeypatch):
    monkeypatch.setattr(words._Terms, "_MOST", 100)
    found = Language("english")
    text = " ".join(f"running{n}" for n in range(1_000))
    assert found.words([text]) == Language("english").words([text])
    assert len(found._terms) <= 100


def test_threads_may_share_a_language():
    found = Language("english")
    texts = [" ".join(f"running{n} meetings{n % 7} {m}cities" for n in range(300)) for m in range(16)]
    expected = [Language("english").words([text]) for text in texts]
    barrier = threading.Barrier(8)

    def work(text):
        barrier.wait(10)
        return found.words([text])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, texts)) == expected


@pytest.mark.parametrize("name", ["klingon", "", "English", "../english", "simple ", "porter2"])
def test_an_unknown_language_names_the_known(name):
    with pytest.raises(ConfigurationError, match="'simple' or one of .*english.*turkish"):
        Language(name)
