"""The one place where native code raises for an errno."""

from libc cimport errno as c_errno

cdef extern from "Python.h":
    object PyErr_SetFromErrno(object kind)


cdef inline int raise_if_error(int result) except -1:
    """Pass a result of 0 or more on; turn `-errno` into the OSError subclass it stands for."""
    if result >= 0:
        return result
    c_errno.errno = -result
    PyErr_SetFromErrno(OSError)
