"""The size of texts as they are sent and stored."""


def utf8_size(text: str) -> int:
    """How many bytes a text takes as UTF-8. Purity: pure."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
