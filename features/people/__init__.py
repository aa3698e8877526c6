"""Which accounts are set aside, and which events do not count (docs/adr/0027).

The log keeps every row. The stage `split` marks what training and counting leave out.
"""
