"""MuJoCo, imported without its choice of an OpenGL platform and without its log file.

Import it from here: `from knuckle.sim.engine import mujoco`. MuJoCo binds to the platform that MUJOCO_GL names while it
is imported, and where that platform is broken the import of the physics fails with it. Rendering here binds to EGL by
itself, later, and can do without (`renderer.py`).
"""

from __future__ import annotations

import os

GL_WISH = os.environ.get("MUJOCO_GL", "").strip().lower()

_kept = os.environ.get("MUJOCO_GL")
os.environ["MUJOCO_GL"] = "off"
try:
    import mujoco
    from mujoco import rollout
finally:
    if _kept is None:
        del os.environ["MUJOCO_GL"]
    else:
        os.environ["MUJOCO_GL"] = _kept

# Warnings still go to the console; a MUJOCO_LOG.TXT in whatever folder a command was run in helps nobody.
_log = mujoco.MjLogConfig.get()
_log.logto_file = False
_log.set()

__all__ = ["GL_WISH", "mujoco", "rollout"]
