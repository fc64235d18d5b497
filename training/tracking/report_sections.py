"""Sections of the track report, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from html import escape

import numpy as np

from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.jpeg import jpeg_address

from .advice import FAIL, NOTE, REFERENCE_SIZE, WEAK, Advice
from .advice_rules import MIN_SHARPNESS
from .charts import Mark, Series, TimeAxis, line_chart, pose_chart
from .coverage import PITCH_EDGES, YAW_EDGES, gaze_angles, jaw_opening, strongest
from .moments import when
from .overlay import POOR_POINT
from .report_pictures import LABEL_COLOURS, ReportPictures
from .summary import TrackSummary, typical_frames, worst_frames

STRONGEST = 5
"""Number of expressions in the chart of the strongest."""

TONES = {FAIL: ("fail", "Film again"), WEAK: ("weak", "Improve"), NOTE: ("note", "Note")}
"""Style and word of each level of advice."""


def verdict_section(summary: TrackSummary) -> str:
    """Return the verdict, its reasons, the main figures and the notes."""
    tone = {"good": "good", "usable": "weak", "film again": "fail"}[summary.verdict.word]
    reasons = [item for item in summary.advice if item.level != NOTE]
    notes = [item for item in summary.advice if item.level == NOTE]
    errors = summary.reprojection
    result = summary.result
    reached = sum(pose.enough for pose in summary.poses)
    shown = sum(reach.enough for reach in summary.expressions)
    unit = f"<small>px at {REFERENCE_SIZE}</small>"
    numbers = {
        "Reprojection, mean": f"{errors['mean']:.2f} {unit}",
        "Reprojection, median": f"{errors['median']:.2f} {unit}",
        "Reprojection, 95 %": f"{errors['p95']:.2f} {unit}",
        "Frames kept": f"{100 * summary.kept_share:.0f} % <small>{len(result)} of "
        f"{len(result) + len(result.dropped)}</small>",
        "Head turns reached": f"{reached} <small>of {len(summary.poses)}</small>",
        "Expressions reached": f"{shown} <small>of {len(summary.expressions)}</small>",
    }
    return (
        f'<div class="verdict {tone}"><p class="word">{capitalised(summary.verdict.word)}</p>'
        f"<p>{escape(summary.verdict.sentence)}</p>{_advice_list(reasons)}</div>"
        '<dl class="numbers">'
        + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers.items())
        + "</dl>"
        + (f"<h3>Smaller notes</h3>{_advice_list(notes)}" if notes else "")
    )


def capitalised(text: str) -> str:
    """Return a text whose first letter is a capital."""
    return text[:1].upper() + text[1:]


def _advice_list(advice: Sequence[Advice]) -> str:
    if not advice:
        return ""
    items = []
    for item in advice:
        tone, word = TONES[item.level]
        items.append(
            f'<li class="{tone}" data-code="{item.code}"><span class="tag">{word}</span> '
            f"{_unbroken(escape(item.text))}</li>"
        )
    return f'<ul class="advice">{"".join(items)}</ul>'


def _unbroken(text: str) -> str:
    """A text whose per cent signs stay beside their numbers."""
    return text.replace(" %", "&nbsp;%")


def frames_section(summary: TrackSummary) -> str:
    """Return the overlays, masks and labels of typical and of the worst frames."""
    pictures = ReportPictures(summary.result, summary.head)
    typical = typical_frames(summary.errors)
    worst = worst_frames(summary.errors, summary.result.times)
    seen = pictures.labels_seen(typical)
    legend = "".join(
        f'<li><i style="background:rgb{LABEL_COLOURS[index]}"></i>{name}</li>'
        for index, name in enumerate(LABELS)
        if index in seen
    )
    tile = partial(_tile, summary, pictures)
    return (
        "<p>The dots are the landmarks of the picture: green where the fitted head meets them, red "
        f"where it is {POOR_POINT:.0f} pixels or more beside. The blue lines are the fitted head: "
        "its outline, lips, eyes, irises and brows; the fine mesh is its surface. Pictures of the "
        "mask show the background in magenta.</p>"
        f'<h3>Typical frames</h3><div class="tiles">{"".join(map(tile, typical))}</div>'
        f'<h3>Worst frames</h3><div class="tiles">{"".join(map(tile, worst))}</div>'
        + (f'<h3>Labels</h3><ul class="legend">{legend}</ul>' if legend else "")
    )


def _tile(summary: TrackSummary, pictures: ReportPictures, index: int) -> str:
    result = summary.result
    name = escape(result.names[index])
    time = float(result.times[index])
    error = float(summary.errors[index])
    moment = f"{int(time) // 60}:{time % 60:04.1f}"
    yaw, pitch = (
        round(float(angle[index])) for angle in (summary.angles.yaw, summary.angles.pitch)
    )
    pose = f"yaw {yaw}°, pitch {pitch}°"
    parts = "".join(
        _image(data, f"{kind} of frame {name}") for kind, data in pictures.parts(index).items()
    )
    return (
        f"<figure>{_image(pictures.overlay(index), f'Landmarks and fitted head, frame {name}')}"
        + (f'<div class="pair">{parts}</div>' if parts else "")
        + f"<figcaption>{moment}, frame {name}: {error:.2f} px, {pose}</figcaption></figure>"
    )


def _image(data: bytes, text: str) -> str:
    return f'<img alt="{text}" src="{jpeg_address(data)}">'


def coverage_section(summary: TrackSummary) -> str:
    """Return the chart of head poses, and the tables of head turns and expressions."""
    left, right, up, down = (pose.goal.required for pose in summary.poses)
    chart = pose_chart(
        "head-poses", summary.histogram, PITCH_EDGES, YAW_EDGES, (left, right, up, down)
    )
    turns = _reach_table(
        "Head turns",
        [
            (capitalised(pose.goal.name), pose.degrees, pose.goal.required, "°", pose.enough, "")
            for pose in summary.poses
        ],
    )
    expressions = _reach_table(
        "Expressions",
        [
            (
                capitalised(reach.goal.name),
                reach.strength * (1 if reach.goal.unit else 100),
                reach.goal.required * (1 if reach.goal.unit else 100),
                "°" if reach.goal.unit else " %",
                reach.enough,
                "" if reach.goal.needed else "optional",
            )
            for reach in summary.expressions
        ],
    )
    remark = (
        ""
        if summary.head is not None and len(summary.expressions) > 1
        else f"<p>The expression codes of {escape(summary.result.edition)} have no names: only the "
        "opening of the mouth is measured.</p>"
    )
    return f'{chart}<div class="side">{turns}{expressions}</div>{remark}'


def _reach_table(title: str, rows: Iterable[tuple[str, float, float, str, bool, str]]) -> str:
    """A table of names, values, required values, units, whether they are reached, and remarks."""
    body = []
    for name, value, required, unit, enough, remark in rows:
        scale = 100.0 / max(1.5 * required, 1e-6)
        tone, word = ("good", "✓ reached") if enough else ("weak", "✗ not reached")
        if not enough and remark:
            tone, word = "note", f"✗ {remark}"
        body.append(
            f'<tr class="{tone}"><th scope="row">{name}</th>'
            f'<td class="number">{int(value + 1e-4)}{unit} '
            f"<small>of {required:.0f}{unit}</small></td>"
            f'<td aria-hidden="true"><div class="bar"><span style="width:'
            f'{min(100.0, max(0.0, value * scale)):.0f}%"></span>'
            f'<i style="left:{required * scale:.0f}%"></i></div></td>'
            f'<td class="state">{word}</td></tr>'
        )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table><caption>'
        f"{title}</caption><thead><tr><th>Shown</th><th>Reached</th>"
        f'<th aria-hidden="true"></th><th>State</th></tr></thead><tbody>{"".join(body)}</tbody>'
        "</table></div>"
    )


def over_time_section(summary: TrackSummary) -> str:
    """Return the charts of errors, parameters and picture quality over time."""
    result = summary.result
    fit = result.fit
    marks = tuple(
        Mark(span, f"{when([span])}: {group.reason}")
        for group in summary.dropped
        for span in group.spans
    )
    axis = TimeAxis(result.times, result.fps, marks)
    across, up = gaze_angles(fit.pose)
    angles = summary.angles
    charts = [
        line_chart(
            "reprojection",
            "Reprojection error",
            f"px at {REFERENCE_SIZE}",
            axis,
            [Series("error", summary.errors)],
            minimum=0.0,
            decimals=2,
            limit=summary.good_error,
        ),
        line_chart(
            "head-angles",
            "Head",
            "degrees",
            axis,
            [
                Series("yaw, own left +", angles.yaw),
                Series("pitch, up +", angles.pitch),
                Series("roll", angles.roll),
            ],
        ),
        line_chart(
            "jaw",
            "Jaw opening",
            "degrees",
            axis,
            [Series("jaw", jaw_opening(fit.pose))],
            minimum=0.0,
        ),
        line_chart(
            "gaze",
            "Gaze in the head",
            "degrees",
            axis,
            [Series("own left +", across), Series("up +", up)],
        ),
    ]
    if summary.head is not None:
        lines = strongest(fit.expression, summary.head.expression_names, STRONGEST)
        charts.append(
            line_chart(
                "expressions",
                "Strongest expressions",
                "",
                axis,
                [Series(name, values) for name, values in lines],
                decimals=2,
            )
        )
    millimetres = np.asarray(fit.translation, dtype=np.float64) * 250.0
    moved = millimetres - np.median(millimetres, axis=0)
    charts += [
        line_chart(
            "translation",
            "Movement of the head's origin",
            "mm from its median",
            axis,
            [
                Series(name, moved[:, index])
                for index, name in enumerate(("to the own left", "up", "to the camera"))
            ],
            decimals=0,
        ),
        line_chart(
            "brightness",
            "Brightness of the face",
            "%",
            axis,
            [Series("brightness", 100.0 * result.brightness)],
            minimum=0.0,
            decimals=0,
        ),
        line_chart(
            "sharpness",
            "Sharpness of the face",
            "1 is the median",
            axis,
            [Series("sharpness", result.sharpness)],
            minimum=0.0,
            decimals=2,
            limit=MIN_SHARPNESS,
        ),
    ]
    remark = "<p>Orange spans are frames that were left out.</p>" if marks else ""
    return remark + "".join(charts)


def left_out_section(summary: TrackSummary) -> str:
    """Return the table of dropped frames by reason, with their times."""
    if not summary.dropped:
        return "<p>No frame was left out.</p>"
    rows = "".join(
        f'<tr><th scope="row">{escape(group.reason)}</th><td class="number">{group.frames}</td>'
        f"<td>{escape(when(group.spans).removeprefix('at '))}</td></tr>"
        for group in summary.dropped
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Frames left out"><table>'
        "<thead><tr><th>Reason</th><th>Frames</th><th>Times, minutes:seconds</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def settings_section(summary: TrackSummary, facts: Mapping[str, str]) -> str:
    """Return the table of facts, and the notes of the tracking."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_fact(name, value)}</td></tr>'
        for name, value in facts.items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in summary.result.notes)
    return f'<table class="facts"><tbody>{rows}</tbody></table>' + (
        f"<h3>Notes of the tracking</h3><ul>{notes}</ul>" if notes else ""
    )


def _fact(name: str, value: str) -> str:
    return f"<code>{escape(value)}</code>" if name == "Command" else escape(value)
