"""PyTorch as a contestant, eager and compiled, in a plain training loop; `contestants` lists its settings."""

from experiments.benchmarks.contest import Ready, Run, Spec, best_of, examples, regression, say

from functools import partial
from typing import Any


def pytorch(spec: Spec, compiled: bool) -> Ready:
    """A plain training loop."""
    from experiments.benchmarks.torch_twins import make, parameters

    import torch
    from torch.nn import functional

    say("imported")
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    torch.backends.cudnn.benchmark = True
    if gpu:
        torch.set_float32_matmul_precision("high")  # TF32, as JAX has it
    images = len(spec.shape) == 3
    arrays = examples(spec)
    inputs = torch.from_numpy(arrays[0].transpose(0, 3, 1, 2).copy() if images else arrays[0]).to(device)
    targets = torch.from_numpy(arrays[1]).to(device)
    targets = targets if regression(spec) else targets.long()
    low = torch.autocast(device.type, torch.bfloat16, enabled=spec.dtype == "bfloat16")
    cores = torch.get_num_threads()

    def prepared(channels_last: bool, threads: int, compiled: bool) -> Run:
        torch.set_num_threads(threads)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        network: Any = make(spec.network, inputs.cpu()).to(device, memory_format=layout)
        x = inputs.contiguous(memory_format=layout) if images else inputs
        model = network
        if compiled:
            if spec.kind == "inference" and not gpu:
                import torch._inductor.config as inductor

                inductor.freezing = True
            model = torch.compile(network, mode="max-autotune" if gpu else None)
        adam = torch.optim.Adam((p for p in network.parameters() if p.requires_grad), 1e-3, fused=True)
        measure = functional.mse_loss if regression(spec) else functional.cross_entropy
        network.train(spec.kind != "inference")

        def train(steps: int) -> None:
            torch.set_num_threads(threads)
            for _ in range(steps):
                adam.zero_grad(set_to_none=True)
                with low:
                    loss = measure(model(x), targets)
                loss.backward()
                adam.step()
            loss.item()

        def infer(steps: int) -> None:
            torch.set_num_threads(threads)
            with torch.no_grad(), low:
                for _ in range(steps):
                    out = model(x)
            out[0, 0].item()

        return infer if spec.kind == "inference" else train

    options = [(True, cores), (True, 1), (False, cores), (False, 1)]
    if gpu:
        options = [(images, 1)]
    elif not images:
        options = [(False, cores), (False, 1)]
    names = {
        f"{'channels-last' if last else 'contiguous'}, {threads} threads": (last, threads)
        for last, threads in dict.fromkeys(options)
    }
    eager = {name: partial(prepared, *chosen, False) for name, chosen in names.items()}
    settings, run = next(iter(names)), None
    tried: dict[str, float] = {}
    if spec.tune or not compiled:
        settings, run, tried = best_of(eager, spec)
    if compiled:
        run = prepared(*names[settings], True)
    assert run is not None
    count = parameters(make(spec.network, inputs.cpu()))
    peak = torch.cuda.max_memory_allocated if gpu else lambda: None
    return Ready(run, count, settings, tried=tried, device_bytes=peak)


def torch_matrix(spec: Spec) -> Ready:
    """Products of square matrices."""
    import torch

    say("imported")
    torch.set_float32_matmul_precision("high")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.randn(2, spec.batch, spec.batch, device=device, dtype=getattr(torch, spec.dtype))

    def run(steps: int) -> None:
        for _ in range(steps):
            out = a @ b
        out[0, 0].item()

    return Ready(run, 0, "eager", multiply_adds=spec.batch**2)
