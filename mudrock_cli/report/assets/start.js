// Puts table and viewers together.
async function start() {
  const rows = await unpackRows();
  const label = rows.named.label.values;
  const names = rows.named.image;
  const first = new Map();
  for (let row = 0; row < rows.count; row++) {
    const name = names.words[names.values[row]];
    if (!first.has(name)) first.set(name, new Map());
    first.get(name).set(label[row], row);
  }
  rows.find = (image, wanted) => first.get(rows.images[image])?.get(wanted) ?? -1;
  const viewers = new Map();
  const table = makeTable(rows, (row) => {
    const image = rows.images.indexOf(names.words[names.values[row]]);
    viewers.get(image)?.show(label[row]);
  });
  for (const element of document.querySelectorAll(".viewer")) {
    const viewer = makeViewer(element, rows, (row) => table.pick(row));
    viewers.set(viewer.image, viewer);
  }
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll(".image details")) details.open = true;
  });
  document.documentElement.dataset.ready = "yes";
}

start();
