// One viewer per image: overlay, zoom and pan, and the object under the pointer.
const READ = ["ecd_um", "area_um2", "feret_max_um", "aspect_ratio", "circularity", "host",
  "nearest_neighbour_um", "mean_grey", "mean_confidence", "touches_border"];

function makeViewer(element, rows, onPick) {
  const stage = element.querySelector(".stage");
  const layers = element.querySelector(".layers");
  const mark = element.querySelector(".mark");
  const reading = element.querySelector(".reading");
  const bar = element.querySelector(".bar");
  const width = Number(element.dataset.width), height = Number(element.dataset.height);
  const image = Number(element.dataset.image);
  const view = { scale: 1, x: 0, y: 0 };
  const pointers = new Map();
  let labels = null, boxes = null, lit = 0, pinned = 0, moved = 0;

  // Decoded when the viewer comes into sight: ten images at once would stall a phone.
  const watcher = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) decode();
  }, { rootMargin: "200px" });
  watcher.observe(element);

  let decoding = null;
  function decode() {
    watcher.disconnect();
    decoding ??= (async () => {
      const picture = new Image();
      picture.src = element.dataset.labels;
      await picture.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      const colours = context.getImageData(0, 0, width, height).data;
      const found = new Uint32Array(width * height);
      boxes = new Map();
      for (let y = 0, i = 0; y < height; y++)
        for (let x = 0; x < width; x++, i++) {
          const label = colours[4 * i] + 256 * colours[4 * i + 1] + 65536 * colours[4 * i + 2];
          found[i] = label;
          if (!label) continue;
          const box = boxes.get(label);
          if (!box) boxes.set(label, [x, y, x, y]);
          else {
            if (x < box[0]) box[0] = x;
            if (x > box[2]) box[2] = x;
            box[3] = y;
          }
        }
      labels = found;
      element.dataset.ready = "yes";
    })();
    return decoding;
  }

  function apply() {
    const { clientWidth, clientHeight } = stage;
    view.scale = Math.min(Math.max(view.scale, 1), 24);
    view.x = Math.min(0, Math.max(view.x, clientWidth * (1 - view.scale)));
    view.y = Math.min(0, Math.max(view.y, clientHeight * (1 - view.scale)));
    layers.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
    stage.classList.toggle("zoomed", view.scale > 1);
    const umPerScreen = (Number(element.dataset.um) * width) / (clientWidth * view.scale);
    if (umPerScreen > 0) {
      const longest = 0.22 * clientWidth * umPerScreen;
      const decade = 10 ** Math.floor(Math.log10(longest));
      const length = decade * [5, 2, 1].find((step) => step * decade <= longest);
      bar.style.width = `${length / umPerScreen}px`;
      bar.firstElementChild.textContent =
        length >= 1 ? `${formatNumber(length, 1)} µm` : `${formatNumber(length * 1000, 1)} nm`;
    }
  }

  function zoomAt(factor, x, y) {
    const before = view.scale;
    view.scale = Math.min(Math.max(view.scale * factor, 1), 24);
    const change = view.scale / before;
    view.x = x - (x - view.x) * change;
    view.y = y - (y - view.y) * change;
    apply();
  }

  function labelAt(event) {
    if (!labels) return 0;
    const box = layers.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    return x < 0 || y < 0 || x >= width || y >= height ? 0 : labels[y * width + x];
  }

  function light(label) {
    if (label === lit) return;
    lit = label;
    const context = mark.getContext("2d");
    context.clearRect(0, 0, width, height);
    const box = boxes?.get(label);
    if (!box) {
      reading.textContent = label ? "" : "Hover or tap a grain or a pore.";
      return;
    }
    const [left, top, right, bottom] = box;
    const drawn = context.createImageData(right - left + 3, bottom - top + 3);
    const own = (x, y) =>
      x >= 0 && y >= 0 && x < width && y < height && labels[y * width + x] === label;
    for (let y = top - 1, i = 0; y <= bottom + 1; y++)
      for (let x = left - 1; x <= right + 1; x++, i += 4) {
        const inside = own(x, y);
        const near = own(x - 1, y) || own(x + 1, y) || own(x, y - 1) || own(x, y + 1);
        if (inside || near) drawn.data.set([255, 226, 60, inside ? 70 : 255], i);
      }
    context.putImageData(drawn, left - 1, top - 1);
    tell(label);
  }

  function tell(label) {
    const row = rows.find(image, label);
    reading.replaceChildren();
    if (row < 0) return;
    const add = (title, text) => {
      const item = reading.appendChild(document.createElement("span"));
      if (title) item.appendChild(document.createElement("i")).textContent = title;
      item.appendChild(document.createElement("b")).textContent = text;
    };
    const named = rows.named;
    const phase = formatCell(named.phase, row), counted = formatCell(named.counted_as, row);
    add("", `${phase} ${formatCell(named.label, row)}`);
    if (counted !== phase) add("counts as", counted);
    for (const name of READ) {
      const text = named[name] ? formatCell(named[name], row) : "";
      if (text && !(name === "touches_border" && text === "no")) add(named[name].title, text);
    }
  }

  function hint() {
    let sign = stage.querySelector(".hint");
    if (!sign) {
      sign = stage.appendChild(document.createElement("div"));
      sign.className = "hint";
      sign.textContent = "Click the picture, or hold Ctrl, to zoom with the wheel";
    }
    sign.classList.add("shown");
    clearTimeout(hint.timer);
    hint.timer = setTimeout(() => sign.classList.remove("shown"), 1200);
  }

  element.querySelector(".opacity")?.addEventListener("input", (event) => {
    element.querySelector(".phases").style.opacity = event.target.value / 100;
  });
  for (const button of element.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => {
      const factor = Number(button.dataset.zoom);
      if (factor) zoomAt(factor, stage.clientWidth / 2, stage.clientHeight / 2);
      else Object.assign(view, { scale: 1, x: 0, y: 0 }), apply();
    });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return hint();
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoomAt(Math.exp(-event.deltaY * 0.0018), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => {
    if (event.target.closest("button")) return;
    const box = stage.getBoundingClientRect();
    zoomAt(2, event.clientX - box.left, event.clientY - box.top);
  });
  stage.addEventListener("keydown", (event) => {
    const step = 60, size = [stage.clientWidth / 2, stage.clientHeight / 2];
    const actions = {
      "+": () => zoomAt(1.5, ...size), "=": () => zoomAt(1.5, ...size),
      "-": () => zoomAt(1 / 1.5, ...size),
      0: () => { Object.assign(view, { scale: 1, x: 0, y: 0 }); apply(); },
      ArrowLeft: () => { view.x += step; apply(); }, ArrowRight: () => { view.x -= step; apply(); },
      ArrowUp: () => { view.y += step; apply(); }, ArrowDown: () => { view.y -= step; apply(); },
    };
    if (!(event.key in actions) || event.ctrlKey || event.metaKey) return;
    if (event.key.startsWith("Arrow") && view.scale === 1) return; // let the page scroll
    event.preventDefault();
    actions[event.key]();
  });
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    decode();
    pointers.set(event.pointerId, event);
    if (pointers.size === 1) moved = 0;
    if (event.pointerType === "mouse") stage.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse" && !pinned) light(labelAt(event));
      return;
    }
    const others = [...pointers.values()].filter((each) => each.pointerId !== event.pointerId);
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    moved += Math.abs(dx) + Math.abs(dy);
    if (others.length) {
      const reach = (each) =>
        Math.hypot(each.clientX - others[0].clientX, each.clientY - others[0].clientY);
      const box = stage.getBoundingClientRect();
      const x = (event.clientX + others[0].clientX) / 2 - box.left;
      const y = (event.clientY + others[0].clientY) / 2 - box.top;
      if (reach(before) > 0) zoomAt(reach(event) / reach(before), x, y);
    } else if (view.scale > 1) {
      if (moved > 6 && !stage.hasPointerCapture(event.pointerId))
        stage.setPointerCapture(event.pointerId);
      view.x += dx;
      view.y += dy;
      apply();
    }
    pointers.set(event.pointerId, event);
  });
  stage.addEventListener("pointerup", async (event) => {
    const alone = pointers.size === 1;
    if (!pointers.delete(event.pointerId) || !alone || moved > 8) return;
    await decode();
    const label = labelAt(event);
    pinned = label === pinned ? 0 : label;
    light(label);
    if (label) onPick(rows.find(image, label));
  });
  stage.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  stage.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && !pinned) light(0);
  });
  new ResizeObserver(apply).observe(stage);

  async function show(label) {
    await decode();
    const box = boxes.get(label);
    if (box) {
      const [left, top, right, bottom] = box;
      const share = Math.max((right - left + 1) / width, (bottom - top + 1) / height);
      view.scale = Math.min(Math.max(0.25 / share, 1), 10);
      const size = [stage.clientWidth, stage.clientHeight];
      view.x = size[0] / 2 - (((left + right + 1) / 2 / width) * size[0]) * view.scale;
      view.y = size[1] / 2 - (((top + bottom + 1) / 2 / height) * size[1]) * view.scale;
      apply();
    }
    pinned = label;
    lit = -1;
    light(label);
    element.scrollIntoView({ block: "center" });
  }
  return { image, show };
}
