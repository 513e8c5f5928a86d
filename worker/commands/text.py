"""Text of users as a terminal or a page can be given it."""


def plain(text: str | None, kept: str = "") -> str:
    """Text without control codes and without marks that turn the direction of what follows.

    Args:
        text: whatever somebody wrote.
        kept: characters that stay although they are not printable, such as a newline.
    """
    return "".join(
        c if c.isprintable() or c in kept else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}"
        for c in text or ""
    )
