"""The two architectures of the comparison, layer for layer those of shared/src/model/residual-networks.ts."""

import torch
from torch import nn
import torch.nn.functional as F


def unit(inputs, filters, kernel, stride):
    """Convolution without bias, batch-norm."""
    convolution = nn.Conv2d(inputs, filters, kernel, stride, (kernel - 1) // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(filters))


class ZeroChannels(nn.Module):
    """Shortcut A of He et al. 2015: every second pixel, new channels zero. Ours come behind the old ones too."""

    def __init__(self, added, stride):
        super().__init__()
        self.added, self.stride = added, stride

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))


class BasicBlock(nn.Module):
    """Two 3x3 units and a shortcut; figure 2 of the paper."""

    def __init__(self, inputs, filters, stride, shortcut):
        super().__init__()
        self.first = unit(inputs, filters, 3, stride)
        self.second = unit(filters, filters, 3, 1)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != filters:
            projected = shortcut == "B"
            self.shortcut = (
                unit(inputs, filters, 1, stride) if projected else ZeroChannels(filters - inputs, stride)
            )

    def forward(self, x):
        y = F.relu(self.first(x), inplace=True)
        return F.relu(self.second(y) + self.shortcut(x), inplace=True)


class ResidualNetwork(nn.Module):
    def __init__(self, widths, blocks, shortcut, channels, classes):
        super().__init__()
        self.stem = unit(channels, widths[0], 3, 1)
        stages, inputs = [], widths[0]
        for stage, filters in enumerate(widths):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(BasicBlock(inputs, filters, stride, shortcut))
                inputs = filters
        self.stages = nn.Sequential(*stages)
        self.logits = nn.Linear(inputs, classes)

    def forward(self, x):
        y = self.stages(F.relu(self.stem(x), inplace=True))
        return self.logits(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))


def build(name, channels=3, classes=10):
    """resnet8 to resnet56 (6n+2 layers) with shortcut A, resnet18 with a 3x3 stem and shortcut B; None for others."""
    if name == "resnet18":
        return ResidualNetwork([64, 128, 256, 512], 2, "B", channels, classes)
    depth = name[len("resnet") :] if name.startswith("resnet") else ""
    if depth.isdigit() and int(depth) >= 8 and (int(depth) - 2) % 6 == 0:
        return ResidualNetwork([16, 32, 64], (int(depth) - 2) // 6, "A", channels, classes)
    return None
