from collections import deque
from typing import Any

class Receiver:
    sock: Any
    plain: bool
    truncated: int
    def __init__(self, sock: Any) -> None: ...
    def native(self, max_packet_size: Any) -> bool: ...
    def receive(self, max_packet_size: int, queue: deque[Any], limit: int) -> int: ...
