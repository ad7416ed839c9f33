// The table of all objects: only the rows in sight are in the page, so 100,000 scroll like ten.
const ROW_HEIGHT = 31;

function makeTable(rows, onPick) {
  const grid = document.querySelector(".grid");
  const form = document.querySelector(".filters");
  const table = grid.appendChild(document.createElement("table"));
  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  let order = new Uint32Array(0);
  let sorting = { column: rows.named.ecd_um, down: true };
  let picked = -1;

  for (const column of rows.columns) {
    const cell = head.appendChild(document.createElement("th"));
    cell.scope = "col";
    cell.classList.toggle("number", column.kind !== "word");
    const button = cell.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = column.title;
    button.addEventListener("click", () => {
      const again = sorting.column === column;
      sorting = { column, down: again ? !sorting.down : column.kind !== "word" };
      refresh();
    });
  }

  function fillSelect(name, words) {
    for (const word of words.filter((each) => each !== ""))
      form.elements[name].add(new Option(word, word));
  }
  fillSelect("image", rows.named.image.words);
  fillSelect("counted_as", rows.named.counted_as.words);

  function keptRows() {
    const number = (name, otherwise) => {
      const text = form.elements[name].value;
      return text === "" ? otherwise : Number(text);
    };
    const low = number("low", -Infinity), high = number("high", Infinity);
    const size = rows.named.ecd_um.values;
    const tests = ["image", "counted_as"].flatMap((name) => {
      const chosen = form.elements[name].value;
      const column = rows.named[name];
      return chosen === "" ? [] : [[column.values, column.words.indexOf(chosen)]];
    });
    const border = rows.named.touches_border;
    if (form.elements.whole.checked) tests.push([border.values, border.words.indexOf("no")]);
    const kept = [];
    for (let row = 0; row < rows.count; row++)
      if (size[row] >= low && size[row] <= high && tests.every(([v, code]) => v[row] === code))
        kept.push(row);
    return Uint32Array.from(kept);
  }

  function compare() {
    const { column, down } = sorting;
    let keys = column.values;
    if (column.kind === "word") {
      const sorted = [...column.words].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const rank = column.words.map((word) => sorted.indexOf(word));
      keys = Array.from(keys, (code) => rank[code]);
    }
    const sign = down ? -1 : 1;
    return (a, b) => {
      const x = keys[a], y = keys[b];
      if (x === y) return a - b;
      if (Number.isNaN(x)) return Number.isNaN(y) ? a - b : 1; // what is missing stands last
      if (Number.isNaN(y)) return -1;
      return x < y ? -sign : sign;
    };
  }

  function refresh() {
    order = keptRows().sort(compare());
    form.elements.count.textContent =
      `${order.length.toLocaleString("en")} of ${rows.count.toLocaleString("en")} objects`;
    for (const [index, cell] of [...head.cells].entries()) {
      const own = rows.columns[index] === sorting.column;
      cell.setAttribute("aria-sort", own ? (sorting.down ? "descending" : "ascending") : "none");
      cell.firstChild.textContent =
        rows.columns[index].title + (own ? (sorting.down ? " ▾" : " ▴") : "");
    }
    table.setAttribute("aria-rowcount", order.length + 1);
    grid.scrollTop = 0;
    draw();
  }

  function blank(count) {
    const row = document.createElement("tr");
    row.className = "blank";
    const cell = row.insertCell();
    cell.colSpan = rows.columns.length;
    cell.style.height = `${count * ROW_HEIGHT}px`;
    return row;
  }

  function draw() {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW_HEIGHT) - 10);
    const last = Math.min(order.length, first + Math.ceil(grid.clientHeight / ROW_HEIGHT) + 22);
    const shown = document.createDocumentFragment();
    if (first) shown.append(blank(first));
    for (let place = first; place < last; place++) {
      const line = document.createElement("tr");
      line.dataset.row = order[place];
      line.setAttribute("aria-rowindex", place + 2);
      line.classList.toggle("picked", order[place] === picked);
      for (const column of rows.columns) {
        const cell = line.insertCell();
        cell.textContent = formatCell(column, order[place]);
        if (column.kind !== "word") cell.className = "number";
      }
      shown.append(line);
    }
    if (last < order.length) shown.append(blank(order.length - last));
    body.replaceChildren(shown);
  }

  function pick(row) {
    picked = row;
    const place = order.indexOf(row);
    if (place >= 0) grid.scrollTop = Math.max(0, place * ROW_HEIGHT - grid.clientHeight / 2);
    draw();
  }

  function save() {
    const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [rows.columns.map((column) => column.name).join(",")];
    for (const row of order)
      lines.push(rows.columns.map((column) => quote(formatCell(column, row))).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
    link.download = "objects.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  let asked = 0;
  grid.addEventListener("scroll", () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  });
  body.addEventListener("click", (event) => {
    const line = event.target.closest("tr[data-row]");
    if (!line) return;
    picked = Number(line.dataset.row);
    draw();
    onPick(picked);
  });
  form.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.save.addEventListener("click", save);
  window.addEventListener("resize", draw);
  refresh();
  return { pick };
}
