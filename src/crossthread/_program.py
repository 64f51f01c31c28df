"""Runs one generator program from sync or async code, so that each rule is written once. Imports nothing of ours.

A program yields requests, and is sent what came of each; a failed request is thrown into it. How a request is
performed, and how one waits for it, is the performer's matter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

_T = TypeVar("_T")

Program = Generator[Any, Any, _T]


def drive(program: Program[_T], perform: Callable[[Any], Any]) -> _T:
    """Run a program to its end, performing each request in this thread; return what it returns."""
    try:
        request = next(program)
        while True:
            try:
                outcome = perform(request)
            except BaseException as error:
                request = program.throw(error)
            else:
                request = program.send(outcome)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    finally:
        program.close()


async def adrive(program: Program[_T], perform: Callable[[Any], Awaitable[Any]]) -> _T:
    """Run a program to its end, awaiting each request; return what it returns."""
    try:
        request = next(program)
        while True:
            try:
                outcome = await perform(request)
            except BaseException as error:
                request = program.throw(error)
            else:
                request = program.send(outcome)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    finally:
        program.close()
