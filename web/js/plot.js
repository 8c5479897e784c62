// Two small plots. The table of iterates has the same figures, for those who cannot see the plots.

import { svg } from "./dom.js";
import { percent, plural, residual } from "./words.js";

const WIDTH = 320;
const HEIGHT = 128;
const LEFT = 34;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 22;

/** Residual and estimated error over rounds, on a logarithmic axis, with the tolerance as a line. */
export function plotErrors(job, strip, shown) {
  const points = strip.filter((iterate) => iterate.residual > 0);
  const estimated = strip.filter((iterate) => iterate.error_estimate > 0);
  const tolerance = job.request.tolerance;
  const known = [
    ...points.map((point) => point.residual),
    ...estimated.map((point) => point.error_estimate),
    ...(tolerance > 0 ? [tolerance] : []),
  ];
  const low = Math.floor(Math.log10(Math.min(1e-2, ...known)));
  const high = Math.max(0, Math.ceil(Math.log10(Math.max(...known, 1e-2))));
  const most = Math.max(1, job.request.steps, ...strip.map((iterate) => iterate.rounds));
  const x = (rounds) => LEFT + (rounds / most) * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + ((high - Math.log10(value)) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const every = Math.max(1, Math.ceil((high - low) / 4));
  const powers = Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((power) => (high - power) % every === 0);
  const latest = points.at(-1);
  return drawing(
    latest
      ? `The residual is ${residual(latest.residual)} after ${plural(latest.rounds, "round")}; the estimated error is ${percent(latest.error_estimate)}.`
      : "No residual yet: it takes two iterates.",
    ...powers.flatMap((power) => [line("gridline", LEFT, y(10 ** power), WIDTH - RIGHT), label(LEFT - 5, y(10 ** power) + 3.5, power === 0 ? "1" : `10${superscript(power)}`, "end")]),
    tolerance > 0 && line("limit", LEFT, y(tolerance), WIDTH - RIGHT),
    tolerance > 0 && label(WIDTH - RIGHT, y(tolerance) - 4, "tolerance", "end", "limit-name"),
    svg("polyline", { class: "estimate", points: estimated.map((point) => `${x(point.rounds)},${y(point.error_estimate)}`).join(" ") }),
    svg("polyline", { class: "curve", points: points.map((point) => `${x(point.rounds)},${y(point.residual)}`).join(" ") }),
    ...points.map((point) => dot(x(point.rounds), y(point.residual), point === shown)),
    label(LEFT, HEIGHT - 6, "0 rounds", "start"),
    label(WIDTH - RIGHT, HEIGHT - 6, `${most}`, "end"),
  );
}

/** Rounds by iterate, against those of the serial sampler. */
export function plotRounds(job, strip, shown) {
  const steps = job.request.steps;
  const most = Math.max(steps, ...strip.map((iterate) => iterate.rounds)) * 1.12;
  const y = (rounds) => HEIGHT - BOTTOM - (rounds / most) * (HEIGHT - TOP - BOTTOM);
  const room = (WIDTH - LEFT - RIGHT) / Math.max(6, strip.length);
  const thickness = Math.min(22, room * 0.62);
  const every = Math.ceil(strip.length / 12);
  const newest = strip.at(-1);
  return drawing(
    newest ? `${plural(newest.rounds, "round")} until iterate ${newest.iterate}; the serial sampler takes ${steps}.` : "No iterate yet.",
    line("gridline", LEFT, y(0), WIDTH - RIGHT),
    ...strip.flatMap((iterate, place) => {
      const middle = LEFT + (place + 0.5) * room;
      return [
        svg("rect", {
          class: iterate === shown ? "column shown" : "column",
          x: middle - thickness / 2,
          y: y(iterate.rounds),
          width: thickness,
          height: Math.max(1, y(0) - y(iterate.rounds)),
          rx: 2,
        }),
        place % every === 0 && label(middle, HEIGHT - 6, String(iterate.iterate), "middle"),
      ];
    }),
    line("limit", LEFT, y(steps), WIDTH - RIGHT),
    label(WIDTH - RIGHT, y(steps) - 4, `serial: ${steps}`, "end", "limit-name"),
    label(LEFT - 5, y(0) + 3, "0", "end"),
    label(LEFT - 5, y(steps) + 3.5, String(steps), "end"),
  );
}

function drawing(description, ...parts) {
  const title = svg("title", {}, description);
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": description }, title, ...parts.flat().filter(Boolean));
}

const line = (kind, x1, y, x2) => svg("line", { class: kind, x1, x2, y1: y, y2: y });

const label = (x, y, words, anchor, kind = "tick") => svg("text", { class: kind, x, y, "text-anchor": anchor }, words);

const dot = (cx, cy, shown) => svg("circle", { class: shown ? "dot shown" : "dot", cx, cy, r: shown ? 4.5 : 3 });

const superscript = (power) => String(power).replace("-", "⁻").replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
