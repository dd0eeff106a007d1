"""The shared object that all compiled modules are linked into; see _compiled.py.

A module by itself, so that whoever collects the files of a program finds it.
"""
