"""Types of the compiled streams; see `cext/_streams.pyx`."""

import socket
import socketserver
from io import BufferedIOBase, BufferedReader
from typing import Any

class SocketReader(socket.SocketIO):
    def __init__(self) -> None: ...

class SocketWriter(socketserver._SocketWriter):  # type: ignore[name-defined,misc]
    _sock: Any
    def __init__(self, sock: Any) -> None: ...

def open_reader(sock: Any, rbufsize: int) -> BufferedReader: ...
def open_writer(sock: Any, wbufsize: int) -> BufferedIOBase: ...
