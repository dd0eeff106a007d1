"""The servers under test, each started as a process of its own (``__main__``)."""
