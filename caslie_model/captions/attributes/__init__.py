"""The captioner `attributes`: measured colours and shapes, classes of ImageNet, and text in images."""
