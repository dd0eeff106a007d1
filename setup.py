"""Extension modules only; everything else is in pyproject.toml."""

from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

C_SOURCES = sorted(glob("cext/fss_*.c"))
C_HEADERS = sorted(glob("cext/*.h"))


def extension(name: str, *c_modules: str) -> Extension:
    """One room of cext/: `_name.pyx` and the C modules (`fss_*.c`) that it drives."""
    return Extension(
        f"fastsocketserver.{name}",
        [f"cext/{name}.pyx", *(f"cext/fss_{module}.c" for module in c_modules)],
        include_dirs=["cext"],
        depends=[*C_HEADERS, *sorted(glob("cext/*.pxd"))],
        extra_compile_args=["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter"],
    )


setup(
    ext_modules=cythonize(
        [
        ],
        language_level=3,
        build_dir="build/cython",
        compiler_directives={"embedsignature": True},
    )
)
