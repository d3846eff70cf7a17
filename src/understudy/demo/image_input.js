const FINE = 16; // a drawing is made this many times larger than the model's image, then scaled down as a picture is
const MARGIN = 20 / 28; // MNIST's digits fill this much of their images, and are centred by their mass
const KEY_STEP = 1 / 28;
const NO_MARGIN_SIDE = 20; // smaller images have no room for one

/** The pen's width in pixels of a model's image: strokes of MNIST are about 2.4 wide, of 8 x 8 digits about 1.4. */
function penWidth([height, width]) {
  return 1 + Math.min(height, width) / 20;
}

function draw(context, strokes, place, lineWidth) {
  context.lineWidth = lineWidth;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "white";
  for (const stroke of strokes) {
    context.beginPath();
    stroke.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](...place(x, y)));
    context.lineTo(...place(...stroke.at(-1))); // a dot too
    context.stroke();
  }
}

/** The middle of the strokes' mass: of each piece's middle, weighted by its length. */
function middleOf(strokes) {
  const sums = [0, 0, 0];
  for (const stroke of strokes) {
    stroke.forEach(([x, y], i) => {
      const [a, b] = stroke[Math.max(0, i - 1)];
      const length = Math.hypot(x - a, y - b) + 1e-6;
      [(x + a) / 2, (y + b) / 2, 1].forEach((value, axis) => (sums[axis] += value * length));
    });
  }
  return [sums[0] / sums[2], sums[1] / sums[2]];
}

/** Where a point of the drawing, in pixels of the model's image, stands when the drawing is centred and scaled as `fit` says. */
function placement(strokes, [height, width], fit) {
  if (fit === "as drawn") return (x, y) => [x, y];
  const points = strokes.flat();
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const share = fit === "margin" ? MARGIN : 1;
  const pen = penWidth([height, width]);
  const scale = Math.min((share * width - pen) / Math.max(right - left, pen), (share * height - pen) / Math.max(bottom - top, pen));
  const [middleX, middleY] = fit === "margin" ? middleOf(strokes) : [(left + right) / 2, (top + bottom) / 2];
  return (x, y) => [width / 2 + (x - middleX) * scale, height / 2 + (y - middleY) * scale];
}

/** The drawing as a picture, `FINE` times larger than the model's image. */
function drawn(strokes, shape, fit) {
  const [height, width] = shape;
  const canvas = new OffscreenCanvas(width * FINE, height * FINE);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, canvas.width, canvas.height);
  const place = placement(strokes, shape, fit);
  draw(context, strokes, (x, y) => place(x, y).map((value) => value * FINE), penWidth(shape) * FINE);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Read a picture file: upright, and its numbers as they stand in the file. */
async function pictureOf(file) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** Show bytes [height, width, channels] pixel by pixel. */
function show(canvas, pixels, [height, width, channels]) {
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[i * channels + (channels === 3 ? c : 0)];
    image.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Call `changed` with the bytes of what is drawn or chosen, now and whenever it changes; with null where there is nothing. */
function connect(model, changed) {
  const [height, width, channels] = model.shape;
  const [pad, seen, swap, fit] = ["pad", "seen", "swap", "fit"].map(element);
  const context = pad.getContext("2d");
  let strokes = []; // of points in pixels of the model's image
  let picture = null;
  let pen = null; // where the keyboard's pen stands
  let drawing = false;

  const nothing = new Uint8Array(height * width * channels);
  pad.style.aspectRatio = seen.style.aspectRatio = `${width} / ${height}`;
  fit.value = Math.min(height, width) < NO_MARGIN_SIDE ? "fill" : "margin";

  function paint() {
    const ratio = devicePixelRatio * pad.clientWidth;
    [pad.width, pad.height] = [ratio, (ratio * height) / width].map(Math.round);
    const scale = pad.width / width;
    context.fillRect(0, 0, pad.width, pad.height);
    if (picture) {
      const cover = Math.max(pad.width / picture.width, pad.height / picture.height);
      const whole = new OffscreenCanvas(picture.width, picture.height);
      whole.getContext("2d").putImageData(picture, 0, 0);
      const [w, h] = [picture.width * cover, picture.height * cover];
      context.drawImage(whole, (pad.width - w) / 2, (pad.height - h) / 2, w, h);
    }
    draw(context, strokes, (x, y) => [x * scale, y * scale], penWidth(model.shape) * scale);
    if (pen && document.activeElement === pad) {
      context.lineWidth = 2;
      context.strokeStyle = "#6ea1ff";
      context.beginPath();
      context.arc(pen[0] * scale, pen[1] * scale, (penWidth(model.shape) * scale) / 2 + 3, 0, 7);
      context.stroke();
    }
  }

  function read() {
    paint();
    const source = picture ?? (strokes.length ? drawn(strokes, model.shape, fit.value) : null);
    const pixels = source && pixelsOf(source, model.shape).map((value) => (swap.checked ? 255 - value : value));
    show(seen, pixels ?? nothing, model.shape);
    pad.classList.toggle("swapped", swap.checked);
    const cut = picture ? `cut and scaled from ${picture.width} × ${picture.height} to ` : "";
    element("read").textContent = `${cut}${width} × ${height} pixels, ${channels === 1 ? "grey" : "colour"}`;
    changed(pixels);
  }

  async function choose(file) {
    if (!file) return;
    try {
      [picture, strokes, pen] = [await pictureOf(file), [], null];
      complain(null);
      read();
    } catch {
      complain(`This browser reads no picture in ${file.name}.`);
    }
  }

  function clear() {
    [strokes, picture, pen] = [[], null, null];
    element("file").value = "";
    complain(null);
    read();
  }

  function begin(point) {
    if (picture) clear();
    strokes.push([point]);
  }

  if (pad.hasAttribute("tabindex")) {
    const at = (event) => {
      const box = pad.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
    };
    pad.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      pad.setPointerCapture(event.pointerId);
      pen = null;
      drawing = true;
      begin(at(event));
      read();
    });
    pad.addEventListener("pointermove", (event) => {
      if (!drawing) return;
      const events = event.getCoalescedEvents?.() ?? [];
      strokes.at(-1).push(...(events.length ? events : [event]).map(at));
      read();
    });
    for (const name of ["pointerup", "pointercancel"]) pad.addEventListener(name, () => (drawing = false));
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    pad.addEventListener("keydown", (event) => {
      if (event.key === "Delete" || event.key === "Backspace") return clear();
      const step = directions[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const from = pen ?? [width / 2, height / 2];
      const within = (value, size) => Math.min(size, Math.max(0, value));
      pen = [within(from[0] + step[0] * KEY_STEP * width, width), within(from[1] + step[1] * KEY_STEP * height, height)];
      const last = strokes.at(-1)?.at(-1);
      if (!event.shiftKey) {
        if (!last || last[0] !== from[0] || last[1] !== from[1]) begin(from);
        strokes.at(-1).push(pen);
      }
      read();
    });
    for (const name of ["focus", "blur"]) pad.addEventListener(name, paint);
  }
  for (const control of [swap, fit]) control.addEventListener("change", read);
  element("clear").addEventListener("click", clear);
  element("file").addEventListener("change", (event) => choose(event.target.files[0]));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    choose(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
  addEventListener("resize", paint);
  read();
}
