from typing import Any, NamedTuple

class Shortcut(NamedTuple):
    hook: str
    owner: str
    instead: str
    benchmark: str

TABLE: tuple[Shortcut, ...]

def add_stock(hook: str, owner: str, attribute: Any) -> None: ...
def stock_owner(server: Any, hook: str) -> str | None: ...
