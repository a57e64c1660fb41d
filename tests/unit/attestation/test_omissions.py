"""Each check of the verifier is needed: without any single one, some forgery gets another answer.

The checks are found in the source, not listed here: `if ...: raise`, calls of `require...`,
`_check...`, `keys(...)`, and validity windows that are required or met. A check added without
a forgery that only it refuses fails this test.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

import pytest
from forgeries import FORGERIES, genuine, run

from scone.attestation import certificates
from scone.attestation import verify as verify_module
from scone.attestation.sgx import tcb
from scone.errors import SconeError

MODULES = (verify_module, certificates, tcb)

# Checks of the caller's own arguments, of documents that nobody forges but the signer, and
# bounds: other tests are about them.
ELSEWHERE = {
    "VerifiedEvidence.__post_init__": "TestProofInTypes",
    "verify": "test_a_naive_time_is_a_programming_error",
}


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
        return _called(node.value).startswith(("require", "_require", "_check"))
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


MUTANTS = [
    pytest.param(module, name, function, what, changed, id=f"{name}: {what}"[:110])
    for module in MODULES
    for name, function, definition in functions(module)
    if name not in ELSEWHERE or name == "verify"
    for what, changed in removals(definition)
    if "tzinfo" not in what
]

CASES = {name: (maker(), says) for name, (maker, says) in FORGERIES.items()}


def answers_as_expected(case, says: str) -> bool:
    try:
        run(case)
    except SconeError as error:
        return says in str(error)
    except Exception:
        return False
    return False


def test_there_are_checks_to_leave_out():
    assert len(MUTANTS) >= 40
    assert all(answers_as_expected(*case) for case in CASES.values())
    assert run(genuine()).report.mrenclave


@pytest.mark.parametrize(("module", "name", "function", "what", "changed"), MUTANTS)
def test_without_this_check_a_forgery_gets_another_answer(
    module, name, function, what, changed, monkeypatch
):
    monkeypatch.setattr(function, "__code__", compiled(changed, module))
    assert not all(answers_as_expected(*case) for case in CASES.values()), (
        f"{module.__name__}.{name}: nothing notices that this is missing: {what}"
    )
