"""Running a program by the very calls with which `python` runs it.

Facts: `pymain_run_python()` of CPython's Modules/main.c gives a script to PyRun_*File*(), `-c`
to PyRun_SimpleString*() and `-m` to runpy. They run it in the module that is `__main__`
then, and report what leaves it before they return: the traceback starts at the program,
SystemExit ends the process, death by SIGINT is noted. How they read a file (encodings, null
bytes, .pyc files) is not what compile() does.
Choice: call them, rather than do as they do in Python: that took tracebacks apart, lent
`sys.excepthook`, and differed wherever the interpreter has a case of its own.
Cost: a module that is loaded for `python -m fastsocketserver` only.

Rules: the main thread calls this, once. Each function returns the exit status; no exception
of the program's comes out.
"""

from cpython.ref cimport PyObject
from libc.stdio cimport FILE, stdin

cdef extern from "<stdio.h>":
    FILE *fdopen(int, const char *)

cdef extern from "Python.h":
    ctypedef struct PyCompilerFlags:
        int cf_flags
        int cf_feature_version
    int PY_MINOR_VERSION
    int PyCF_IGNORE_COOKIE
    int PyRun_SimpleFileExFlags(FILE *, const char *, int, PyCompilerFlags *)
    int PyRun_SimpleStringFlags(const char *, PyCompilerFlags *)
    # Not as objects: where one of these fails, Cython would add this frame to the traceback.
    PyObject *PyImport_GetImporter(PyObject *)
    PyObject *PyObject_CallObject(PyObject *, PyObject *)
    PyObject *PyUnicode_AsUTF8String(PyObject *)
    char *PyBytes_AsString(PyObject *)
    void Py_DECREF(PyObject *)
    PyObject *PyRun_StringFlags(const char *, int, PyObject *, PyObject *, PyCompilerFlags *)
    int Py_file_input
    PyObject *PyErr_Occurred()
    void PyErr_Clear()
    void PyErr_Print()
    void PySys_WriteStderr(const char *)


def has_importer(str path):
    """Whether modules can be imported from `path`, a directory or a zip file, say.

    A finder that fails is reported on stderr; then there is none.
    """
    cdef PyObject *importer = PyImport_GetImporter(<PyObject *>path)
    if importer is NULL:
        PySys_WriteStderr("Failed checking if argv[0] is an import path entry\n")
        PyErr_Print()
        return False
    cdef bint found = importer is not <PyObject *>None
    Py_DECREF(importer)
    return found


def run_file(int owned_fd, bytes path):
    """Run source or a .pyc file, which may be opened once more by its path."""
    cdef FILE *file = fdopen(owned_fd, "rb")
    if file is NULL:
        raise MemoryError
    return int(PyRun_SimpleFileExFlags(file, path, True, NULL) != 0)


def run_stdin():
    """Run the source that standard input has, to its end."""
    return int(PyRun_SimpleFileExFlags(stdin, "<stdin>", False, NULL) != 0)


def run_command(str command):
    """Run the text after `-c`."""
    cdef PyCompilerFlags flags = [PyCF_IGNORE_COOKIE, PY_MINOR_VERSION]
    cdef PyObject *text = PyUnicode_AsUTF8String(<PyObject *>command)
    if text is NULL:
        PySys_WriteStderr("Unable to decode the command from the command line:\n")
        PyErr_Print()
        return 1
    try:
        return int(PyRun_SimpleStringFlags(PyBytes_AsString(text), &flags) != 0)
    finally:
        Py_DECREF(text)


def run_function(function, *args):
    """Call a function of Python's that runs the program: the one for `-m`."""
    cdef PyObject *result = PyObject_CallObject(<PyObject *>function, <PyObject *>args)
    cdef bint interrupted = PyErr_Occurred() is <PyObject *>KeyboardInterrupt
    if result is NULL:
        PyErr_Print()
        if interrupted:
            _note_interrupt()
        return 1
    Py_DECREF(result)
    return 0


cdef _note_interrupt():
    """Let the interpreter die of SIGINT in the end: it notes what leaves its PyRun_*()."""
    names = {"error": KeyboardInterrupt}
    PyRun_StringFlags("raise error", Py_file_input, <PyObject *>names, <PyObject *>names, NULL)
    PyErr_Clear()
