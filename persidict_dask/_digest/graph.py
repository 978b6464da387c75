"""Objects that contain themselves: a token that depends on their unfolded content alone.

Each object is a node, its parts are its successors. Outside of cycles tokens are what they are
elsewhere. Inside a cycle nodes are told apart by rounds of refinement: a node's colour is its
former colour and the colours of its parts, until a round tells no further nodes apart. Equal
unfoldings end with equal colours, so shared parts and equal copies give the same token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from persidict_dask._digest.frame import frame, hashed
from persidict_dask._digest.walk import CycleFound, Walker
from persidict_dask._errors import UnstableKeyError


def root_token(walker: Walker, obj: Any) -> bytes:
    """Token of an object that may contain itself or be nested deeper than the stack."""
    try:
        return walker.token(obj)
    except (CycleFound, RecursionError):
        return token_in_graph(walker, obj)


def token_in_graph(walker: Walker, root: Any) -> bytes:
    """Token of an object by way of the graph of all it reaches; no recursion, no cycle too many."""
    graph = _Graph(walker)
    try:
        graph.discover(root)
        for component in components(graph.parts, id(root)):
            graph.settle(component)
    finally:
        walker.stand_in = None
    for key, token in graph.tokens.items():
        walker.remember(graph.nodes[key], token)
    return graph.tokens[id(root)]


class _Graph:
    def __init__(self, walker: Walker) -> None:
        self._walker = walker
        self.nodes: dict[int, Any] = {}
        self.parts: dict[int, list[int]] = {}
        self.tokens: dict[int, bytes] = {}
        self._parents: dict[int, int] = {}

    def discover(self, root: Any) -> None:
        waiting = [root]
        self.nodes[id(root)] = root
        while waiting:
            node = waiting.pop()
            found = self._parts_of(node)
            self.parts[id(node)] = [id(part) for part in found]
            for part in found:
                if id(part) not in self.nodes:
                    self.nodes[id(part)] = part
                    self._parents[id(part)] = id(node)
                    waiting.append(part)

    def _parts_of(self, node: Any) -> list[Any]:
        found: list[Any] = []

        def note(part: Any) -> bytes:
            found.append(part)
            return b""

        try:
            self._handle(node, note)
        except UnstableKeyError as error:
            self._complete_path(error, id(node))
            raise
        return found

    def _complete_path(self, error: UnstableKeyError, key: int) -> None:
        """Ask each parent again, with an error where the child stands: it names its step."""
        while key in self._parents:
            parent, child = self._parents[key], key

            def stop(part: Any, child: int = child) -> bytes:
                if id(part) == child:
                    raise UnstableKeyError("")
                return b""

            try:
                self._handle(self.nodes[parent], stop)
            except UnstableKeyError as step:
                error.follow(step)
            key = parent

    def settle(self, component: list[int]) -> None:
        """Give tokens to the nodes of one strongly connected component, all below being known."""
        only = component[0]
        if len(component) == 1 and only not in self.parts[only]:
            self.tokens[only] = self._handle(self.nodes[only], self._known({}))
            return
        colours = self._refined(component)
        cycle = frame(b"cycle", b"".join(sorted(set(colours.values()))))
        self.tokens.update({key: hashed(colour + cycle) for key, colour in colours.items()})

    def _refined(self, component: list[int]) -> dict[int, bytes]:
        colours, classes = dict.fromkeys(component, b""), 1
        while True:
            known = self._known(colours)
            colours = {
                key: hashed(colours[key] + self._handle(self.nodes[key], known))
                for key in component
            }
            if len(set(colours.values())) == classes:
                return colours
            classes = len(set(colours.values()))

    def _known(self, colours: dict[int, bytes]) -> Callable[[Any], bytes]:
        def stand_in(part: Any) -> bytes:
            token = colours.get(id(part)) or self.tokens.get(id(part))
            if token is not None:
                return token
            if id(part) in colours:
                return b"~"  # the first round: nothing is known of it yet
            return self._walker.handle(part)  # made anew by its owner at each look

        return stand_in

    def _handle(self, node: Any, stand_in: Callable[[Any], bytes]) -> bytes:
        self._walker.stand_in = stand_in
        return self._walker.handle(node)


def components(edges: dict[int, list[int]], root: int) -> Iterable[list[int]]:
    """Strongly connected components, the lowest first (Tarjan, without recursion)."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    work = [(root, iter(edges[root]))]
    order[root] = low[root] = 0
    stack.append(root)
    on_stack.add(root)
    while work:
        node, successors = work[-1]
        for successor in successors:
            if successor not in order:
                order[successor] = low[successor] = len(order)
                stack.append(successor)
                on_stack.add(successor)
                work.append((successor, iter(edges[successor])))
                break
            if successor in on_stack:
                low[node] = min(low[node], order[successor])
        else:
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[node])
            if low[node] == order[node]:
                yield _popped(stack, on_stack, node)


def _popped(stack: list[int], on_stack: set[int], last: int) -> list[int]:
    component: list[int] = []
    while not component or component[-1] != last:
        component.append(stack.pop())
    on_stack.difference_update(component)
    return component
