"""ResNet-50 of plain torch layers with random weights: 25.6 million parameters, 4.1 billion multiply-adds a picture.

He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv 1512.03385), table 1, with the stride in the 3x3
convolution as everybody builds it since.
"""

import torch
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, taken: int, width: int, stride: int):
        super().__init__()
        given = 4 * width
        self.path = nn.Sequential(
            nn.Conv2d(taken, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, given, 1, bias=False), nn.BatchNorm2d(given),
        )  # fmt: skip
        self.short = nn.Identity()
        if stride != 1 or taken != given:
            self.short = nn.Sequential(nn.Conv2d(taken, given, 1, stride, bias=False), nn.BatchNorm2d(given))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.path(pixels) + self.short(pixels))


def make_resnet(blocks: tuple[int, ...] = (3, 4, 6, 3), width: int = 64, classes: int = 1000) -> nn.Module:
    """[rows, 3, side, side] to [rows, classes]."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [
        nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
    ]  # fmt: skip
    taken = width
    for stage, count in enumerate(blocks):
        for block in range(count):
            layers.append(Bottleneck(taken, width << stage, stride=2 if stage and not block else 1))
            taken = 4 * (width << stage)
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(taken, classes)]
    return nn.Sequential(*layers).eval().requires_grad_(requires_grad=False)
