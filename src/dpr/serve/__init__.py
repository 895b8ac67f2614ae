"""The HTTP service: requests to answers, under limits that hold when too many come.

Takes an open pipeline and settings; gives an ASGI application, and runs it. The life of a request:
``guard`` (key, limits, body) → a route of ``routes`` (schema) → ``service`` (cache, ``door``) →
``batching`` (with the questions of others, in the one thread that owns the models) → ``engine``
(vectors, hits, answers of one version of the collection) → back. ``following`` brings new versions
in, ``running`` speaks HTTP, ``workers`` are several of it. Knows nothing of how passages are found
or read. It all needs the extra ``serve``.
"""
