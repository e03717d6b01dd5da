"""Runs inside the sandbox: finds where a Python name is used, with rope. Its one argument is the request as
JSON, and its one line the answer: {"edits": {path: [[line, column], ...]}} or {"fault"}.

It parses hostile files and imports none of them. Nothing that it says is trusted.
"""

import ast
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

LIBRARIES = "/libraries"
WORK = "/workspace"
Place = tuple[int, int]


class Unfit(Exception):
    """The request does not fit the files; the text says why."""


def main() -> None:
    request = json.loads(sys.argv[1])
    sys.path.append(LIBRARIES)
    sys.setrecursionlimit(3_000)
    try:
        answer: dict[str, Any] = {"edits": edits(**request)}
    except Unfit as fault:
        answer = {"fault": str(fault)}
    except SyntaxError as fault:
        answer = {"fault": f"{request['path']} has a syntax error at line {fault.lineno}: {fault.msg}."}
    except (RecursionError, MemoryError):
        answer = {"fault": "The files are nested too deeply to be understood."}
    sys.stdout.write(json.dumps(answer))


def edits(path: str, name: str, new_name: str, line: int | None) -> dict[str, list[Place]]:
    # rope asks how old it is; what tells is not shown here.
    importlib.metadata.version = lambda distribution_name: "0"
    from rope.base.exceptions import RopeError
    from rope.base.project import Project
    from rope.refactor.rename import Rename

    project = Project(WORK, ropefolder=None, automatic_soa=False, ignore_syntax_errors=True)
    try:
        resource = project.get_resource(path)
        source = resource.read()
        offset = offset_of(source, place_of(source, name, line))
        changes = Rename(project, resource, offset).get_changes(new_name, in_hierarchy=True)
    except RopeError as fault:
        raise Unfit(f"The name cannot be followed: {fault}.") from fault
    finally:
        project.close()
    old_name = name.rpartition(".")[2]
    return {
        one.resource.path: places_changed(one.resource.read(), one.new_contents, old_name, new_name)
        for one in changes.changes
        if hasattr(one, "new_contents")
    }


def places_changed(before: str, after: str, old_name: str, new_name: str) -> list[Place]:
    """Where one name stands for the other, which is all that differs."""
    places, moved = [], 0
    for hit in re.finditer(rf"\b{re.escape(old_name)}\b", before):
        found = re.match(r"\w+", after[hit.start() + moved :][: len(new_name) + 200])
        if found is not None and found[0] == new_name:
            line = before.count("\n", 0, hit.start())
            places.append((line + 1, hit.start() - (before.rfind("\n", 0, hit.start()) + 1)))
            moved += len(new_name) - len(old_name)
    return places


def place_of(source: str, name: str, line: int | None) -> Place:
    """Line and column of the name where it is defined, or in the line that was asked for."""
    lines = source.split("\n")
    last = name.rpartition(".")[2]
    if line is not None:
        hit = re.search(rf"\b{re.escape(last)}\b", lines[line - 1]) if line <= len(lines) else None
        if hit is None:
            raise Unfit(f"{last} does not stand in line {line}.")
        return line, hit.start()
    scope: ast.AST = ast.parse(source)
    for part in name.split(".")[:-1]:
        inner = next((node for node in definitions(scope) if node.name == part), None)
        if inner is None:
            raise Unfit(f"There is no {part} to look for {last} in.")
        scope = inner
    for node_line, column in definitions_of(scope, last):
        text = lines[node_line - 1].encode()
        hit = re.compile(rf"\b{re.escape(last)}\b").search(lines[node_line - 1], len(text[:column].decode()))
        if hit is not None:
            return node_line, hit.start()
    raise Unfit(
        f"{name} is not defined there: name it as it is defined, such as Class.method, or give its line."
    )


def definitions(scope: ast.AST) -> Iterator[Any]:
    """Functions and classes right in the scope, within its branches too."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node
        elif isinstance(node, ast.stmt | ast.excepthandler):
            yield from definitions(node)


def definitions_of(scope: ast.AST, name: str) -> Iterator[Place]:
    """Line and column in bytes of what gives the name: definitions first, then parameters and assignments."""
    for node in definitions(scope):
        if node.name == name:
            yield node.lineno, node.col_offset
    for node in ast.walk(scope):
        if isinstance(node, ast.arg) and node.arg == name:
            yield node.lineno, node.col_offset
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node, ast.Name) and node.id == name:
                yield node.lineno, node.col_offset
            elif isinstance(node, ast.Attribute) and node.attr == name:
                yield node.value.end_lineno or node.lineno, node.value.end_col_offset or 0


def offset_of(source: str, place: Place) -> int:
    line, column = place
    return sum(len(text) + 1 for text in source.split("\n")[: line - 1]) + column


if __name__ == "__main__":
    main()
