"""Contract section 7: what is a word. Languages, scripts, and texts that look like query syntax."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.store.base import PutOp

from crossthread.errors import ConfigurationError, IndexMismatchError
from crossthread.testing.embedder import HashEmbeddings
from crossthread.testing.suite.harness import OpenRaw, OpenStore, SuiteBase, index_of, keys, needs
from crossthread.testing.suite.modes import fill, words_only

HOSTILE = [
    '"', "'", '""', '"tea', 'tea"', 'te"a', "'tea", "tea''", "*", "te*", "tea*", "*tea", "AND", "OR", "NOT", "NEAR",
    "tea AND", "AND tea", "tea OR", "NOT tea", "tea NOT trains", "NEAR(", "NEAR(tea trains, 5)", "NEAR/3", "-tea",
    "- tea", "tea -trains", ":", "tea:", ":tea", "terms:tea", "text : tea", "{terms} : tea", "^tea", "tea^2", "(",
    ")", "(tea", "tea)", "()", "((((((((tea", '\\', "\\tea", 'tea\\', "\\'", "\\\\'", "\x00", "tea\x00trains",
    "\ud800", "tea\udfff", "'; DROP TABLE items; --", "' OR 1=1 --", "tea; DELETE FROM crossthread_words", "|", "&",
    "!", "<->", "tea | trains", "tea & trains", "!tea", "!!tea", "tea <-> trains", "tea <2> trains", "tea:*", ":*",
    "tea:A", "tea:1,2", "'tea':1A", "tea:*AB", "%", "_", "te_", "te%", "[tea]", "{tea}", "tea?", "t?a", "/tea/",
    "~tea", "tea~1", "tea~", "+tea", "+", "@", "#tea", "$1", "?", "?1", ":1", "%s", "%(tea)s", "{0}", "\n", "\t",
    "tea\r\ntrains", "🍵", "tea🍵", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "1\ufe0f\u20e3",
    "\u200b", "\u202etea", "\ufeff", "\u0301", "\U0010ffff", "\ufffe", "½", "²", "don't", "o'clock", "C++", "...",
    "\u2019",
]  # fmt: skip

SENTENCES = {
    "zh": "我喜欢在冬天喝绿茶",
    "ja": "トマトの料理が好きです",
    "th": "ฉันชอบดื่มชาเขียว",
    "km": "ខ្ញុំចូលចិត្តតែបៃតង",
    "mixed": "東京Tower・2024年の夏",
    "other": "red roses",
}


class Keywords(SuiteBase):
    """The words of texts and queries."""

    @needs("keywords")
    @pytest.mark.parametrize(
        ("text", "queries"),
        [
            ("She is running late for the meetings", ["runs", "meeting", "MEETINGS", "Running, late!", "who ran?"]),
            ("We had tagliatelle at Luigi's", ["luigi", "Luigis'", "luigi's", "LUIGI\u2019S", "tagliatelle"]),
            (
                "The café in Málaga, naïve résumé of Beyoncé",
                ["cafe", "CAFÉ", "cafe\u0301", "malaga", "naive", "resume"],
            ),
            ("Beyoncé and André", ["beyonce", "Andre", "BEYONCÉ", "andre\u0301"]),
            ("from İstanbul to Łódź over Straße 7", ["istanbul", "İSTANBUL", "strasse", "STRASSE", "ŁÓDŹ"]),
            ("\uff46\uff55\uff4c\uff4c width, \ufb01nance", ["full", "WIDTH", "finance", "\uff37idth"]),
            ("on 2024-05-08 at 09:30", ["2024", "2024-05-08", "05/08", "08.05.2024", "9:30 or 09:30"]),
            ("order A-1234/b for 12.50 EUR", ["1234", "A-1234", "12.50", "eur", "\uff11\uff12\uff13\uff14"]),
            ("snake_case and CamelCase and kebab-case", ["snake", "camelcase", "kebab", "case"]),
            ("mail ada@example.org or see https://example.com/a?b=c", ["ada@example.org", "example.com", "https://"]),
            ("inter\u00adnational co\u00adoperation", ["international", "cooperation"]),
            ("Москва и Санкт-Петербург", ["москва", "ПЕТЕРБУРГ"]),
            ("Αθήνα, Ελλάδα", ["ΑΘΉΝΑ", "ελλάδα"]),
            ("서울에서 만나요", ["서울에서"]),
            ("שלום לכולם", ["שלום"]),
            ("مرحبا بالعالم", ["مرحبا"]),
            ("हिन्दी में लिखा", ["हिन्दी"]),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_word_is_found_as_people_write_it(self, open_store: OpenStore, text: str, queries: list[str]) -> None:
        """Case, accents of Latin letters, width and punctuation do not matter; nor does the form of an English word."""
        store = words_only(open_store, language="english")
        fill(store, {"k": text, "other": "red roses"})
        for query in queries:
            assert keys(store.search(("s",), query=query)) == ["k"], query

    @needs("keywords")
    def test_stop_words_are_no_terms(self, open_store: OpenStore) -> None:
        """What every text says does not find one; a query of nothing else finds nothing by keywords."""
        store = open_store(index=index_of(HashEmbeddings()))
        fill(store, {"a": "The cat is in the house", "b": "what is it to you"})
        assert keys(store.search(("s",), query="Is the CAT in it?", mode="keyword")) == ["a"]
        for query in ("what is the", "The", "to be or not to be", "?!", " ", "\n"):
            assert store.search(("s",), query=query, mode="keyword") == []
            semantic = store.search(("s",), query=query)
            assert keys(store.search(("s",), query=query, mode="hybrid")) == keys(semantic)
            assert len(semantic) == 2

    @needs("keywords")
    def test_simple_is_no_language(self, open_store: OpenStore) -> None:
        """Without a language every word stands for itself, and none is left out."""
        store = words_only(open_store, language="simple")
        fill(store, {"a": "The café was running", "b": "what runs"})
        assert keys(store.search(("s",), query="THE CAFE")) == ["a"]
        assert keys(store.search(("s",), query="what")) == ["b"]
        assert store.search(("s",), query="run is house") == []

    @needs("keywords")
    @pytest.mark.parametrize(
        ("language", "text", "query", "stop_words"),
        [
            ("german", "Die Häuser sind alt und weiß", "haus Weiss", "die und muß dass daß"),
            ("french", "Les chevaux étaient fatigués", "cheval fatigué", "et la nous"),
            ("spanish", "Las canciones del corazón", "cancion corazones", "las del que"),
            ("russian", "Красивые книги", "красивая книга", "и в не"),
            ("arabic", "الكتاب الجديد", "كتاب", ""),
        ],
    )
    def test_other_languages(
        self, open_store: OpenStore, language: str, text: str, query: str, stop_words: str
    ) -> None:
        """A language has a stemmer and stop words of its own."""
        store = words_only(open_store, language=language)
        fill(store, {"k": text, "other": f"{stop_words} x"})
        for word in query.split():
            assert keys(store.search(("s",), query=word)) == ["k"], word
        assert store.search(("s",), query=f"{stop_words} ?") == []

    @needs("keywords", "strict_settings")
    @pytest.mark.parametrize("language", ["klingon", "", "English", "../english", None, 3, ["english"]])
    def test_an_unknown_language(self, open_raw: OpenRaw, language: Any) -> None:
        """It is a ConfigurationError when the store is opened."""
        with pytest.raises(ConfigurationError, match="language"):
            open_raw(index={"language": language})

    @needs("keywords", "reopening", "closing")
    def test_the_language_is_kept(self, open_store: OpenStore) -> None:
        """Words of another language are refused with the way out; a store without an index opens all."""
        first = words_only(open_store, language="german")
        fill(first, {"k": "alte Häuser"})
        first.close()
        for index in ({}, {"language": "simple"}, index_of(HashEmbeddings())):
            with pytest.raises(IndexMismatchError, match="german"):
                open_store(index=index)
        assert keys(open_store().search(())) == ["k"]
        assert keys(words_only(open_store, language="german").search((), query="haus")) == ["k"]

    @needs("keywords")
    def test_scripts_without_spaces(self, open_store: OpenStore) -> None:
        """Chinese, Japanese, Thai and their like are found by any two or three characters, and by single ones."""
        store = words_only(open_store, language="english")
        fill(store, SENTENCES)
        for key in ("zh", "ja", "th", "km"):
            text = SENTENCES[key]
            for size in (2, 3, len(text)):
                for start in range(len(text) - size + 1):
                    hits = store.search(("s",), query=text[start : start + size])
                    assert hits[0].key == key, text[start : start + size]
        for query, key in [
            ("茶", "zh"),
            ("ト", "ja"),
            ("ช", "th"),
            ("東京", "mixed"),
            ("年の", "mixed"),
            ("夏", "mixed"),
        ]:
            assert keys(store.search(("s",), query=query)) == [key]
        for query in ("tower", "2024", "TOWER 2024", "京Tower", "2024年", "東京 tower"):
            assert keys(store.search(("s",), query=query)) == ["mixed"]
        assert store.search(("s",), query="北海道") == store.search(("s",), query="茶绿") == []
        assert keys(store.search(("s",), query="ﾄﾏﾄ")) == ["ja"]
        assert keys(store.search(("s",), query="\u2f97 roses")) == ["other"]

    @needs("keywords")
    @pytest.mark.parametrize("mode", ["keyword", "hybrid"])
    def test_no_query_is_syntax(self, open_store: OpenStore, mode: str) -> None:
        """Whatever stands in a query, its words are looked for, and nothing else happens."""
        store = open_store(index=index_of(HashEmbeddings(), language="simple"))
        fill(store, {"tea": "tea", "trains": "trains", "none": "roses"})
        for query in HOSTILE:
            hits = store.search(("s",), query=query, mode=mode, explain=True)
            found = {hit.key for hit in hits if hit.keyword}
            lower = query.lower()
            expected = {word for word in ("tea", "trains") if word in lower} - ({"tea"} if 'te"a' in lower else set())
            assert found == expected, repr(query)
        assert store.count() == 3

    @needs("keywords")
    def test_no_text_is_syntax(self, open_store: OpenStore) -> None:
        """The same strings as texts, and as keys and labels, are kept, found by their words, replaced and erased."""
        store = words_only(open_store)
        texts = [
            text for text in HOSTILE if "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
        ]
        everything = {f"{n}": f"zebra {text} zebra" for n, text in enumerate(texts)}
        fill(store, everything)
        assert {hit.key for hit in store.search((), query="zebra", limit=1000)} == set(everything)
        for key, text in everything.items():
            assert key in keys(store.search((), query=text, limit=1000)), text
        labels = [text for text in HOSTILE if "." not in text and "\x00" not in text]
        for label in labels:
            store.put((label, "x"), label, {"text": "giraffe"})
        for label in labels:
            assert [hit.namespace for hit in store.search((label,), query="giraffe")] == [(label, "x")]
        for n, text in enumerate(HOSTILE):
            store.put(("s",), str(n), {"text": "lion"})
            assert str(n) not in keys(store.search(("s",), query="zebra", limit=1000)), text
        store.forget(())
        assert store.search((), query="zebra lion giraffe") == []

    @needs("keywords")
    def test_very_long_queries(self, open_store: OpenStore) -> None:
        """A query of 100 kB, of one word or of many, is answered as any other."""
        store = words_only(open_store, language="english")
        fill(store, {"tea": "green tea", "long": "x" * 50_000})
        many = "tea " + " ".join(f"word{n} {n}" for n in range(8_000))
        assert keys(store.search(("s",), query=many)) == ["tea"]
        assert keys(store.search(("s",), query=f"{'tea ' * 25_000}")) == ["tea"]
        assert keys(store.search(("s",), query="x" * 50_000)) == ["long"]
        assert store.search(("s",), query='"(' * 50_000) == []
        assert store.search(("s",), query="茶" * 100_000) == []
        assert store.search(("s",), query="\u0301" * 100_000) == []

    @needs("keywords")
    @pytest.mark.parametrize(
        "letters", ["0123456789abcdef", "абвгдежзийклмноп", "𞤀𞤁𞤂𞤃𞤄𞤅𞤆𞤇𞤈𞤉𞤊𞤋𞤌𞤍𞤎𞤏"], ids=["1 byte", "2 bytes", "4 bytes"]
    )
    def test_very_long_texts(self, open_store: OpenStore, letters: str) -> None:
        """A text of more than 10,000 different long words is found by its first ones; a very long word is, too."""
        store = words_only(open_store)
        words = ["".join(letters[n >> shift & 15] for shift in (12, 8, 4, 0)) * 20 for n in range(10_200)]
        store.put(("s",), "k", {"text": " ".join(words)})
        store.put(("s",), "word", {"text": letters * 625})
        assert store.get(("s",), "k").value["text"].endswith(words[-1])
        for word in (words[0], words[1234]):
            assert "k" in keys(store.search(("s",), query=word))
        assert "word" in keys(store.search(("s",), query=letters * 625))
        store.put(("s",), "k", {"text": "tea"})
        assert "k" not in keys(store.search(("s",), query=words[0]))

    @needs("keywords")
    def test_a_word_that_occurs_often(self, open_store: OpenStore) -> None:
        """Thousands of times is no more than often; the score stays finite, and above that of once."""
        store = words_only(open_store)
        fill(store, {"often": "tea " * 70_000, "once": "tea " + "x " * 69_999, "none": "roses"})
        hits = store.search(("s",), query="tea")
        assert keys(hits) == ["often", "once"]
        assert hits[0].score > hits[1].score > 0

    @needs("keywords")
    def test_fields_and_paths(self, open_store: OpenStore) -> None:
        """What is indexed is what the fields say: several texts, a put's own paths, the whole item, or nothing."""
        store = open_store(index={"fields": ["title", "notes[*].text"]})
        value = {"title": "green tea", "notes": [{"text": "old trains"}, {"text": "red roses"}], "other": "winter"}
        store.put(("s",), "fields", value)
        store.put(("s",), "own", value, index=["other"])
        store.put(("s",), "off", value, index=False)
        store.put(("s",), "whole", value, index=["$"])
        for query, expected in [
            ("tea", ["whole", "fields"]),
            ("roses", ["whole", "fields"]),
            ("winter", ["whole", "own"]),
        ]:
            assert set(keys(store.search(("s",), query=query))) == set(expected)
        assert keys(store.search(("s",), query="trains roses", filter={"other": "winter"})) != []
        batch = [PutOp(("s",), key, value, index=[]) for key in ("fields", "own", "whole")]
        store.batch(batch)
        assert store.search(("s",), query="tea roses winter") == []
