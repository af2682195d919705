"""LiteRT's GPU accelerator on Vulkan."""
