// A picture to a model's pixels by the rule of `understudy predict` (data/picture.py): grey by ITU-R BT.601, cut around the
// centre to the wanted proportions, scaled by Pillow's antialiased bilinear filter. First across, then down, in Pillow's integers:
// newer versions of Pillow take the other way for tall pictures, which can change a value by one.
const WEIGHT_BITS = 22; // of Pillow's fixed-point weights
const ONE = 2 ** WEIGHT_BITS;

/** For each of `size` outputs over begin..end of `length` inputs: the first input it sees, and the weights of what it sees. */
function filterOf(size, begin, end, length) {
  const scale = Math.fround(Math.fround(end) - Math.fround(begin)) / size;
  const support = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = Math.fround(begin) + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = [];
    for (let at = first; at < last; at++) {
      weights.push(Math.max(0, 1 - Math.abs((at - centre + 0.5) * (1 / support))));
    }
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => Math.floor((weight / total) * ONE + 0.5)) };
  });
}

/** Scale the lines of `source`: `count` lines whose values stand `step` apart, lines `stride` apart. Returns [count][filter]. */
function scaleLines(source, count, stride, step, filter) {
  const out = new Uint8Array(count * filter.length);
  for (let line = 0; line < count; line++) {
    filter.forEach(({ first, weights }, i) => {
      let sum = ONE / 2;
      let at = line * stride + first * step;
      for (const weight of weights) {
        sum += source[at] * weight;
        at += step;
      }
      out[line * filter.length + i] = Math.min(255, Math.floor(sum / ONE));
    });
  }
  return out;
}

/** Bytes [height, width, channels] of `picture`, which has width, height and RGBA data. */
function pixelsOf(picture, [height, width, channels]) {
  const { width: columns, height: rows, data } = picture;
  const ratio = width / height;
  const cutWidth = columns / rows > ratio ? ratio * rows : columns;
  const cutHeight = columns / rows < ratio ? columns / ratio : rows;
  const left = (columns - cutWidth) * 0.5;
  const top = (rows - cutHeight) * 0.5;
  const across = filterOf(width, left, left + cutWidth, columns);
  const down = filterOf(height, top, top + cutHeight, rows);
  const out = new Uint8Array(height * width * channels);
  for (let channel = 0; channel < channels; channel++) {
    const plane = new Uint8Array(rows * columns);
    for (let i = 0, at = 0; i < plane.length; i++, at += 4) {
      plane[i] = channels === 3 ? data[at + channel] : (19595 * data[at] + 38470 * data[at + 1] + 7471 * data[at + 2] + 32768) >> 16;
    }
    const narrow = scaleLines(plane, rows, columns, 1, across); // [rows, width]
    const small = scaleLines(narrow, width, 1, width, down); // [width, height]
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) out[(y * width + x) * channels + channel] = small[x * height + y];
    }
  }
  return out;
}
