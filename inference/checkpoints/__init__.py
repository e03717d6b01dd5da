"""Model files: reading, checking, writing and changing them. Knows formats and names, computes no model."""


class BadModelFile(Exception):
    """A model file or folder is cut short, incomplete, or holds something that this version cannot run.

    The text says which and what to do.
    """
