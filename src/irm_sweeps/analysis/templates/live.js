"use strict";
addEventListener("DOMContentLoaded", () => {
  const { seconds, again } = document.documentElement.dataset;
  const gone = document.getElementById("gone");
  const parts = () => Array.from(document.querySelectorAll("[data-part]"));
  const shown = new Map(parts().map((part) => [part.id, part.innerHTML]));
  let seen = new Date();

  // What the reader has opened, scrolled or focused stays so in the part that takes the place of another.
  const keep = (old, fresh) => {
    const same = (element) => element.id ? fresh.querySelector("#" + CSS.escape(element.id))
      : Array.from(fresh.querySelectorAll("[aria-label]")).find((one) => one.ariaLabel === element.ariaLabel);
    for (const opened of old.querySelectorAll("details[open]")) if (same(opened)) same(opened).open = true;
    return Array.from(old.querySelectorAll("[tabindex]"))
      .map((box) => [same(box), box.scrollLeft, box.scrollTop, box === document.activeElement])
      .filter(([box]) => box);
  };
  const replace = (part, fresh) => {
    const boxes = keep(part, fresh);
    part.replaceChildren(...fresh.childNodes);
    for (const [box, left, top, focused] of boxes) {
      if (focused) box.focus({ preventScroll: true });
      box.scrollTo(left, top);
    }
  };
  const update = (page) => {
    if (document.title !== page.title) document.title = page.title;
    for (const part of parts()) {
      const fresh = page.getElementById(part.id);
      if (!fresh || shown.get(part.id) === fresh.innerHTML) continue;
      shown.set(part.id, fresh.innerHTML);
      replace(part, fresh);
    }
  };
  const look = async () => {
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(30000) });
      if (!answer.ok) throw new Error(await answer.text());
      update(new DOMParser().parseFromString(await answer.text(), "text/html"));
      seen = new Date();
      gone.hidden = true;
    } catch {
      const words = "The server does not answer: what stands here is of " + seen.toLocaleTimeString() + ". If it was ended, start it again: " + again;
      if (gone.textContent !== words) gone.textContent = words;
      gone.hidden = false;
    }
  };
  const again_and_again = async () => {
    if (!document.hidden) await look();
    setTimeout(again_and_again, 1000 * Number(seconds));
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  setTimeout(again_and_again, 1000 * Number(seconds));
});
