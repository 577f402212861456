"""``tercet train``: trains a float network on MNIST and writes a checkpoint.

The defaults, ``tercet train plain`` and so on, make the shipped checkpoints: the same bytes with
the same PyTorch on the same kind of CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..data import mnist, training_digits
from ..float.nets.nets import NETS, Checkpoint, net_of, save
from ..float.training.recipe import RECIPES, CopiesRecipe, Recipe
from ..layers import NetworkError
from ..terminal import console

if TYPE_CHECKING:
    from ..float.training.train import Progress as State

HELP = "train a float network on MNIST"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("network", metavar="NET", help=f"one of {', '.join(NETS)}")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the checkpoint (default: NET.npz)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of all random choices (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, help="epochs of the main schedule (default: the recipe's)"
    )
    parser.add_argument(
        "--copies", type=int, help="networks trained in parallel (default: the recipe's)"
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Train, measure the accuracy on the test images, write the checkpoint."""
    net_of(args.network)  # an unknown name is refused before PyTorch is imported
    output = args.output or Path(f"{args.network}.npz")
    if not output.parent.is_dir():
        raise NetworkError(f"The checkpoint {output} cannot be written: its folder does not exist")
    recipe = _recipe(args)
    learn, test = training_digits(), mnist("test")
    from ..float.training.train import accuracy_of, train

    with training_bar(args.network) as report:
        trained = train(args.network, learn, recipe, args.seed, report)
    figure = accuracy_of(trained, test)
    facts = {**trained.facts, "test_accuracy": round(figure, 6)}
    save(Checkpoint(trained.network, trained.state, facts), output)
    names = ("copy", "epoch", "seed")
    which = ", ".join(f"{name} {facts[name]}" for name in names if name in facts)
    console().print(
        f"{args.network}: {figure:.4f} on the {len(test)} {test.source}, "
        f"{facts['validation_accuracy']:.4f} on the {facts['validation_images']} kept to choose by "
        f"({which}) -> {output}",
        soft_wrap=True,
    )
    return {"network": args.network, "checkpoint": str(output), **facts}, True


@contextmanager
def training_bar(name: str) -> Iterator[Callable[[State], None]]:
    """A progress bar over epochs, and the function that advances it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("epochs  {task.fields[state]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task(name, total=None, state="")

        def report(state: State) -> None:
            text = f"loss {state.loss:.4f}  validation {state.accuracy:.4f}"
            bar.update(task, total=state.epochs, completed=state.epoch, state=text)

        yield report


def _recipe(args: argparse.Namespace) -> Recipe | CopiesRecipe:
    """The network's recipe with the changes of the command line."""
    recipe = RECIPES[args.network]
    if args.epochs is not None:
        recipe = replace(recipe, epochs=args.epochs)
    if args.copies is not None:
        if not isinstance(recipe, CopiesRecipe):
            raise NetworkError(
                f"The network {args.network} is trained alone, without copies; leave out --copies"
            )
        finalists = max(min(recipe.finalists, args.copies), 1)
        recipe = replace(recipe, copies=args.copies, finalists=finalists)
    return recipe
