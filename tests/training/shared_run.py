"""A program that `torchrun` starts in several processes, which train one run together.

    torchrun --nproc-per-node 2 shared_run.py OUT ENDING

ENDING is `done`, or `nan` for a run that a frame of NaN stops. When a process destroys its group,
it writes the number of live wrapped modules to `group_end_RANK.json` beside OUT.
"""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from disc_dataset import SETTINGS, Disc
from torch.nn.parallel import DistributedDataParallel

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training import train
from imavatar_deploy.training.dataset import FrameObservation


class NanDisc(Disc):
    """The same dataset; the colours of every frame are NaN."""

    def observation(self, index: int) -> FrameObservation:
        observation = super().observation(index)
        return replace(observation, image=np.full_like(observation.image, np.nan))


def report_group_ends(folder: Path) -> None:
    """Write a file for every destruction of the process group."""
    destroy = torch.distributed.destroy_process_group

    def destroy_and_report(*arguments: Any) -> None:
        rank = torch.distributed.get_rank()
        modules = sum(isinstance(item, DistributedDataParallel) for item in gc.get_objects())
        (folder / f"group_end_{rank}.json").write_text(
            json.dumps({"rank": rank, "modules": modules})
        )
        destroy(*arguments)

    torch.distributed.destroy_process_group = destroy_and_report


if __name__ == "__main__":
    out, ending = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    report_group_ends(out.parent)
    dataset = {"done": Disc, "nan": NanDisc}[ending](HeadModel.load("openhead"))
    train(
        dataset, out, replace(SETTINGS, schedule=replace(SETTINGS.schedule, steps=3)), device="cpu"
    )
