
// Enlarge a figure in place; without this script the link opens the drawing itself. Escape or the button closes it.
const dialog = document.querySelector("dialog");
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.enlarge");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const large = dialog.querySelector("img");
  large.src = link.href;
  large.alt = link.querySelector("img").alt;
  dialog.showModal();
});
// Print what is folded away, too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
