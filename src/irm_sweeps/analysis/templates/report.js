"use strict";
const say = (button, word) => { const before = button.textContent; button.textContent = word; setTimeout(() => { button.textContent = before; }, 1200); };
const copyText = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
};
const addCopies = (root) => {
  for (const code of root.querySelectorAll("code.command:not([data-copies])")) {
    code.dataset.copies = "yes";
    const button = document.createElement("button");
    button.type = "button"; button.className = "copy screen"; button.textContent = "copy";
    button.setAttribute("aria-label", "copy " + code.textContent);
    button.addEventListener("click", () => copyText(code.textContent).then(() => say(button, "copied"), () => say(button, "select it by hand")));
    code.after(button);
  }
};
for (const part of document.querySelectorAll("details")) part.addEventListener("toggle", () => { if (part.open) addCopies(part); });
for (const item of document.querySelectorAll("li, p")) if (!item.closest("details")) addCopies(item);

const toggle = document.getElementById("published");
if (toggle) toggle.addEventListener("change", () => {
  document.body.classList.toggle("hide-theirs", !toggle.checked);
  for (const head of document.querySelectorAll("th[data-span]")) head.colSpan = toggle.checked ? Number(head.dataset.span) : 1;
});

const list = document.getElementById("trials");
if (list) {
  const body = list.tBodies[0], rows = Array.from(body.rows);
  const words = rows.map((row) => row.textContent.toLowerCase());
  const text = document.getElementById("filter"), status = document.getElementById("status"), count = document.getElementById("count");
  const filter = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = (!status.value || row.dataset.status === status.value) && wanted.every((word) => words[i].includes(word));
      row.hidden = !fits; shown += fits;
    });
    count.textContent = shown + " of " + rows.length;
  };
  text.addEventListener("input", filter); status.addEventListener("change", filter); filter();
  Array.from(list.tHead.rows[0].cells).forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of list.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const numeric = head.classList.contains("number");
      const compare = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        return (numeric ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true })) * (up ? 1 : -1);
      };
      body.append(...rows.slice().sort(compare));
    });
  });
}
