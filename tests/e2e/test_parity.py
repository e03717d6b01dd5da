"""What the page draws of a streaming answer is what the server draws of the whole, wherever it is cut."""

import re

import pytest

from chat import markdown
from tests.e2e.person import Person
from tests.e2e.test_look import ANSWER
from tests.pages.hostile import PAYLOADS
from tests.pages.test_emphasis import CJK_EMPHASIS

pytestmark = pytest.mark.e2e

DOCUMENTS = {
    "answer": ANSWER,
    "lists": "1. one\n2. two\n   - inner *a*\n   - inner b\n\n     more of b\n3. three\n\n- x\n\n- y\n\nEnd.",
    "numbers": "3. three\n4. four\n\nText\n\n* * *\n\nAfter.",
    "quotes": "> a\n> b\n>\n> > deep\n\nc  \nd\\\ne\n\n***bold italic*** ~~gone~~ `` a ` b ``",
    "fences": "~~~\nplain ``` inside\n~~~\n\n```text\nopen to the end\n  indented\n",
    "tasks": "- [ ] open\n- [x] done\n\nSee https://example.com and <https://example.org> and a@b.c.",
    "chinese": "**重要：**这是第一段。\n\n## 标题\n\n- 第一\n- 第二\n\n| 列 | 数 |\n|---|--:|\n| 甲 | 1 |",
    "emphasis": "".join(f"- {text}\n" for text in CJK_EMPHASIS),
    "headings": "# One\n## Two\n### Three\n#### Four\n##### Five\n\nSetext\n======\n\nOther\n-----\n",
    "tables": "| a | b | c |\n|:--|:-:|--:|\n| `x` | **y** | 1 |\n| [l](https://e.com) | | 2 |\n\nAfter.",
    "html": "a <b>bold</b> c\n\n<div>\nblock\n</div>\n\n&amp; &lt; &copy; <!-- note -->",
    "images": "![alt *text* <b> & c](https://evil.example/x.png) and ![](y.png) end",
    "own": "![A plot](plots/a_1.png) ![b](./b.webp) ![c](files/c.jpg) [the table](data.csv) ![d](d.svg)\n\n"
    "![e](/artifacts/6f2c1e0a-0000-4000-8000-00000000000a/) [![in](in.png)](https://example.com/in)",
    "not own": "![a](../a.png) ![b](/b.png) ![c](//evil.example/c.png) ![d](x/..%2fd.png) ![e](e.png?q=1) "
    "![f](data:image/png;base64,AA) ![g](https:g.png) ![h](x/%2E%2E/h.png) [i](i.html#x) "
    "[j](javascript:alert(1)) [![k](https://evil.example/k.png)](https://example.com/k)",
    "hosts": "[example.com](https://example.com/) [Example.com/a](http://example.com:80/a) "
    "[good.com](https://evil.com/) [x](https://good.com@evil.com/) [y](https://EVIL.example/) "
    "[z](mailto:a@b.c) <https://example.org/x> [bücher](https://bücher.example/b) [good.com evil](https://good.com.evil.example/)",
    "formulas": "Let $x_1 + y_2$ and \\(a*b*c\\), so *of $a*b$ d* and **a $x*y*z$ b**:\n\n"
    "$$\na\n- b\n= c\n$$\n\nThen:\n\\[\n\\frac{1}{2} &lt; x < y\n\\]\nafter, the $n$th.\n\n"
    "- item\n  $$\n  x\n  $$\n- b $$z$$\n\n> $$q$$\n\n| a |\n|--|\n| $x$ |\n\nEnd \\[w\\] of it.\n\n"
    "$$\n\\begin{aligned} a &= b \\\\[2pt] &= c \\end{aligned}\n$$\nLast.",
    "prices": "It is $5 and $6, US$7 to US$8, costs $5-$6. Of $20. He paid 30$. `$x$` and \\$y\\$ and $$$ or "
    "$ 5 $.\n\n```\n$x$\n$$\ny\n$$\n```\n\n    $$z$$\n\n$$\nno end\n\nText [a](https://e.com/$x$y).",
    "open": "Before it\n\n$$\nx = 1\n+ 2",
    "long": "[a](https://e.com/?q=0123456789012345678901234567890123456789) [b](https://e.com/?q=short) "
    "[c](https://e.com/#0123456789012345678901234567890123456789xyz) [d](https://e.com/" + "p" * 161 + ") "
    "[e](https://"
    + "h." * 31
    + "com/) [f](mailto:a@b.c?body="
    + "x" * 80
    + ") [g](https://user:word@e.com/)",
}

