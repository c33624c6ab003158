"""The engine. Where there is a compiled build of this very source, its modules are imported instead (compiled.py)."""

from streams import compiled

compiled.use()
