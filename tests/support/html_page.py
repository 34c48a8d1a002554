"""A page that the product wrote, taken apart."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Checks that tags are closed and nothing is loaded, and collects pictures and text."""

    def __init__(self, text: str, *, has_script: bool = False) -> None:
        super().__init__()
        self._open: list[str] = []
        self.num_pictures = 0
        self.text = ""
        self.feed(text)
        self.close()
        assert self._open == []
        assert "://" not in text and "@import" not in text
        assert ("<script" in text) == has_script

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert "href" not in values
        if "src" in values:
            assert (values["src"] or "").startswith("data:image/")
            self.num_pictures += 1
        if tag not in ("img", "input", "meta"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
