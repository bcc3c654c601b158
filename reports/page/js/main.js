// Reads the page's data and sets its sections up; without this script the page is the same, but asks nothing.
import { startAnswer } from "./answer.js";
import { startDeal } from "./deals.js";
import { openMarket } from "./draws.js";
import { startSources } from "./sources.js";

const root = document.documentElement;

async function start() {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
  startSources();
  const redraw = [startAnswer(await openMarket(data.market), data)];
  const deals = data.deals.map((/** @type {any} */ deal, /** @type {number} */ k) => {
    const section = /** @type {HTMLElement} */ (document.querySelector(`[data-deal="${k}"]`));
    return startDeal(section, deal);
  });
  for (const { update } of deals) redraw.push(update);
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    for (const one of redraw) one();
  });
  root.dataset.ready = String(Math.round(performance.now()));
  return { data, deals };
}

if (document.getElementById("data")) {
  root.dataset.state = "loading";
  start().then(
    () => {
      root.dataset.state = "ready";
    },
    (error) => {
      root.dataset.state = "failed";
      const note = document.getElementById("unready");
      if (note) note.hidden = false;
      console.error(error);
    },
  );
}
