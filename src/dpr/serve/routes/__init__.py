"""The routes: what each API calls things, and nothing of how they are done. One module an API."""
