// Segments a photograph in the browser: uint8 [1,H,W,3] to class ids int32 [1,H,W].
import * as ort from "./ort.wasm.min.mjs";

const element = (id) => document.getElementById(id);
const [photo, overlay] = [element("photo"), element("overlay")];

let model; // classes, colors, ignore_label, title
let session;
let bitmap; // the photograph as it was opened
let classes; // class ids of what is shown, row by row
const hidden = new Set(); // ids of classes whose color is not shown

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function load() {
  // More threads would need headers that a plain web server does not send.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  model = await (await fetch("model.json")).json();
  document.title = model.title;
  element("title").textContent = model.title;
  // Over a photograph most people look for everything else.
  model.classes.forEach((name, id) => name.toLowerCase() === "background" && hidden.add(id));
  session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  say("Ready.");
}

// The size that the network sees: never larger than the photograph.
function size() {
  const longest = Number(element("longest").value);
  const scale = longest ? Math.min(1, longest / Math.max(bitmap.width, bitmap.height)) : 1;
  return [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
}

async function open(file) {
  try {
    bitmap = await createImageBitmap(file); // upright, as its EXIF says
  } catch {
    say(`${file.name} is no image that this browser can read.`, true);
    return;
  }
  await segment();
}

async function segment() {
  if (!bitmap || !session) return;
  const [width, height] = size();
  say(`Segmenting ${width} × ${height} pixels …`);
  for (const canvas of [photo, overlay]) [canvas.width, canvas.height] = [width, height];
  const context = photo.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0, width, height);
  element("result").hidden = false;
  // The page is drawn before the network keeps the thread busy.
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    pixels[to] = data[from];
    pixels[to + 1] = data[from + 1];
    pixels[to + 2] = data[from + 2];
  }
  const images = new ort.Tensor("uint8", pixels, [1, height, width, 3]);
  const began = performance.now();
  try {
    classes = (await session.run({ images }, ["classes"])).classes.data;
  } catch (error) {
    say(`The network cannot be run: ${error.message}`, true);
    return;
  }
  const milliseconds = Math.round(performance.now() - began);
  paint();
  list();
  say(`${width} × ${height} pixels in ${milliseconds} ms.`);
  // For whoever looks from the console.
  window.segmentation = { width, height, classes, milliseconds };
}

function paint() {
  if (!classes) return;
  const context = overlay.getContext("2d");
  const image = context.createImageData(overlay.width, overlay.height);
  classes.forEach((id, pixel) => {
    const color = model.colors[id];
    if (color && !hidden.has(id)) image.data.set([...color, 255], pixel * 4);
  });
  context.putImageData(image, 0, 0);
  overlay.style.opacity = element("opacity").value / 100;
}

// The classes that are there, the largest first.
function list() {
  const counts = new Map();
  for (const id of classes) counts.set(id, (counts.get(id) ?? 0) + 1);
  const found = [...counts].sort((one, other) => other[1] - one[1]);
  element("legend").replaceChildren(...found.map(([id, count]) => entry(id, count)));
}

function entry(id, count) {
  const item = document.createElement("li");
  const label = item.appendChild(document.createElement("label"));
  const toggle = label.appendChild(document.createElement("input"));
  toggle.type = "checkbox";
  toggle.checked = !hidden.has(id);
  toggle.addEventListener("change", () => {
    if (toggle.checked) hidden.delete(id);
    else hidden.add(id);
    paint();
  });
  const parts = { color: "", name: model.classes[id] ?? `${id}`, share: share(count) };
  for (const [kind, text] of Object.entries(parts)) {
    const span = label.appendChild(document.createElement("span"));
    span.className = kind;
    span.textContent = text;
    if (kind === "color") span.style.background = `rgb(${model.colors[id] ?? [0, 0, 0]})`;
  }
  return item;
}

function share(count) {
  const percent = (100 * count) / classes.length;
  return percent < 0.1 ? "< 0.1 %" : `${percent.toFixed(1)} %`;
}

element("file").addEventListener("change", ({ target }) => target.files[0] && open(target.files[0]));
element("opacity").addEventListener("input", paint);
element("longest").addEventListener("change", segment);
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    const [file] = kind === "drop" ? event.dataTransfer.files : [];
    if (file) open(file);
  });
}

load().catch((error) => say(`The network cannot be loaded: ${error.message}`, true));
