// What the theme leaves out for those who use a keyboard or a screen reader; `docs/extra.css` has the rest.
function nameWhatHasNoName() {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-code__nav").forEach((nav, i) => nav.setAttribute("aria-label", `Copy code ${i + 1}`));
  for (const nav of document.querySelectorAll(".md-nav--secondary .md-nav:not([aria-label^='On this page'])")) {
    nav.setAttribute("aria-label", `On this page: ${nav.getAttribute("aria-label")}`);
  }
  for (const header of document.querySelectorAll(".md-typeset th:empty")) {
    header.replaceWith(document.createElement("td"));
  }
  for (const region of document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code")) {
    if (region.scrollWidth <= region.clientWidth) continue;
    region.tabIndex = 0;
    region.setAttribute("role", "group");
    region.setAttribute("aria-label", region.tagName === "CODE" ? "Code that scrolls" : "Table that scrolls");
  }
}
document$.subscribe(nameWhatHasNoName);
new MutationObserver(nameWhatHasNoName).observe(document.body, { childList: true, subtree: true });
addEventListener("resize", nameWhatHasNoName);
