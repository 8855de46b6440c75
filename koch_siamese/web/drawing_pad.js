// A canvas to draw a symbol on, or to show an image of one.
//
// Gradio runs this once for each pad, with `element`, `props` and `watch`. The
// value is null while nothing is drawn, else {name, data}: an uploaded file's
// name ("" for a drawing) and a data URL of the image.
const LARGEST = 1024; // pixels of an uploaded image's longer side
const LINE_WIDTH = 12;
const MAX_MEGABYTES = 20; // of an uploaded file

const canvas = element.querySelector("canvas");
const input = element.querySelector("input");
const hint = element.querySelector(".hint");
const pen = canvas.getContext("2d");
let strokes = [];
let isFilled = false; // whether the value that this pad has set is not null
let numSet = 0; // strokes in that value, so without one that is being drawn

function drawStrokes() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.lineWidth = LINE_WIDTH;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "black";
  for (const [first, ...rest] of strokes) {
    pen.beginPath();
    pen.moveTo(...first);
    pen.lineTo(...first); // a dot, if there is nothing else
    rest.forEach((point) => pen.lineTo(...point));
    pen.stroke();
  }
}

function setHint(text) {
  hint.textContent = text;
}

function setStrokes(newStrokes) {
  strokes = newStrokes;
  drawStrokes();
  setHint(strokes.length ? "" : "Draw here, or drop an image");
}

function setValue(value) {
  isFilled = value !== null;
  numSet = strokes.length;
  props.value = value;
}

function update() {
  const data = canvas.toDataURL("image/png");
  setValue(strokes.length ? { name: "", data } : null);
}

function locate(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * canvas.width) / box.width,
    ((event.clientY - box.top) * canvas.height) / box.height,
  ];
}

function start(event) {
  if (event.button !== 0) return;
  event.preventDefault(); // no text is selected
  canvas.setPointerCapture(event.pointerId);
  setStrokes([...strokes, [locate(event)]]);
}

function draw(event) {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  const points = event.getCoalescedEvents?.() ?? [];
  strokes.at(-1).push(...(points.length ? points : [event]).map(locate));
  drawStrokes();
}

function readAsUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

// A large photograph is reduced here: the network sees it smaller still.
function reduce(bitmap, data) {
  const scale = LARGEST / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return data;
  const small = document.createElement("canvas");
  small.width = Math.max(1, Math.round(scale * bitmap.width));
  small.height = Math.max(1, Math.round(scale * bitmap.height));
  const context = small.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, small.width, small.height);
  return small.toDataURL("image/png");
}

async function show(file) {
  if (!file) return;
  setStrokes([]);
  if (file.size > MAX_MEGABYTES * 1e6) {
    setHint(`${file.name} has more than ${MAX_MEGABYTES} MB`);
    setValue(null);
    return;
  }
  let data = await readAsUrl(file);
  try {
    const bitmap = await createImageBitmap(file);
    data = reduce(bitmap, data);
    const scale = canvas.width / Math.max(bitmap.width, bitmap.height);
    const [width, height] = [scale * bitmap.width, scale * bitmap.height];
    const [x, y] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
    pen.drawImage(bitmap, x, y, width, height);
    setHint("");
  } catch {
    // A format that only the server reads, such as TIFF; or a broken file.
    setHint(file.name);
  }
  setValue({ name: file.name, data });
}

// A second finger, or a palm, draws nothing.
function listen(kind, handle) {
  canvas.addEventListener(kind, (event) => event.isPrimary && handle(event));
}

listen("pointerdown", start);
listen("pointermove", draw);
canvas.addEventListener("lostpointercapture", update); // a stroke has ended
canvas.addEventListener("dragover", (event) => event.preventDefault());
canvas.addEventListener("drop", (event) => {
  event.preventDefault();
  show(event.dataTransfer.files[0]);
});
input.addEventListener("change", async () => {
  await show(input.files[0]);
  input.value = ""; // the same file can be chosen again
});
element.querySelector(".upload").onclick = () => input.click();
element.querySelector(".undo").onclick = () => {
  setStrokes(strokes.slice(0, -1));
  update();
};
element.querySelector(".clear").onclick = () => {
  setStrokes([]);
  update();
};
// The server clears a pad by the value null. A stroke that was begun meanwhile
// stays.
watch("value", () => {
  if (props.value || !isFilled) return;
  isFilled = false;
  setStrokes(strokes.slice(numSet));
});
setStrokes([]);
