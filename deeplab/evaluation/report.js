// Paints labels, predictions and errors over the photographs, some of the classes or all.
"use strict";

const {classes, ignore} = JSON.parse(document.getElementById("legend").textContent);
const colors = new Map(classes.map((entry) => [entry.id, entry.color]));
const high = ignore > 255 ? 256 : 0;
const wrong = [230, 30, 30];
const boxes = [...document.querySelectorAll("#controls input[type=checkbox]")];

// The ids that a picture stands for: levels of gray, or low and high byte as red and green.
async function idsOf(image) {
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return Uint16Array.from({length: pixels.length / 4}, (_, i) => pixels[4 * i] + high * pixels[4 * i + 1]);
}

function paint(canvas, colorOf) {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < canvas.width * canvas.height; i++) {
    const color = colorOf(i);
    if (color) picture.data.set([...color, 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
}

const examples = Promise.all([...document.querySelectorAll(".example")].map(async (figure) => ({
  figure,
  label: await idsOf(figure.querySelector("img.label")),
  prediction: await idsOf(figure.querySelector("img.prediction")),
})));

async function repaint() {
  const shown = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
  const colorOf = (id) => shown.has(id) && colors.get(id);
  for (const {figure, label, prediction} of await examples) {
    const canvas = (name) => figure.querySelector(`canvas.${name}`);
    paint(canvas("label"), (i) => colorOf(label[i]));
    paint(canvas("prediction"), (i) => colorOf(prediction[i]));
    paint(canvas("errors"), (i) =>
      label[i] === ignore ? colorOf(ignore)
        : label[i] !== prediction[i] && (shown.has(label[i]) || shown.has(prediction[i])) && wrong);
  }
  document.body.dataset.painted = [...shown].join(" ");
}

function check(value) {
  for (const box of boxes) box.checked = value;
  repaint();
}

document.getElementById("controls").addEventListener("change", (event) => {
  if (event.target.type === "checkbox") repaint();
});
document.getElementById("all").addEventListener("click", () => check(true));
document.getElementById("none").addEventListener("click", () => check(false));
document.getElementById("opacity").addEventListener("input", (event) => {
  document.body.style.setProperty("--opacity", event.target.value);
});
repaint();
