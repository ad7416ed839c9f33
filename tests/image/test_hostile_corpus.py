"""A sample of the corpus of broken files; all of it: tests/benchmarks/reliability."""

import logging
from pathlib import Path

import pytest
from hostile_breaks import Case
from hostile_corpus import judge, make_cases, write_case
from hostile_readers import read


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return make_cases(300, 1, real=False, bombs=False)


def test_broken_files_are_read_right_or_refused(
    tmp_path: Path, cases: list[Case], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "tifffile")
    results, failures = {"read": 0, "refused": 0}, []
    for number, case in enumerate(cases):
        told = read(case.seed.kind, write_case(tmp_path / str(number), case))
        wrong = judge(case, told)
        if case.how == "whole" and told.get("result") != "read":
            wrong = f"refused: {told}"
        if wrong:
            failures.append(f"{case.seed.format}, {case.how}: {wrong}")
        results[told.get("result", "read")] += 1
    assert not failures
    assert results["read"] > 100
    assert results["refused"] > 100
