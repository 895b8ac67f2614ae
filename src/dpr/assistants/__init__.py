"""A collection as tools for assistants, by the Model Context Protocol (the extra ``[mcp]``)."""
