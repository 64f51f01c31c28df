// What a page cannot do by itself: shortcuts, opening branches of the tree, the picture's labels. Every page works
// without it. Texts are only ever set as text; the only HTML taken is this server's own.
"use strict";

// Narrow screens begin with the namespaces folded.

const fold = document.querySelector(".fold");
if (fold && matchMedia("(max-width: 46rem)").matches) fold.open = false;

document.querySelectorAll(".without-script").forEach((one) => { one.hidden = true; });
document.querySelectorAll("[data-focus]").forEach((one) => one.focus());
document.querySelectorAll("[data-submit]").forEach((one) => {
  one.addEventListener("change", () => one.form.submit());
});

// The tree

async function branch(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
  const parsed = new DOMParser().parseFromString(`<ul>${await answer.text()}</ul>`, "text/html");
  return [...parsed.body.firstElementChild.children];
}

async function turn(button) {
  const entry = button.closest("li");
  const inside = entry.querySelector(":scope > ul");
  const opens = button.getAttribute("aria-expanded") !== "true";
  if (opens && !inside) {
    const list = document.createElement("ul");
    list.append(...await branch(button.dataset.branch));
    entry.append(list);
  } else if (inside) {
    inside.hidden = !opens;
  }
  button.setAttribute("aria-expanded", String(opens));
}

async function further(button) {
  const entry = button.closest("li");
  const added = await branch(button.dataset.more);
  entry.replaceWith(...added);
  added[0]?.querySelector("a")?.focus();
}

document.querySelector(".tree")?.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  button.disabled = true;
  try {
    await (button.dataset.more ? further(button) : turn(button));
  } catch {
    location.reload(); // the session has ended, or the server: the page that comes says so
  } finally {
    button.disabled = false;
  }
});

// The picture

const drawing = document.querySelector("[data-picture]");
const label = document.querySelector(".hover");

function show(point) {
  const frame = drawing.parentElement.getBoundingClientRect();
  const at = point.getBoundingClientRect();
  label.querySelector(".words").textContent = point.getAttribute("aria-label");
  label.querySelector(".meta").textContent = point.dataset.meta;
  label.hidden = false;
  const own = label.getBoundingClientRect();
  const left = Math.min(Math.max(at.left - frame.left + 14, 4), frame.width - own.width - 4);
  const below = at.bottom - frame.top + 8;
  const top = below + own.height > frame.height ? at.top - frame.top - own.height - 8 : below;
  label.style.setProperty("left", `${Math.max(left, 4)}px`); // through the CSSOM, which the policy allows
  label.style.setProperty("top", `${Math.max(top, 4)}px`);
}

function nearest(from, key) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  const place = (point) => point.firstElementChild;
  const x = (point) => place(point).cx.baseVal.value;
  const y = (point) => place(point).cy.baseVal.value;
  let best = null;
  let least = Infinity;
  for (const point of drawing.querySelectorAll("a")) {
    const along = (x(point) - x(from)) * dx + (y(point) - y(from)) * dy;
    const beside = Math.abs((x(point) - x(from)) * dy) + Math.abs((y(point) - y(from)) * dx);
    const cost = along + 2 * beside;
    if (along > 0 && cost < least) [best, least] = [point, cost];
  }
  return best;
}

if (drawing) {
  for (const name of ["pointerover", "focusin"]) {
    drawing.addEventListener(name, (event) => {
      const point = event.target.closest("a");
      if (point) show(point); else label.hidden = true;
    });
  }
  for (const name of ["pointerleave", "focusout"]) drawing.addEventListener(name, () => { label.hidden = true; });
  drawing.addEventListener("keydown", (event) => {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const next = nearest(event.target.closest("a"), event.key);
    if (!next) return;
    drawing.querySelectorAll('a[tabindex="0"]').forEach((one) => one.setAttribute("tabindex", "-1"));
    next.setAttribute("tabindex", "0");
    next.focus();
  });
}

// The keyboard

function step(by) {
  const all = [...document.querySelectorAll(".said")];
  const next = all[all.indexOf(document.activeElement) + by];
  (next ?? (by > 0 ? all.at(-1) : all[0]))?.focus();
}

const shortcuts = {
  "/": () => document.querySelector('[data-shortcut="/"]')?.select(),
  "?": () => location.assign("/keys"),
  e: () => document.querySelector('[data-shortcut="e"]')?.click(),
  j: () => step(1),
  k: () => step(-1),
  n: () => document.querySelector('[rel="next"]')?.click(),
  p: () => document.querySelector('[rel="prev"]')?.click(),
  t: () => {
    if (fold) fold.open = true;
    (document.querySelector(".tree .here") ?? document.querySelector(".tree a"))?.focus();
  },
};

document.addEventListener("keydown", (event) => {
  const writes = event.target.matches("input, select, textarea");
  if (event.key === "Escape" && writes) event.target.blur();
  if (writes || event.ctrlKey || event.metaKey || event.altKey || !(event.key in shortcuts)) return;
  event.preventDefault();
  shortcuts[event.key]();
});
