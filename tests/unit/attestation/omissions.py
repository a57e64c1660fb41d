"""Finds the checks in a module's source, and makes its functions again without one of them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

CHECKS = ("require", "_require", "_check", "keys", "hex_of")


def removals(function: ast.FunctionDef) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The function without one of its checks, for each check."""
    source = ast.unparse(function)
    count = len([node for node in ast.walk(ast.parse(source)) if _is_check(node)])
    for index in range(count):
        tree = ast.parse(source)
        check = [node for node in ast.walk(tree) if _is_check(node)][index]
        what = ast.unparse(check).split("\n")[0]
        _Remove(check).visit(tree)
        yield what, ast.fix_missing_locations(tree).body[0]  # type: ignore[misc]


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    target = node.func
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def _is_check(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return isinstance(node.body[-1], ast.Raise) and not node.orelse
    if isinstance(node, ast.Expr):
        return _called(node.value).startswith(CHECKS)
    return _called(node) == "require"  # window.require(now, what) returns the window


class _Remove(ast.NodeTransformer):
    def __init__(self, check: ast.AST) -> None:
        self.check = check

    def visit(self, node: ast.AST) -> ast.AST:
        if node is not self.check:
            return self.generic_visit(node)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Attribute)
            return node.func.value
        return ast.Pass()


def functions(module: ModuleType) -> Iterator[tuple[str, FunctionType, ast.FunctionDef]]:
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        for member in members:
            if not isinstance(member, ast.FunctionDef):
                continue
            owner = getattr(module, node.name) if isinstance(node, ast.ClassDef) else module
            name = f"{node.name}.{member.name}" if owner is not module else member.name
            found = inspect.unwrap(inspect.getattr_static(owner, member.name))
            found = getattr(found, "__func__", getattr(found, "fget", found))
            yield name, found, member


def compiled(definition: ast.FunctionDef, module: ModuleType) -> CodeType:
    definition.decorator_list = []
    tree = ast.Module(
        body=[ast.parse("from __future__ import annotations").body[0], definition],
        type_ignores=[],
    )
    namespace = dict(vars(module))
    exec(compile(tree, f"<{module.__name__} without a check>", "exec"), namespace)
    return namespace[definition.name].__code__


def mutants(*modules: ModuleType) -> list[tuple[str, FunctionType, CodeType]]:
    """(what is missing, the function, its code without that), for every check."""
    return [
        (f"{name}: {what}"[:110], function, compiled(changed, module))
        for module in modules
        for name, function, definition in functions(module)
        for what, changed in removals(definition)
    ]
