"""What makes a resume exact inside a framework, one module a framework; each is imported only when asked for.

`lightning`, `transformers`, `ray`: see docs/frameworks.
"""
