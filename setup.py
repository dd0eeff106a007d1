"""Extension modules only; everything else is in pyproject.toml."""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

# Linux waits with epoll(7), other systems with poll(2); the variable is for testing that one.
POLLER = os.environ.get(
    "FASTSOCKETSERVER_POLLER", "poller_epoll" if sys.platform == "linux" else "poller_poll"
)
# Fewer memory mappings per module: a fork copies each of them (ForkingMixIn).
LINK_ARGS = ["-Wl,-z,noseparate-code"] if sys.platform == "linux" else []
C_HEADERS = sorted(glob("cext/*.h"))


def extension(name: str, *c_modules: str) -> Extension:
    """One room of cext/: `_name.pyx` and the C modules (`fss_*.c`) that it drives."""
    return Extension(
        f"fastsocketserver.{name}",
        [f"cext/{name}.pyx", *(f"cext/fss_{module}.c" for module in c_modules)],
        include_dirs=["cext"],
        depends=[*C_HEADERS, *sorted(glob("cext/*.pxd"))],
        extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
        extra_link_args=LINK_ARGS,
    )


setup(
    ext_modules=cythonize(
        [
            extension("_accept", "accept"),
            extension("_children", "children"),
            extension("_datagrams", "datagram"),
            extension("_loop", "clock"),
            extension("_pool", "fork"),
            extension("_running"),
            extension("_shortcuts"),
            extension("_signals"),
            extension("_streams", "clock", "stream"),
            extension("_waiting", "clock", "fork", "wake", "poller_once", POLLER),
        ],
        include_path=["cext"],
        language_level=3,
        build_dir="build/cython",
        compiler_directives={"embedsignature": True},
    )
)
