"""The agent: wires kernel, decode, enrich, aggregate, export and HTTP, and keeps them running. The only package that knows them all."""

from perflens.agent.core import SYMBOLS_CURE, Agent, tree_of
from perflens.agent.privileges import DroppingPrivileges, kept
from perflens.agent.running import operations_of, try_rungs
from perflens.agent.serve import serve

__all__ = ["SYMBOLS_CURE", "Agent", "DroppingPrivileges", "kept", "operations_of", "serve", "tree_of", "try_rungs"]
