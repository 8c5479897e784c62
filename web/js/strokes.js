// A mask as what was done to make it, so that it can be undone, and drawn at any size. It is opaque where it paints.

/** What was done: {kind: "stroke", points: [[x, y], ...], radius, erase}, in pixels of the picture; {kind: "invert"},
 * {kind: "clear"}, or {kind: "mask", image}, an image that is opaque where it paints. */
export class Strokes {
  constructor(done = []) {
    this.done = [...done];
    this.undone = [];
  }

  add(step) {
    this.done.push(step);
    this.undone = [];
  }

  undo() {
    if (this.done.length) this.undone.push(this.done.pop());
  }

  redo() {
    if (this.undone.length) this.done.push(this.undone.pop());
  }
}

/** A canvas of this size on which steps for a picture of `width` pixels are drawn. */
export function drawn(steps, canvas, width, colour) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = context.strokeStyle = colour;
  context.lineCap = context.lineJoin = "round";
  for (const step of steps) draw(step, context, canvas.width / width);
  context.globalCompositeOperation = "source-over";
  return canvas;
}

function draw(step, context, scale) {
  const { width, height } = context.canvas;
  if (step.kind === "clear") context.clearRect(0, 0, width, height);
  else if (step.kind === "mask") {
    context.globalCompositeOperation = "source-over";
    context.drawImage(step.image, 0, 0, width, height);
    context.globalCompositeOperation = "source-in"; // in the colour
    context.fillRect(0, 0, width, height);
  } else if (step.kind === "invert") {
    context.globalCompositeOperation = "source-out";
    context.fillRect(0, 0, width, height);
  } else {
    context.globalCompositeOperation = step.erase ? "destination-out" : "source-over";
    context.lineWidth = 2 * step.radius * scale;
    context.beginPath();
    const [[x, y]] = step.points;
    context.moveTo(x * scale, y * scale);
    for (const [left, top] of step.points) context.lineTo(left * scale, top * scale); // a single point is a dot
    context.stroke();
  }
}

/** The share of a canvas that is painted, as the server counts it (store/pictures/masks.py). */
export function share(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let place = 3; place < data.length; place += 4) if (data[place] >= 128) painted += 1;
  return painted / (canvas.width * canvas.height);
}

/** A mask as the API takes it: a PNG of the picture's size, white where it paints, and black elsewhere. */
export function png(steps, width, height) {
  const painted = drawn(steps, newCanvas(width, height), width, "#fff");
  const whole = newCanvas(width, height);
  const context = whole.getContext("2d");
  context.fillRect(0, 0, width, height);
  context.drawImage(painted, 0, 0);
  return new Promise((resolve) => whole.toBlob(resolve, "image/png"));
}

/** The step that is a mask as the API has it: white or transparent where it paints. */
export async function stepOf(blob) {
  const bitmap = await createImageBitmap(blob);
  const image = newCanvas(bitmap.width, bitmap.height);
  const context = image.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, image.width, image.height);
  const { data } = pixels;
  const holes = data.some((value, place) => place % 4 === 3 && value < 255);
  for (let place = 0; place < data.length; place += 4) {
    const paints = holes ? data[place + 3] < 128 : data[place] >= 128;
    data[place + 3] = paints ? 255 : 0;
  }
  context.putImageData(pixels, 0, 0);
  return { kind: "mask", image };
}

function newCanvas(width, height) {
  const canvas = document.createElement("canvas");
  return Object.assign(canvas, { width, height });
}
