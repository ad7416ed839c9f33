"""The loop that `segment` and `groundtruth` share: inputs to masks, here or on a cluster."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mudrock_cli.commands.batch.jobs import BatchOptions, Process, run_job
from mudrock_cli.commands.batch.outputs import mask_path, prepare_outputs
from mudrock_cli.commands.batch.progress import Column, Narrator, Outcome
from mudrock_cli.commands.cluster.retelling import retell, retell_error
from mudrock_cli.commands.cluster.visibility import check_paths
from mudrock_cli.commands.cluster.workers import Cluster, fits_a_task
from mudrock_cli.commands.log.events import note
from mudrock_cli.errors import ExitCode, MudrockError

if TYPE_CHECKING:
    from mudrock_cli.image.inputs import Input


def run_batch(
    inputs: Sequence["Input"],
    process: Process,
    options: BatchOptions,
    columns: Sequence[Column],
    cluster: Cluster | None = None,
    needed: Sequence[Path] = (),
) -> ExitCode:
    """Make the mask of every input that has none yet; one that fails does not stop the others.

    Parameters
    ----------
    inputs : sequence of Input
        The images.
    process : callable
        Makes one mask (and the files beside it) and returns its results, JSON-able. It writes
        them into the provenance too, where a later run finds them. A `functools.partial` of a
        function of a module: it travels to workers.
    options : BatchOptions
        Where to, and under which conditions.
    columns : sequence of Column
        Of the closing table.
    cluster : Cluster, optional
        Does small images, and the bands of large ones.
    needed : sequence of Path
        Folders that workers read beside the inputs.

    Returns
    -------
    ExitCode
        ``DONE``, or ``SOME_FAILED``.

    Raises
    ------
    UsageError
        If the masks cannot be written where they should (before any work), or `process` finds
        that no input can be processed.
    """
    prepare_outputs(inputs, options.out, options.suffix)
    if cluster:
        check_paths(cluster, [item.path for item in inputs], needed, options.out)
    start = time.monotonic()
    note("batch", images=len(inputs), out=options.out, **options.fingerprint)
    with Narrator(len(inputs), json_lines=options.json_lines, columns=columns) as narrator:
        try:
            for outcome in _run_all(inputs, process, options, narrator, cluster):
                narrator.add(outcome)
        finally:  # also after Ctrl-C: say what is finished
            order = {item.path: number for number, item in enumerate(inputs)}
            narrator.outcomes.sort(key=lambda outcome: order[outcome.input])
            narrator.close(options.out, time.monotonic() - start)
    failed = any(outcome.status == "failed" for outcome in narrator.outcomes)
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def _run_all(
    inputs: Sequence["Input"],
    process: Process,
    options: BatchOptions,
    narrator: Narrator,
    cluster: Cluster | None,
) -> Iterator[Outcome]:
    """Yield what becomes of each input: on workers as they are done, here one after the other."""
    from mudrock_cli.image.inputs import find_collisions

    collisions = find_collisions(inputs)

    def is_task(item: "Input") -> bool:
        alone = cluster is None or item.path in collisions
        return not alone and fits_a_task(item, options.max_pixels)

    for as_tasks, items in groupby(inputs, is_task):
        if cluster and as_tasks:
            yield from _run_on_workers(items, process, options, narrator, cluster)
            continue
        for item in items:
            if other := collisions.get(item.path):
                yield Outcome(item.path, "failed", error=_explain_collision(item.path, other))
                continue
            with narrator.image(item.path.name) as advance:
                outcome = run_job(item, process, options, (advance, narrator.warn), cluster)
            yield _retell_outcome(outcome, _list_places(item, options)) if cluster else outcome


def _run_on_workers(
    inputs: Iterable["Input"],
    process: Process,
    options: BatchOptions,
    narrator: Narrator,
    cluster: Cluster,
) -> Iterator[Outcome]:
    # Workers run in other folders.
    there = replace(options, out=options.out.absolute())
    known: dict[Path, Input] = {}

    def travel() -> "Iterator[Input]":
        for item in inputs:
            known[item.path.absolute()] = item
            yield replace(item, path=item.path.absolute())

    for part, done in cluster.as_completed(partial(_run_there, process, there), travel()):
        item = known.pop(part.path)
        places = _list_places(item, options)
        if isinstance(done, MudrockError):
            error = MudrockError(f"{item.path}: {done.message}", done.hint)
            yield Outcome(item.path, "failed", error=error)
            continue
        outcome, warnings = done
        for kind, message in warnings:
            narrator.warn(kind, retell(message, places))
        mask = outcome.mask and mask_path(options.out, item, options.suffix)
        yield _retell_outcome(replace(outcome, input=item.path, mask=mask), places)


def _run_there(
    process: Process, options: BatchOptions, item: "Input"
) -> tuple[Outcome, list[tuple[str, str]]]:
    """Make a mask on a worker, whose warnings are said where the command runs."""
    warnings: list[tuple[str, str]] = []

    def advance(done: int, total: int) -> None:
        pass  # the bar of the batch moves where the command runs

    def warn(kind: str, message: str) -> None:
        warnings.append((kind, message))

    return run_job(item, process, options, (advance, warn)), warnings


def _list_places(item: "Input", options: BatchOptions) -> list[Path]:
    """Return the paths, as the user typed them, that a worker may speak of."""
    mask = mask_path(options.out, item, options.suffix)
    return [item.path, item.path.parent, mask, mask.parent]


def _retell_outcome(outcome: Outcome, places: Sequence[Path]) -> Outcome:
    facts = dict(outcome.facts)
    if "warnings" in facts:
        facts["warnings"] = [retell(text, places) for text in facts["warnings"]]
    error = outcome.error and retell_error(outcome.error, places)
    return replace(outcome, facts=facts, error=error)


def _explain_collision(path: Path, other: Path) -> MudrockError:
    return MudrockError(
        f"{path}: would write the same mask as {other}",
        "give the folder that holds both, or run them with different --out",
    )
