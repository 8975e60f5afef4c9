"""What makes a resume exact inside a framework, one module a framework; each is imported only when asked for.

- `lightning`: a callback that Lightning adds by itself, through an entry point.
- `transformers`: a mixin and a callback for Hugging Face's Trainer.
- `ray`: Ray Train's `prepare_data_loader` with an exact state.

docs/frameworks has a page for each, and for Accelerate and torch.distributed.checkpoint, which need no module.
"""
