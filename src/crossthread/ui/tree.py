"""The namespaces of a store as a tree with counts. Pure: it is made of what the store told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from crossthread.namespaces import Namespace

PAGE = 200
"""How many namespaces of one level are shown at first, and how many more each time."""


@dataclass(slots=True)
class Node:
    """A namespace, or the beginning of some: how many items are in it, and in all below it."""

    namespace: Namespace
    items: int = 0
    expiring: int = 0
    total: int = 0
    namespaces: int = 0
    """How many namespaces at or below it hold items."""
    children: dict[str, Node] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    """The children's labels, sorted."""

    def holding(self) -> list[Node]:
        """Return the namespaces at or below this one that hold items, in order."""
        found: list[Node] = []
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if node.items:
                found.append(node)
            waiting.extend(node.children[label] for label in reversed(node.labels))
        return found


class Row(NamedTuple):
    """What a page shows of a tree, in order: ``down`` and ``up`` begin and end the list of a node's children."""

    kind: str
    """``node``, ``more`` (how to get the next children of ``node``), ``down`` or ``up``."""
    node: Node
    is_open: bool = False
    offset: int = 0


class Tree:
    """The namespaces of a store.

    Args:
        counts: Namespaces with how many items each holds, and how many of these expire.
    """

    def __init__(self, counts: Iterable[tuple[Namespace, int, int]]) -> None:
        self.root = Node(())
        for namespace, items, expiring in counts:
            node = self.root
            node.total += items
            node.namespaces += 1
            for depth, label in enumerate(namespace, 1):
                child = node.children.get(label)
                if child is None:
                    child = node.children[label] = Node(namespace[:depth])
                child.total += items
                child.namespaces += 1
                node = child
            node.items, node.expiring = items, expiring
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            node.labels = sorted(node.children)
            waiting.extend(node.children.values())

    def find(self, namespace: Namespace) -> Node | None:
        """Return the node of a namespace; None where neither it nor one below it holds items."""
        node: Node | None = self.root
        for label in namespace:
            node = node.children.get(label) if node is not None else None
        return node

    def rows(self, current: Namespace) -> list[Row]:
        """Return what a page shows: the first level, and what leads to a namespace, with its children."""
        rows: list[Row] = []
        # A loop and not a recursion: a namespace has up to a hundred labels.
        waiting: list[Row] = self._children(self.root, 0, current)[::-1]
        while waiting:
            row = waiting.pop()
            rows.append(row)
            if row.kind == "node" and row.is_open:
                inside = self._children(row.node, 0, current)
                waiting.extend([Row("down", row.node), *inside, Row("up", row.node)][::-1])
        return rows

    def level(self, namespace: Namespace, offset: int) -> list[Row]:
        """Return the children of a namespace from the ``offset``-th on, all closed."""
        node = self.find(namespace)
        return [] if node is None else self._children(node, offset, ())

    def _children(self, node: Node, offset: int, current: Namespace) -> list[Row]:
        depth = len(node.namespace)
        labels = node.labels[offset : offset + PAGE]
        wanted = current[depth] if current[:depth] == node.namespace and len(current) > depth else None
        end = offset + len(labels)
        if wanted in node.children and wanted not in labels:  # the way to where the page is leads over it
            labels = [*labels, str(wanted)]
        rows = [Row("node", node.children[label], label == wanted) for label in labels]
        if end < len(node.labels):
            rows.append(Row("more", node, offset=end))
        return rows

    def matching(self, text: str, most: int) -> tuple[list[Node], int]:
        """Return the namespaces with a label that contains a text, whatever its case, and how many they are."""
        wanted = text.casefold().split(".")
        found = [node for node in self.root.holding() if _matches(node.namespace, wanted)]
        return found[:most], len(found)

    def with_labels(self, labels: set[str], most: int) -> list[Node]:
        """Return the topmost namespaces that end in one of some labels."""
        found: list[Node] = []
        waiting = [self.root]
        while waiting and len(found) < most:
            node = waiting.pop()
            if node.namespace and node.namespace[-1] in labels:
                found.append(node)
                continue
            waiting.extend(node.children[label] for label in reversed(node.labels))
        return found


def _matches(namespace: Namespace, wanted: list[str]) -> bool:
    if len(wanted) == 1:
        return any(wanted[0] in label.casefold() for label in namespace)
    return ".".join(wanted) in ".".join(label.casefold() for label in namespace)
