"""Networks that nobody here wrote: torchvision's, segmentation-models-pytorch's and timm's."""
