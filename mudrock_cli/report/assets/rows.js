"use strict";
// Unpacks the instance table: columns of numbers or of words, one after the other.
document.documentElement.classList.add("js");

const KINDS = { float32: [Float32Array, 4], uint32: [Uint32Array, 4], word: [Uint16Array, 2] };

async function unpackRows() {
  const layout = JSON.parse(document.getElementById("layout").textContent);
  const packed = Uint8Array.from(atob(document.getElementById("rows").textContent.trim()), (c) =>
    c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let start = 0;
  for (const column of layout.columns) {
    const [View, size] = KINDS[column.kind];
    const plain = new Uint8Array(layout.rows * size);
    for (let place = 0; place < size; place++)
      for (let row = 0; row < layout.rows; row++)
        plain[row * size + place] = bytes[start++];
    column.values = new View(plain.buffer);
  }
  const named = Object.fromEntries(layout.columns.map((column) => [column.name, column]));
  return { count: layout.rows, columns: layout.columns, named, images: layout.images };
}

function formatNumber(value, digits) {
  if (!Number.isFinite(value)) return "";
  if (value === 0) return "0";
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(decimals, 9));
}

function formatCell(column, row) {
  const value = column.values[row];
  if (column.kind === "word") return column.words[value];
  return column.kind === "uint32" ? String(value) : formatNumber(value, column.digits);
}
