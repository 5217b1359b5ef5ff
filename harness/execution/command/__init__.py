"""Any training command, unchanged: starts it, attaches to its processes, gathers their records."""
