"""`doctor`: what is installed, what the machine has, and what is known not to work together.

It must answer where nothing else does, so this room imports neither TensorFlow nor anything that
needs it: a process of its own tries that (`probe`).
"""

from deeplab.doctor.report import examine

__all__ = ["examine"]