STREAM = """async ([text, size]) => {
  const all = () => performance.getEntriesByType("resource");
  const loaded = () => all().find(({ name }) => name.includes("/markdown"));
  while (!loaded()) await new Promise((resolve) => setTimeout(resolve, 50)); // it is fetched ahead
  const { MarkdownStream } = await import(loaded().name);
  const element = document.createElement("div");
  const stream = new MarkdownStream(element);
  for (let at = 0; at < text.length; at += size) { stream.append(text.slice(at, at + size)); stream.draw(); }
  stream.finish();
  element.querySelectorAll("button").forEach((button) => button.remove());
  element.querySelectorAll("span.math").forEach((drawn) => {
    const source = Object.assign(document.createElement("code"), { className: drawn.className });
    source.textContent = drawn.querySelector("annotation").textContent;
    drawn.replaceWith(source);
  });
  element.querySelectorAll(".math--fault").forEach((fault) => fault.classList.remove("math--fault"));
  return element.innerHTML;
}"""


def plain(html: str) -> str:
    """The HTML without what may differ: coloured tokens, blanks between blocks, the order of attributes."""
    html = re.sub(r'<span class="[ksnc]?">([^<]*)</span>', r"\1", html)
    html = re.sub(r"<(\w+)((?: [\w-]+=\"[^\"]*\")+)", _sorted_attributes, html)
    html = html.replace("&quot;", '"').replace("&#x27;", "'").replace("&#39;", "'").replace("&nbsp;", "\xa0")
    html = re.sub(r"<br>\s*", "<br>", html)
    return re.sub(
        r"\s*(</?(?:p|h\d|ul|ol|li|blockquote|hr|div|table|thead|tbody|tr|th|td)\b[^>]*>)\s*", r"\1", html
    ).strip()


def _sorted_attributes(match: re.Match[str]) -> str:
    return f"<{match[1]} " + " ".join(sorted(re.findall(r"[\w-]+=\"[^\"]*\"", match[2])))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_streamed_answer_is_the_stored_one(person: Person, name: str) -> None:
    text = DOCUMENTS[name]
    stored = plain(markdown.render(text))
    for size in (1, 7, 1000):
        assert plain(person.page.evaluate(STREAM, [text, size])) == stored


def test_the_cut_makes_no_difference_to_anything_hostile(person: Person) -> None:
    for payload in PAYLOADS:
        text = payload.replace("\x00", "").replace("\t", " ")
        pieces = {plain(person.page.evaluate(STREAM, [text, size])) for size in (1, 3, 1000)}
        assert len(pieces) == 1, payload


VERY_LONG = {
    "a table": (
        "| n | n² |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(10_000)),
        "tbody tr",
        10_000,
    ),
    "one line of emphasis": ("**a**" * 30_000, "p", 42),
    "a list": ("".join(f"{n}. item {n}\n" for n in range(1, 8_001)), "li", 8_000),
    "a quotation": ("> and so on\n" * 15_000, "blockquote", 51),
    "an open fence": ("```\n" + "x = 1\n" * 40_000, "code", 1),
    "no blank at all": ("a" * 1_000_000, "p", 280),
}
DRAW_LONG = """async ([text, selector]) => {
  const all = () => performance.getEntriesByType("resource");
  const { MarkdownStream } = await import(all().find(({ name }) => name.includes("/markdown")).name);
  const element = document.createElement("div");
  const stream = new MarkdownStream(element);
  let longest = 0;
  const step = Math.ceil(text.length / 100);
  for (let at = 0; at < text.length; at += step) {
    const start = performance.now();
    stream.append(text.slice(at, at + step));
    stream.draw();
    longest = Math.max(longest, performance.now() - start);
  }
  stream.finish();
  return [element.querySelectorAll(selector).length, longest];
}"""


def test_a_very_long_block_is_drawn_in_parts(person: Person) -> None:
    person.page.wait_for_function(
        "performance.getEntriesByType('resource').some(({ name }) => name.includes('/markdown'))"
    )
    for name, (text, selector, count) in VERY_LONG.items():
        drawn, longest_ms = person.page.evaluate(DRAW_LONG, [text, selector])
        assert abs(drawn - count) <= count * 0.1, name
        assert longest_ms < 3_000, name  # whole, each takes seconds again and again
