// A picture on a larger canvas, for outpainting: what is around it is made anew.

const OVERLAP = 1 / 64; // of the picture's longer side: this much of it is made anew too, so that there is no seam
const MOST = 4e6; // pixels of the canvas: more than models make. A larger one is scaled down

/**
 * Draws a picture on a canvas that is larger on the sides that `border` says: {left, top, right, bottom}, as shares of
 * its width or height. `square`: the canvas is one, for models that make no other shape.
 *
 * Returns {picture, mask}, two canvases of one size; the mask has the colour where the picture is to be made.
 */
export function extended(image, border, square, colour) {
  const [fromWidth, fromHeight] = [image.naturalWidth, image.naturalHeight];
  const whole = sidesOf(fromWidth, fromHeight, border, square);
  const area = (whole[0] + fromWidth + whole[2]) * (whole[1] + fromHeight + whole[3]);
  const scale = Math.min(1, Math.sqrt(MOST / area));
  const [left, top, right, bottom] = whole.map((side) => Math.round(side * scale));
  const [width, height] = [fromWidth, fromHeight].map((side) => Math.max(1, Math.round(side * scale)));
  const size = { width: left + width + right, height: top + height + bottom };
  const picture = Object.assign(document.createElement("canvas"), size);
  const context = picture.getContext("2d");
  // Around it are the colours of its edge: a strength below 1 starts from them.
  const columns = [[0, 1, 0, left], [0, fromWidth, left, width], [fromWidth - 1, 1, left + width, right]];
  const rows = [[0, 1, 0, top], [0, fromHeight, top, height], [fromHeight - 1, 1, top + height, bottom]];
  for (const [x, w, toX, toW] of columns)
    for (const [y, h, toY, toH] of rows) if (toW && toH) context.drawImage(image, x, y, w, h, toX, toY, toW, toH);
  const mask = Object.assign(document.createElement("canvas"), size);
  const painted = mask.getContext("2d");
  const overlap = Math.max(1, Math.round(Math.max(width, height) * OVERLAP));
  const inset = [left, top, right, bottom].map((side) => (side ? overlap : 0));
  painted.fillStyle = colour;
  painted.fillRect(0, 0, size.width, size.height);
  painted.clearRect(left + inset[0], top + inset[1], width - inset[0] - inset[2], height - inset[1] - inset[3]);
  return { picture, mask };
}

/** The border in pixels of the picture: left, top, right, bottom, with what makes the canvas a square. */
function sidesOf(width, height, { left, top, right, bottom }, square) {
  const sides = [left * width, top * height, right * width, bottom * height];
  const longer = Math.max(sides[0] + width + sides[2], sides[1] + height + sides[3]);
  if (square) {
    spread(sides, 0, 2, longer - width);
    spread(sides, 1, 3, longer - height);
  }
  return sides;
}

/** Makes two opposite sides have `together`, in the proportion that they had. */
function spread(sides, one, other, together) {
  const before = sides[one] + sides[other];
  const share = before ? sides[one] / before : 0.5;
  sides[one] = together * share;
  sides[other] = together * (1 - share);
}
