"""Trains fashion_cnn.pt, which the notebook reads: a binary network in plain PyTorch, and its state dict.

    python examples/notebooks/make_torch_file.py            # needs PyTorch; the notebook does not

What makes it binary: weights and activations are signs in the forward pass, of float32 numbers that training moves. The
file has those numbers, batch norms, and nothing else: what `torch.save(model.state_dict())` writes. Where the layers
stand, and what they do between one another, the notebook tells by a spec, "C16 MP2 C32 MP2 FC10".
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from bnnsim.datasets import load_dataset


class Sign(torch.autograd.Function):
    """+1 where x >= 0, else -1; the gradient goes straight through within [-1, 1]."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, dy):
        return dy * (ctx.saved_tensors[0].abs() <= 1)


class Net(nn.Module):
    """Convolution, max-pool, batch norm, sign, twice; then a dense layer whose batch norm gives the scores."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(32)
        self.dense = nn.Linear(32 * 7 * 7, 10, bias=False)
        self.norm3 = nn.BatchNorm1d(10)

    def forward(self, x):
        x = F.conv2d(x, Sign.apply(self.conv1.weight), padding=1)
        x = Sign.apply(self.norm1(F.max_pool2d(x, 2)))
        x = F.conv2d(x, Sign.apply(self.conv2.weight), padding=1)
        x = Sign.apply(self.norm2(F.max_pool2d(x, 2)))
        return self.norm3(F.linear(x.flatten(1), Sign.apply(self.dense.weight)))


def main():
    torch.manual_seed(0)
    train, test = load_dataset("fashion-subset")
    x, y = torch.from_numpy(train.images.copy()).float() / 255, torch.from_numpy(train.labels.copy()).long()
    model, epochs = Net(), 30
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            with torch.no_grad():
                for layer in (model.conv1, model.conv2, model.dense):
                    layer.weight.clamp_(-1, 1)
        schedule.step()
    model.eval()
    with torch.no_grad():
        scores = model(torch.from_numpy(test.images.copy()).float() / 255)
    right = (scores.argmax(1) == torch.from_numpy(test.labels.copy())).float().mean()
    torch.save(model.state_dict(), Path(__file__).parent / "fashion_cnn.pt")
    print(f"{100 * right:.2f} % of the test images, by PyTorch")


if __name__ == "__main__":
    main()
