"""PyTorch as a peer: one configuration a process, measured when asked, JSON lines over stdin and stdout.

Started by compare.ts, which also sets OMP_NUM_THREADS. With --world 2 this process starts a second one of
itself, and both train with DistributedDataParallel over gloo, half a batch each.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True, help="images of a step, over all processes")
    parser.add_argument("--threads", type=int, required=True, help="threads of one process")
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="nchw")
    parser.add_argument("--precision", choices=["float32", "bf16"], default="float32")
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--port", type=int, default=0)
    return parser.parse_args()


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def peak_bytes():
    """VmHWM belongs to this program alone; ru_maxrss may still hold the parent's figure from before exec."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Training:
    """A model, its optimizer and random images in memory; `run` makes whole steps."""

    images = 2048

    def __init__(self, options):
        import torch
        import pytorch_models

        self.torch = torch
        torch.set_num_threads(options.threads)
        torch.manual_seed(1)
        self.bf16 = options.precision == "bf16"
        self.format = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
        self.batch = options.batch // options.world
        model = pytorch_models.build(options.model)
        if model is None:
            raise LookupError(f"there is no PyTorch counterpart of model '{options.model}'")
        model = model.to(memory_format=self.format).train()
        if options.world > 1:
            model = self.distributed(model, options)
        self.model = model
        self.optimizer, self.optimizer_kind = self.adam(model)
        count = max(self.images, self.batch)
        self.data = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8)
        self.labels = torch.randint(0, 10, (count,))
        self.at = 0
        self.step_seconds = None

    def distributed(self, model, options):
        from torch import distributed
        from torch.nn.parallel import DistributedDataParallel

        address = f"tcp://127.0.0.1:{options.port}"
        distributed.init_process_group("gloo", init_method=address, rank=options.rank, world_size=options.world)
        return DistributedDataParallel(model)

    def adam(self, model):
        """The fused Adam where this version has one for processors."""
        try:
            optimizer = self.torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
            return optimizer, "fused Adam"
        except (TypeError, RuntimeError):
            return self.torch.optim.Adam(model.parameters(), lr=1e-3), "Adam"

    def step(self):
        torch = self.torch
        if self.at + self.batch > self.data.shape[0]:
            self.at = 0
        rows = slice(self.at, self.at + self.batch)
        self.at += self.batch
        x = self.data[rows].float().sub_(127.5).div_(64).contiguous(memory_format=self.format)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = torch.nn.functional.cross_entropy(self.model(x), self.labels[rows])
        loss.backward()
        self.optimizer.step()

    def run(self, steps):
        begun = time.perf_counter()
        for _ in range(steps):
            self.step()
        seconds = time.perf_counter() - begun
        self.step_seconds = seconds / steps
        return seconds

    def steps_for(self, seconds):
        """How many steps fill the time, by the steps before; the first one of all only warms up."""
        if self.step_seconds is None:
            return 1
        return max(1, round(seconds / self.step_seconds))


class Partner:
    """The second process of a distributed run: obeys `{"steps": n}` lines from the first."""

    def __init__(self, options):
        command = [sys.executable, __file__, *sys.argv[1:], "--rank", "1", "--port", str(options.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, steps):
        self.process.stdin.write(json.dumps({"steps": steps}) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the second process of the distributed run ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"the second process: {answer['error']}")
        return answer


def lead(options):
    import torch

    partner = None
    if options.world > 1:
        options.port = free_port()
        partner = Partner(options)
    training = Training(options)

    def run(steps):
        if partner:
            partner.begin(steps)
        seconds = training.run(steps)
        return seconds, peak_bytes() + (partner.answer()["peakBytes"] if partner else 0)

    run(1)
    others = [partner.process.pid] if partner else []
    say({"ready": {"version": f"PyTorch {torch.__version__}", "detail": training.optimizer_kind, "others": others}})
    for line in sys.stdin:
        steps = training.steps_for(float(json.loads(line)["measure"]))
        seconds, peak = run(steps)
        say({"imagesPerSecond": steps * options.batch / seconds, "steps": steps, "peakBytes": peak})
    if partner:
        partner.process.stdin.close()
        partner.process.wait()


def follow(options):
    training = Training(options)
    for line in sys.stdin:
        training.run(json.loads(line)["steps"])
        say({"peakBytes": peak_bytes()})


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    options = arguments()
    try:
        lead(options) if options.rank == 0 else follow(options)
    except Exception as problem:  # whatever it is, the comparison reports it and goes on
        say({"error": f"{type(problem).__name__}: {problem}"})
        sys.exit(1)
