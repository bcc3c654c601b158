// Reads the page's data and sets its sections up; without this script the page is the same, but asks nothing.
import { startAnswer } from "./answer.js";
import { startDeal } from "./deals.js";
import { openMarket } from "./draws.js";
import { startSources } from "./sources.js";
import { startWhatIf } from "./what_if.js";

const root = document.documentElement;

async function start() {
  const data = JSON.parse(document.getElementById("data")?.textContent ?? "{}");
  startSources();
  const redraw = [startAnswer(await openMarket(data.market), data)];
  root.dataset.state = "answering";
  root.dataset.interactive = String(Math.round(performance.now()));
  for (const [k, deal] of data.deals.entries()) {
    await new Promise((resolve) => setTimeout(resolve)); // let a question in before the next deal is priced
    const section = /** @type {HTMLElement} */ (document.querySelector(`[data-deal="${k}"]`));
    redraw.push(startDeal(section, deal));
  }
  const whatIf = document.getElementById("what-if");
  if (whatIf) redraw.push(await startWhatIf(whatIf, data.scenarios));
  // Once more when nobody waits: by then the engine has compiled what the first slider will run.
  (window.requestIdleCallback ?? setTimeout)(() => redraw.forEach((one) => one()));
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    for (const one of redraw) one();
  });
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
