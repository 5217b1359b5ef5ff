"""`python -m tiny`: train the classifier."""

import argparse

import torch

from .loop import train
from .network import Network
from .rows import make_rows

STEPS = 32

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=STEPS)
torch.set_num_threads(1)
torch.manual_seed(1)
train(Network(), make_rows(), parser.parse_args().steps)
