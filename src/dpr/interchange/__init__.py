"""What other libraries can use of ours, and we of theirs: sentence-transformers, MTEB.

None of these libraries is imported, nor needed: folders are written and read by their formats, and
``DualEncoder`` has the methods that they call.
"""
