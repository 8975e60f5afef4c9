"""The interface of other libraries, for scripts that move from them: `tdu` is torch-dataloader-utils."""
