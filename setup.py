"""Extension modules only; everything else is in pyproject.toml."""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

# Linux waits with epoll(7), other systems with poll(2); the variable is for testing that one.
POLLER = os.environ.get(
    "FASTSOCKETSERVER_POLLER", "poller_epoll" if sys.platform == "linux" else "poller_poll"
)
# Fewer memory mappings: a fork copies each of them (ForkingMixIn).
LINK_ARGS = ["-Wl,-z,noseparate-code"] if sys.platform == "linux" else []
C_HEADERS = sorted(glob("cext/*.h"))


def extension(name: str, *c_modules: str) -> Extension:
    """One room of cext/: `_name.pyx` and the C modules (`fss_*.c`) that it drives.

    Its name is also in `_compiled.NAMES`.
    """
    return Extension(
        f"fastsocketserver.{name}",
        [f"cext/{name}.pyx", *(f"cext/fss_{module}.c" for module in c_modules)],
        include_dirs=["cext"],
        depends=[*C_HEADERS, *sorted(glob("cext/*.pxd"))],
    )


def one_shared_object(modules: list[Extension]) -> Extension:
    """All modules in one: fewer mappings still. See _compiled.py, which finds them in it."""
    return Extension(
        "fastsocketserver._native",
        list(dict.fromkeys(source for module in modules for source in module.sources)),
        include_dirs=["cext"],
        depends=list(dict.fromkeys(path for module in modules for path in module.depends)),
        extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
        extra_link_args=LINK_ARGS,
    )


class CompileWhatChanged(build_ext):
    """Compile the sources that changed; setuptools would compile all if any did."""

    def build_extension(self, ext: Extension) -> None:
        for source in ext.sources:
            (target,) = self.compiler.object_filenames([source], output_dir=self.build_temp)
            if self.force or newer_group([source, *C_HEADERS], target):
                self.compiler.compile(
                    [source],
                    output_dir=self.build_temp,
                    include_dirs=ext.include_dirs,
                    extra_postargs=ext.extra_compile_args,
                )
            ext.extra_objects.append(target)
        ext.depends = [*ext.depends, *ext.extra_objects]
        ext.sources = []
        super().build_extension(ext)


modules = cythonize(
    [
        extension("_accept", "accept"),
        extension("_children", "children"),
        extension("_datagrams", "datagram"),
        extension("_loop", "clock", "fork"),
        extension("_native"),
        extension("_pool", "clock", "fork"),
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

setup(
    ext_modules=[one_shared_object(modules)],
    cmdclass={"build_ext": CompileWhatChanged},
)
