// Which blocks are being refined.
//
// The server sends the number of blocks and the saved iterates. For methods that work by blocks, the rest follows from the
// dataflow of Parareal: block i of iterate p needs block i of iterate p - 1, and after iterate p the first p blocks are
// exact and never solved again. So the drawing is derived, not measured, and its caption says so. For other methods it
// shows the rounds.

import { attribute, el, svg, text } from "./dom.js";
import { METHODS } from "./methods.js";

const WIDTH = 320;
const ROWS = 12; // of iterates, at most

export class Schedule {
  constructor() {
    this.hint = el("p", { class: "hint" });
    this.drawing = el("div", { class: "plot" });
    this.legend = el("ul", { class: "legend" });
    this.source = el("p", { class: "hint source" });
    this.root = el("section", { class: "part schedule" }, el("h3", {}, "Schedule"), this.hint, this.drawing, this.legend, this.source);
  }

  render(job, image, strip) {
    const method = METHODS[image.method];
    const newest = strip.at(-1)?.iterate ?? -1;
    const state = `${job.id}/${image.number}/${image.blocks}/${newest}/${job.state}/${image.stopped}/${image.method}`;
    if (this.state === state) return;
    this.state = state;
    attribute(this.root, "hidden", method === undefined);
    if (method === undefined) return; // not planned yet
    const working = job.state === "running" && image.stopped === null;
    if (method.byBlocks) this.rows(image, newest, working);
    else this.track(job, image, strip, working, method);
  }

  /** A row for each iterate, a column for each block. */
  rows(image, newest, working) {
    const { blocks } = image;
    const known = working ? newest + 1 : newest;
    const first = Math.max(0, known - ROWS + 1);
    const last = Math.min(blocks, Math.max(first + Math.min(ROWS - 1, 4), known));
    const room = (WIDTH - 26) / blocks;
    const gap = Math.min(3, room * 0.18);
    const height = 13;
    const cells = [];
    for (let iterate = first; iterate <= last; iterate++) {
      const y = (iterate - first) * (height + 3);
      cells.push(svg("text", { class: "tick", x: 20, y: y + 10.5, "text-anchor": "end" }, String(iterate)));
      for (let block = 0; block < blocks; block++) {
        const kind = cell(block, iterate, newest, working);
        cells.push(svg("rect", { class: `cell ${kind}`, x: 26 + block * room, y, width: Math.max(1, room - gap), height, rx: Math.min(2, room / 4) }));
      }
    }
    const now = working ? busyBlocks(blocks, newest) : "";
    const exact = image.stopped === "exact" ? blocks : Math.max(0, Math.min(newest, blocks));
    text(this.hint, `${blocks} blocks across, iterates down. ${now}`.trim());
    this.legends(["saved", "Saved"], ["exact", "Exact, not solved again"], working && ["busy", "Being refined"], ["open", "Not needed yet"]);
    text(this.source, `Derived from the saved iterates and the dataflow: ${exact} of ${blocks} blocks are exact.${working ? " With room to spare, later iterates have begun as well." : ""}`);
    this.draw(`Iterate ${newest} of at most ${blocks} is saved. ${now}`, (last - first + 1) * (height + 3), cells);
  }

  /** One bar: the rounds done. */
  track(job, image, strip, working, { title, summary }) {
    const { rounds = 0 } = strip.at(-1) ?? {};
    const expected = Math.max(image.predicted_rounds ?? job.request.steps, rounds);
    const done = working ? rounds / expected : image.stopped && image.stopped !== "accepted" ? 1 : rounds / expected;
    const length = WIDTH * Math.min(1, done);
    const cells = [svg("rect", { class: "cell open", x: 0, y: 0, width: WIDTH, height: 14, rx: 3 })];
    if (length > 0) cells.push(svg("rect", { class: "cell exact", x: 0, y: 0, width: length, height: 14, rx: 3 }));
    if (working && length < WIDTH) cells.push(svg("rect", { class: "cell busy", x: length, y: 0, width: Math.min(40, WIDTH - length), height: 14, rx: 3 }));
    text(this.hint, `${title} ${summary}.`);
    this.legends(["exact", "Rounds done"], working && ["busy", "The work goes on here"], ["open", "Expected"]);
    text(this.source, "Derived from the rounds of the saved iterates and those that the planner expects.");
    this.draw(`${rounds} of about ${expected} rounds.`, 14, cells);
  }

  draw(description, height, cells) {
    this.drawing.replaceChildren(svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": description }, ...cells));
  }

  legends(...kinds) {
    this.legend.replaceChildren(...kinds.filter(Boolean).map(([kind, name]) => el("li", { class: kind }, name)));
  }
}

/** The state of a block of an iterate, given the newest saved iterate. The first p - 1 blocks of iterate p are exact. */
function cell(block, iterate, newest, working) {
  if (iterate > 0 && block < iterate - 1) return iterate <= newest + 1 ? "exact" : "open";
  if (iterate <= newest) return "saved";
  return working && iterate === newest + 1 ? "busy" : "open";
}

function busyBlocks(blocks, newest) {
  if (newest < 0) return "The coarse solution is being made.";
  const first = newest + 1;
  return first >= blocks ? `Block ${blocks} is being refined.` : `Blocks ${first} to ${blocks} are being refined.`;
}
