"""The settings of the sampling planner, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from knuckle.core.config import setting


@dataclass(frozen=True)
class MpcConfig:
    """Sampled postures, rolled out in simulation, weighted by cost: predictive sampling with an elite mean."""

    samples: int = setting(64, "candidate plans a step", low=8, high=4096)
    horizon: int = setting(12, "control steps a plan looks ahead", low=2, high=60)
    knots: int = setting(4, "postures between which a plan moves linearly", low=2, high=12)
    grasp_share: float = setting(0.35, "share of the candidates that are grasp-and-turn plans", low=0.0, high=0.9)
    kept: int = setting(4, "best plans of the last step that are tried again", low=0, high=64)
    iterations: int = setting(1, "times the candidates are drawn anew around the elite in a step", low=1, high=8)
    elite: int = setting(8, "best candidates that form the next plan", low=1, high=256)
    temperature: float = setting(0.1, "softmax temperature of the elite, in their spread", low=0.01, high=10.0)
    sigma_low: float = setting(0.08, "smallest posture noise", low=0.0, high=1.0, unit="rad")
    sigma_high: float = setting(0.5, "largest posture noise", low=0.0, high=2.0, unit="rad")
    fine_angle: float = setting(0.5, "angle below which the turn is refined: 0 never", low=0.0, high=3.2, unit="rad")
    fine_share: float = setting(0.4, "share of the posture noise that is left then", low=0.01, high=1.0)
    substeps: int = setting(5, "physics steps the planner's model takes in a control step", low=2, high=10)
    threads: int = setting(2, "rollout threads", low=1, high=64)
    angle_weight: float = setting(4.0, "cost of the angle to the goal", low=0.0, high=100.0, unit="1/rad")
    tip_weight: float = setting(2.0, "cost of a fingertip's distance beyond its reach", low=0.0, high=100.0, unit="1/m")
    tip_reach: float = setting(0.05, "tip distance that costs nothing", low=0.0, high=0.3, unit="m")
    offset_weight: float = setting(6.0, "cost of the object's offset in the plane", low=0.0, high=1000.0, unit="1/m")
    escape_weight: float = setting(40.0, "further cost beyond the escape radius", low=0.0, high=1000.0, unit="1/m")
    escape_radius: float = setting(0.07, "offset from which the object counts as escaping", low=0.0, high=0.3, unit="m")
    still_weight: float = setting(0.4, "cost of motion near the goal", low=0.0, high=10.0)
    still_angle: float = setting(0.3, "angle below which motion starts to cost", low=0.01, high=3.0, unit="rad")
    grip_weight: float = setting(1.0, "near the goal: cost of a firmer grip than counts as still", low=0.0, high=10.0)
    action_weight: float = setting(0.02, "cost of the mean absolute action", low=0.0, high=10.0)
    height_weight: float = setting(80.0, "air: cost of being low", low=0.0, high=1000.0, unit="1/m")
    height_span: float = setting(0.15, "air: being lower by more costs no more", low=0.0, high=1.0, unit="m")
    below_base: float = setting(0.16, "air: how far below the hand's base to hold", low=0.0, high=0.5, unit="m")
    table_force_weight: float = setting(0.5, "air: cost of the table's force", low=0.0, high=10.0, unit="1/N")
    terminal_weight: float = setting(3.0, "factor of the last step's cost", low=1.0, high=100.0)
    stuck_steps: int = setting(15, "control steps without progress after which the hand lets go", low=3, high=1000)
    stuck_angle: float = setting(0.08, "progress that counts", low=0.0, high=1.0, unit="rad")
    regrasp_steps: int = setting(6, "control steps of the home posture when stuck", low=1, high=60)
    detour_steps: int = setting(15, "control steps of another goal after every other regrasp", low=0, high=180)
    hold_samples: int = setting(48, "grips tried a step while settling", low=16, high=1024)
    hold_gravity: float = setting(1.2, "gravity against which a grip must hold, in g", low=1.0, high=4.0)
    settle_angle: float = setting(0.1, "angle at which the grip is frozen", low=0.01, high=1.0, unit="rad")
    settle_steps: int = setting(4, "still control steps after which done is declared", low=1, high=60)
    content_steps: int = setting(24, "steps without progress inside the tolerance that settle it", low=3, high=1000)
    settle_time: float = setting(1.5, "time before the limit when the grip is frozen", low=0.0, high=10.0, unit="s")
