"""Real code, laid out anew and edited at random: the flow of a function is its meaning.

The standard library serves as material: all functions of some modules of different styles.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import types

import pytest

from persidict_dask._code.flow import flow_token

MODULES = ("textwrap", "heapq", "csv", "contextlib", "asyncio.locks", "configparser", "selectors")


def functions_of(tree):
    """Tokens of the functions and methods of a module, by name and place in the order."""
    found = []

    def visit(code):
        for const in code.co_consts:
            if isinstance(const, types.CodeType):
                found.append((const.co_qualname, flow_token(const)))
                visit(const)

    visit(compile(tree, "module", "exec"))
    return found


def source_of(module):
    return inspect.getsource(importlib.import_module(module))


def _place(node, line):
    node.lineno = node.end_lineno = line
    node.col_offset = node.end_col_offset = 0


class OneLine(ast.NodeTransformer):
    """Everything on line one: the compiler merges what it would keep apart for a debugger."""

    def generic_visit(self, node):
        super().generic_visit(node)
        if hasattr(node, "lineno"):
            _place(node, 1)
        return node


class OwnLines(ast.NodeTransformer):
    """Every expression on a line of its own."""

    def __init__(self):
        self.line = 0

    def generic_visit(self, node):
        if hasattr(node, "lineno"):
            self.line += 1
            _place(node, self.line)
        return super().generic_visit(node)


class NoNotes(ast.NodeTransformer):
    """Neither docstrings nor annotations of functions."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
        node.returns = None
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arg(self, node):
        node.annotation = None
        return node


LAYOUTS = {
    "formatted anew": lambda tree: ast.parse(ast.unparse(tree)),
    "on one line": lambda tree: OneLine().visit(tree),
    "each part on its own line": lambda tree: OwnLines().visit(tree),
    "without docstrings and annotations": lambda tree: NoNotes().visit(tree),
}


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_no_layout_changes_the_flow_of_a_function(module, layout):
    """Whatever a formatter does, and more than any does."""
    source = source_of(module)
    before = functions_of(ast.parse(source))
    after = functions_of(layout(ast.parse(source)))
    assert [name for (name, old), (_, new) in zip(before, after, strict=True) if old != new] == []


class Edit(ast.NodeTransformer):
    """Change the n-th place that can be changed."""

    def __init__(self, n):
        self.left, self.done = n, False

    def _here(self):
        self.left -= 1
        self.done = self.done or self.left == -1
        return self.left == -1

    def visit_Constant(self, node):
        if isinstance(node.value, (int, float, str, bytes)) and self._here():
            node.value = not node.value if isinstance(node.value, bool) else node.value * 2 or 7
        return node

    def visit_JoinedStr(self, node):
        return node

    def visit_Compare(self, node):
        if self._here():
            node.ops = [
                ast.Is() if isinstance(node.ops[0], ast.IsNot) else ast.IsNot(),
                *node.ops[1:],
            ]
        return self.generic_visit(node)

    def visit_BoolOp(self, node):
        if self._here():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return self.generic_visit(node)

    def visit_BinOp(self, node):
        if self._here():
            node.op = ast.Pow() if isinstance(node.op, ast.Mult) else ast.Mult()
        return self.generic_visit(node)

    def visit_Attribute(self, node):
        if self._here():
            node.attr += "_"
        return self.generic_visit(node)

    def visit_Return(self, node):
        if node.value is not None and self._here():
            node.value = ast.copy_location(ast.List([node.value], ast.Load()), node)
        return self.generic_visit(node)

    def visit_If(self, node):
        if self._here():
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node)
        return self.generic_visit(node)

    def visit_Expr(self, node):
        is_docstring = isinstance(node.value, ast.Constant)
        return node if is_docstring else self.generic_visit(node)

    def visit_FunctionDef(self, node):
        node.body = [self.visit(statement) for statement in node.body]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def edits_of(tree):
    """Each edit of a tree that can be made, one at a time."""
    for n in range(10_000):
        edit = Edit(n)
        edited = ast.fix_missing_locations(edit.visit(copy.deepcopy(tree)))
        if not edit.done:
            return
        yield edited


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("module", ["bisect", "heapq", "asyncio.locks"])
def test_every_edit_changes_the_flow_of_a_function(module):
    """Constants, operators, attributes, conditions and results, one at a time."""
    tree = ast.parse(source_of(module))
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    count = 0
    for function in functions:
        alone = ast.Module([function], [])
        before = functions_of(Edit(10_000).visit(copy.deepcopy(alone)))
        for edited in edits_of(alone):
            count += 1
            assert functions_of(edited) != before, ast.unparse(edited)
    assert count > 50
