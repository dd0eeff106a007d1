"""Whether a Python class has changed since it was looked at, for the price of two loads.

Fact: the interpreter gives a class a new version when it, or a class that it derives from,
is changed, since its own cache of methods depends on that. A class that nobody has looked an
attribute up in since its last change has none.
"""

cdef extern from *:
    """
    static inline unsigned int fss_class_version(PyObject *cls)
    {
        PyTypeObject *type = (PyTypeObject *)cls;
    #if PY_VERSION_HEX < 0x030C0000 /* the number stays when it is no longer valid */
        if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG))
            return 0;
    #endif
        return type->tp_version_tag;
    }
    """
    # 0: it has none. `cls` has to be a class.
    unsigned int class_version "fss_class_version"(object cls) noexcept
