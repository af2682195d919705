"""Time whole training steps of the reference network, with and without glibc keeping freed memory.

    uv run python benchmarks/train_step.py

8 images of 384x512, bfloat16, 2 threads; the first figure must be taken before memory is kept.
"""

from __future__ import annotations

import time

import torch

from mosaic_deploy.zoo import build_network
from mosaic_deploy.zoo.train.loop import keep_memory

BATCH, HEIGHT, WIDTH, STEPS = 8, 384, 512, 6


def images_per_second() -> float:
    """Images per second over some steps, after one to warm up."""
    net = build_network("mosaic", classes=11, head="lowres")
    net = net.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    x = torch.randn(BATCH, 3, HEIGHT, WIDTH).contiguous(memory_format=torch.channels_last)
    truth = torch.randint(0, 11, (BATCH, HEIGHT // 4, WIDTH // 4))
    begun = 0.0
    for step in range(STEPS + 1):
        if step == 1:
            begun = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = net(x)
        torch.nn.functional.cross_entropy(scores.float(), truth).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    return STEPS * BATCH / (time.perf_counter() - begun)


def main() -> None:
    """Print both figures."""
    torch.set_num_threads(2)
    print(f"memory returned: {images_per_second():.2f} images/s")
    keep_memory()
    print(f"memory kept:     {images_per_second():.2f} images/s")


if __name__ == "__main__":
    main()
