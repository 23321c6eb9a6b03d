from __future__ import annotations

import json
import re

import pytest
from castserver.accounts.roles import Role
from castserver.console import languages
from castserver.console.languages import Language, Words, catalogue, choose

from tests.support.consoletexts import FOLDER, console_texts
from tests.support.serverlab import FakeClient, ServerLab

PLACES = re.compile(r"%\(\w+\)s|\{\w+\}")
# Text between tags that no translation reaches: names, units, marks.
UNTRANSLATED = re.compile(r">\s*([A-Za-z][A-Za-z ,.']{2,})\s*<")
SAME_EVERYWHERE = {"API", "DHCP", "Fleetcast", "PXE", "UUID"}


def test_every_text_is_translated_and_no_translation_is_left_over() -> None:
    texts, japanese = console_texts(), catalogue(Language.JA)
    assert len(texts) > 150
    assert sorted(texts - japanese.keys()) == []
    assert sorted(japanese.keys() - texts) == []


def test_a_translation_has_the_places_of_its_text() -> None:
    for text, translated in catalogue(Language.JA).items():
        assert sorted(PLACES.findall(text)) == sorted(PLACES.findall(translated)), text


def test_no_template_has_a_text_that_is_not_marked() -> None:
    for template in (FOLDER / "templates").rglob("*.html"):
        if template.name == "docs.html":  # the API's own document is English
            continue
        plain = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", template.read_text(), flags=re.DOTALL)
        left = {text.strip() for text in UNTRANSLATED.findall(plain)} - SAME_EVERYWHERE
        assert left == set(), template.name


@pytest.mark.parametrize(
    ("cookie", "accepted", "chosen"),
    [
        ("", "", Language.EN),
        ("", "ja", Language.JA),
        ("", "ja-JP,ja;q=0.9,en-US;q=0.8", Language.JA),
        ("", "en-US,en;q=0.9,ja;q=0.8", Language.EN),
        ("", "fr,ja;q=0.2,en;q=0.5", Language.EN),
        ("", "ja;q=0", Language.EN),
        ("", "ja;q=x,;;,=", Language.EN),
        ("ja", "en", Language.JA),
        ("en", "ja", Language.EN),
        ("xx", "ja", Language.JA),
    ],
)
def test_the_language_is_the_chosen_or_the_browsers(
    cookie: str, accepted: str, chosen: Language
) -> None:
    assert choose(cookie, accepted) is chosen


def test_words_fill_their_places_in_either_language() -> None:
    assert Words(Language.EN)("%(n)s left", n=3) == "3 left"
    assert Words(Language.JA)("%(n)s left", n=3) == "残り 3"
    assert Words(Language.JA)("100% sure") == "100% sure"


def test_the_pages_are_japanese_for_who_reads_it() -> None:
    lab = ServerLab()
    client = FakeClient(lab, 1).register()
    client.join(cast := lab.operator("POST", "/casts", {"image": "lab"})["cast"])
    client.report("receiving", cast=cast, done=30, total=120, multicast=30)
    lab.log_in(Role.ADMIN)
    japanese = {"accept-language": "ja"}
    page = lab.http.get("/", headers=japanese).text
    assert '<html lang="ja">' in page
    for text in ("メディアなし", "受信中", "参加済み", "次のネットワーク起動", "English"):
        assert text in page, text
    assert "ready" not in re.sub(r'id="ready"|<script.*?>', "", page)
    assert "参加済み" in lab.http.get(f"/casts/{cast}", headers=japanese).text
    assert "監査ログ" in lab.http.get("/audit", headers=japanese).text
    assert "パスワード" in lab.http.get("/login", headers=japanese).text


def test_a_language_is_remembered_and_leads_back() -> None:
    lab = ServerLab()
    lab.log_in()
    referer = {"referer": "https://testserver/account"}
    answer = lab.http.get("/language/ja", headers=referer, follow_redirects=False)
    assert answer.headers["location"] == "/account"
    assert lab.http.cookies.get(languages.COOKIE) == "ja"
    evil = {"referer": "https://evil.example//evil.example/x"}
    answer = lab.http.get("/language/ja", headers=evil, follow_redirects=False)
    assert answer.headers["location"] == "/evil.example/x"
    assert lab.http.get("/language/xx").status_code == 422
    assert '<html lang="ja">' in lab.http.get("/account").text


def test_scripts_get_their_words() -> None:
    lab = ServerLab()
    english = lab.http.get("/words.js")
    assert "const WORDS = {};" in english.text
    assert english.headers["content-type"].startswith("text/javascript")
    script = lab.http.get("/words.js", headers={"accept-language": "ja"}).text
    found = re.search(r"const WORDS = (\{.*?\});\n", script)
    assert found is not None
    assert json.loads(found[1])["Do nothing"] == "何もしない"
