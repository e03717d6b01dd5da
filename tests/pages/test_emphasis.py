"""Emphasis beside text without spaces, on pages and in exported documents."""

import pytest

from agents.writing import markup
from chat import markdown

CJK_EMPHASIS = {
    "**重要。**后文": "<strong>重要。</strong>后文",
    "这是**“引用”**文字": "这是<strong>“引用”</strong>文字",
    "**「重要」**です": "<strong>「重要」</strong>です",
    "a**あ、**b": "a<strong>あ、</strong>b",
    "前**(note)重要**后": "前<strong>(note)重要</strong>后",
    "**C++**和**C#**语言": "<strong>C++</strong>和<strong>C#</strong>语言",
    "只要**50%**的": "只要<strong>50%</strong>的",
    "中文**!**中文": "中文<strong>!</strong>中文",
    "**안녕(hi)**은": "<strong>안녕(hi)</strong>은",
    "使用**`code`**函数": "使用<strong><code>code</code></strong>函数",
    "***「甲」***乙*丙。*丁": "<em><strong>「甲」</strong></em>乙<em>丙。</em>丁",
    "**a，**b，**c。**d": "<strong>a，</strong>b，<strong>c。</strong>d",
    # What has no such character beside it stays as CommonMark has it, as does what is no emphasis.
    "**a.**b": "**a.**b",
    "a**(b)**c": "a**(b)**c",
    "甲 * 乙 * 丙": "甲 * 乙 * 丙",
    "甲 ** 乙。** 丙": "甲 ** 乙。** 丙",
    "snake_case_名_x": "snake_case_名_x",
}


@pytest.mark.parametrize(("text", "html"), CJK_EMPHASIS.items())
def test_emphasis_is_read_beside_text_without_spaces(text, html):
    assert str(markdown.render(text)).strip() == f"<p>{html}</p>"


def test_documents_have_it_too():
    assert markup.plain(markup.tree("**C++**和**“甲”**乙")) == "C++和“甲”乙"
