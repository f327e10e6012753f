"""What of a piece of HTML would run, load or send something."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Whatever would run, load or send something, in a piece of HTML; and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "form", "base", "meta", "link", "style", "svg", "body"):
            self.live.append(tag)
        for name, value in attrs:
            address = "".join((value or "").lower().split())
            if name.startswith("on") or "script:" in address or address.startswith("data:text"):
                self.live.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.said += data
