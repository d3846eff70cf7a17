"""Plans of searches for tests: what none of them is about is given."""

from __future__ import annotations

from typing import Any

from understudy.selection import Plan
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student


def plan_of(recipe: Recipe, *, classes: int, **settings: Any) -> Plan:
    """Return a plan without a teacher for students like ``recipe``, with ``settings`` in place of what is usual here."""
    usual: dict[str, Any] = {
        "texts": 100,
        "held_out": 20,
        "objective": {},
        "class_weight": None,
        "taught": False,
        "joint": False,
        "brought": None,
        "teacher_is_optional": True,
        "seed": 1,
        "epochs": 2,
        "budgets": 1,
        "build": lambda each: build_student(each, classes=classes, seed=1),
    }
    return Plan(base=recipe, classes=classes, **(usual | settings))
