from typing import Any, NamedTuple

class Shortcut(NamedTuple):
    hook: str
    owner: str
    author: str
    needs: tuple[tuple[str, tuple[str, ...]], ...]
    instead: str
    benchmark: str

TABLE: tuple[Shortcut, ...]

def add_stock(hook: str, owner: str, attribute: Any) -> None: ...
def stock_owner(server: Any, hook: str) -> str | None: ...
def shortcut_owner(server: Any, hook: str) -> str | None: ...
