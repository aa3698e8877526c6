"""`make loop`: the whole job in one process tree, and the reports that it makes."""
