// The map of memory: a canvas that replays changes of cells up to the slider's moment.
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const numbers = (text) => new Uint32Array(bytes(text).buffer);
const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
const places = numbers(data.places), first = bytes(data.first), hole = bytes(data.hole);
const cells = numbers(data.cells), codes = bytes(data.codes);
const colours = data.colours.map(rgb), marks = data.marks.map(rgb);
const canvas = root.querySelector(".map-canvas"), slider = root.querySelector(".map-slider");
const time = root.querySelector(".map-time"), where = root.querySelector(".map-where"), play = root.querySelector(".map-play");
const side = Math.max(2, Math.floor(1024 / Math.max(data.width, data.height)));
canvas.width = data.width * side;
canvas.height = data.height * side;
const context = canvas.getContext("2d");
const picture = context.createImageData(canvas.width, canvas.height);
const cellAt = new Int32Array(data.width * data.height).fill(-1);
places.forEach((place, cell) => { cellAt[place] = cell; });
let state = first.slice(), shown = 0, timer = null;

const LEAST = 0.4;
function baseColour(cell, code) {
  if (hole[cell]) { return colours[0]; }
  let small = (code & 7) / 7, middle = (code >> 3 & 7) / 7;
  if (data.cellBytes > 2097152) {
    if (middle > 0 && middle < LEAST) { middle = LEAST; }
    if (small > 0 && small < LEAST) { small = LEAST; }
    middle = Math.min(middle, 1 - small);
  }
  return [0, 1, 2].map((part) => small * colours[1][part] + middle * colours[2][part] + (1 - small - middle) * colours[3][part]);
}

function blockAt(right, down) {
  const cell = right < 0 || down < 0 ? -1 : cellAt[down * data.width + right];
  return cell < 0 ? -1 : Math.floor(cell / data.borderCells);
}

function drawCell(cell) {
  const code = state[cell], place = places[cell], right = place % data.width, down = Math.floor(place / data.width);
  const base = baseColour(cell, code);
  const mark = code & 64 ? marks[0] : code & 128 ? marks[1] : null;
  const margin = side < 3 ? 0 : Math.max(1, Math.floor(side / 4));
  const block = blockAt(right, down);
  const leftLine = right > 0 && blockAt(right - 1, down) !== block, topLine = down > 0 && blockAt(right, down - 1) !== block;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const inner = x >= margin && x < side - margin && y >= margin && y < side - margin;
      const line = (leftLine && x === 0) || (topLine && y === 0);
      const paint = mark && inner ? mark : base;
      const at = 4 * ((down * side + y) * canvas.width + right * side + x);
      for (let part = 0; part < 3; part++) {
        picture.data[at + part] = line ? 0.35 * paint[part] + 0.65 * 255 : paint[part];
      }
      picture.data[at + 3] = 255;
    }
  }
}

function show(moment) {
  const touched = new Set();
  if (moment < shown) {
    const old = state;
    state = first.slice();
    for (let at = 0; at < data.ends[moment]; at++) { state[cells[at]] = codes[at]; }
    old.forEach((code, cell) => { if (code !== state[cell]) { touched.add(cell); } });
  } else {
    for (let at = data.ends[shown]; at < data.ends[moment]; at++) { state[cells[at]] = codes[at]; touched.add(cells[at]); }
  }
  shown = moment;
  touched.forEach(drawCell);
  context.putImageData(picture, 0, 0);
  time.textContent = `${data.times[moment]}   ${data.sizes[moment]}`;
  slider.setAttribute("aria-valuetext", data.times[moment]);
}

function stop() {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
}

play.addEventListener("click", () => {
  if (timer) { stop(); return; }
  if (Number(slider.value) === Number(slider.max)) { slider.value = 0; show(0); }
  play.textContent = "Stop";
  timer = setInterval(() => {
    slider.value = Number(slider.value) + 1;
    show(Number(slider.value));
    if (Number(slider.value) === Number(slider.max)) { stop(); }
  }, 80);
});
slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });

canvas.addEventListener("mousemove", (event) => {
  const box = canvas.getBoundingClientRect();
  const right = Math.floor((event.clientX - box.left) / box.width * data.width);
  const down = Math.floor((event.clientY - box.top) / box.height * data.height);
  const cell = cellAt[down * data.width + right];
  if (cell === undefined || cell < 0) { where.textContent = "\u00a0"; return; }
  const code = state[cell], begin = cell * data.cellBytes;
  const address = (value) => `0x${value.toString(16)}`;
  const kind = hole[cell] ? "no memory" : code & 7 ? "4K" : code >> 3 & 7 ? "2M" : "1G";
  const more = data.cellBytes > 2097152 && !hole[cell] ? " and larger" : "";
  const note = code & 64 ? ", holds secret pages" : code & 128 ? ", pages unmapped" : "";
  where.textContent = `${address(begin)} to ${address(begin + data.cellBytes - 1)}: ${kind}${kind === "1G" ? "" : more}${note}`;
});

root.querySelectorAll(".map-key").forEach((key) => {
  const which = key.dataset.key;
  key.style.background = which === "secret" ? data.marks[0] : which === "absent" ? data.marks[1] : data.colours[Number(which)];
});
state.forEach((code, cell) => drawCell(cell));
slider.value = slider.max;
show(Number(slider.max));
