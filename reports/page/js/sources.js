// Section 7: a number that comes from a claim opens it where it stands; without scripts the link leads there.

/** Open claims in a window of their own when a link to one is followed. */
export function startSources() {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("source"));
  const body = /** @type {HTMLElement} */ (dialog.querySelector(".body"));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a.said, a.made") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const source = document.getElementById((link.getAttribute("href") ?? "").slice(1));
    if (!source) return;
    event.preventDefault();
    const copy = /** @type {HTMLElement} */ (source.cloneNode(true));
    copy.removeAttribute("id");
    if (copy instanceof HTMLDetailsElement) copy.open = true;
    body.replaceChildren(copy);
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
