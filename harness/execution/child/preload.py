"""Work that the server which forks training processes does once, after all libraries are imported.

Importing this module does that work. It changes no value that a training process computes: it fills
a cache of transformers, and it keeps Python's garbage collector from scanning what was imported,
in the server and in every process forked from it.
"""

import gc

try:
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping
except ImportError:  # before transformers 5 there is no such table
    pass
else:
    get_checkpoint_conversion_mapping("bert")  # compiles a thousand patterns

gc.collect()
gc.freeze()
