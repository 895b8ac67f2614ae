"""A service of ``dpr serve``, asked from Python: ``Client``, and ``AsyncClient`` for asyncio.

Takes questions, texts and documents; gives the records that a ``Pipeline`` gives, without models,
torch or a collection on this machine. Needs the extra ``[client]`` when a client is made.
"""

from dpr.client.asking import AsyncClient, Client
from dpr.client.results import Answered, Change, Found
from dpr.client.retrying import RetrySettings

__all__ = ["Answered", "AsyncClient", "Change", "Client", "Found", "RetrySettings"]
